//! A state directory whose files are arbitrary: it is opened or refused, and shows nothing partial.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use dfcache::Endpoint;
use dfcache::{Client, ErrorKind};
use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{FakeDfdaemon, Release};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::stage::{directory, runtime, within_time};
use crate::{Target, series};

const CONTENT: &[u8] = b"This is a test file";

const HOST: &str = "content/persistent-cache-tasks/395/3954905097";

/// What is there, and what might be.
const FILES: [&str; 10] = [
    "state.json",
    "scheduler/tasks/395/3954905097.json",
    "hosts/host-0/RECORD",
    "hosts/host-0/CONTENT",
    "hosts/host-1/RECORD",
    "hosts/host-1/CONTENT",
    "hosts/host-2/RECORD",
    "hosts/host-2/CONTENT",
    "scheduler/tasks/7/7.json",
    "hosts/host-0/tmp/7",
];

/// The fields of both kinds of records.
const FIELDS: [&str; 15] = [
    "task_id",
    "state",
    "persistent_replica_count",
    "tag",
    "application",
    "piece_length",
    "content_length",
    "ttl",
    "created_at",
    "updated_at",
    "task_created_at",
    "persistent",
    "piece_crc32",
    "finished_at",
    "failed_at",
];

/// So many changes make an input at most.
const MAX_EDITS: usize = 8;

/// Each input is a series of changes to a state directory that was kept.
#[derive(Debug)]
pub struct Records {
    runtime: Runtime,
}

impl Default for Records {
    fn default() -> Self {
        Self { runtime: runtime() }
    }
}

#[derive(Debug)]
struct Edit {
    file: usize,
    change: Change,
}

/// Rarely of the first file: without it all the others are not looked at.
impl<'a> Arbitrary<'a> for Edit {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let number = usize::from(u8::arbitrary(input)?);
        let others = FILES.len() - 1;
        Ok(Self {
            file: if number == 0 { 0 } else { 1 + number % others },
            change: Change::arbitrary(input)?,
        })
    }
}

#[derive(Debug)]
enum Change {
    Replace(Vec<u8>),
    Cut(u8),
    Flip {
        at: u16,
        bit: u8,
    },
    Remove,
    Directory,
    Field {
        field: u8,
        value: Field,
    },
    /// As it is in another file.
    Copy(u8),
}

/// Most are of one field; a directory, which nothing opens, is rare.
impl<'a> Arbitrary<'a> for Change {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u8::arbitrary(input)? % 32 {
            0 => Self::Directory,
            1..4 => Self::Remove,
            4..7 => Self::Replace(Vec::arbitrary(input)?),
            7..10 => Self::Cut(u8::arbitrary(input)?),
            10..14 => Self::Flip {
                at: u16::arbitrary(input)?,
                bit: u8::arbitrary(input)?,
            },
            14..18 => Self::Copy(u8::arbitrary(input)?),
            _ => Self::Field {
                field: u8::arbitrary(input)?,
                value: Field::arbitrary(input)?,
            },
        })
    }
}

#[derive(Debug, Arbitrary)]
enum Field {
    Null,
    Bool(bool),
    Small(u8),
    Number(u64),
    Text(String),
    State(u8),
    Seconds(u64),
    Time(i64),
    Numbers(Vec<u32>),
}

impl Target for Records {
    const NAME: &str = "records";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let edits: Vec<Edit> = series(&mut Unstructured::new(input), MAX_EDITS);
        let directory = directory();
        let state = directory.path().join("state");
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/state-0.2");
        copy_tree(&kept, &state);
        for edit in &edits {
            edit.apply(&state);
        }
        let opens = within_time(&self.runtime, open(&state, &edits));
        opens && !edits.is_empty()
    }
}

/// Whether it opens.
async fn open(state: &Path, edits: &[Edit]) -> bool {
    let now: Timestamp = "2030-01-01T00:00:10Z".parse().unwrap();
    let builder = FakeDfdaemon::builder().hosts(3).release(Release::V0_2);
    let builder = builder.clock(ClockMode::Manual(Some(now))).state_dir(state);
    let daemon = match builder.start().await {
        Ok(daemon) => daemon,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    daemon.settle().await;
    for host in daemon.hosts() {
        let endpoint = Endpoint::new(host.endpoint()).unwrap();
        let client = Client::connect(&endpoint).await.unwrap();
        for task in client.list().await.unwrap() {
            let stat = client.stat(&task.task_id).await;
            if task.finished_at.is_none() || stat.is_err() {
                continue;
            }
            let mut written = Vec::new();
            let exported = client.export_to_writer(&task.task_id, &mut written).await;
            match exported {
                Ok(_) => {
                    assert_eq!(Some(written.len() as u64), task.content_length);
                    assert!(written == CONTENT || edits.iter().any(Edit::is_of_content));
                }
                // Only what was damaged itself is not what was promised.
                Err(error) if error.kind() == ErrorKind::Integrity => {
                    assert!(
                        edits.iter().any(Edit::is_of_content),
                        "{:?}",
                        error.causes()
                    );
                }
                Err(error) => panic!("{:?}: {:?}", error.kind(), error.causes()),
            }
        }
    }
    daemon.stop().await;
    true
}

impl Edit {
    fn path(&self) -> PathBuf {
        let file = FILES[self.file % FILES.len()];
        file.replace("RECORD", &format!("{HOST}.json"))
            .replace("CONTENT", HOST)
            .into()
    }

    /// Whether it changes what the content is, or what it is promised to be.
    fn is_of_content(&self) -> bool {
        let field = |field: &u8| FIELDS[usize::from(*field) % FIELDS.len()];
        match &self.change {
            Change::Field { field: number, .. } => {
                ["piece_crc32", "piece_length", "content_length"].contains(&field(number))
            }
            _ => true,
        }
    }

    fn apply(&self, state: &Path) {
        let path = state.join(self.path());
        let bytes = fs::read(&path).unwrap_or_default();
        let bytes = match &self.change {
            Change::Replace(bytes) => bytes.clone(),
            Change::Cut(length) => bytes[..bytes.len().min(usize::from(*length))].to_vec(),
            Change::Flip { at, bit } => {
                let mut bytes = bytes;
                let length = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(usize::from(*at) % length) {
                    *byte ^= 1 << (bit % 8);
                }
                bytes
            }
            Change::Remove => {
                let _ = fs::remove_file(&path);
                return;
            }
            Change::Directory => {
                let _ = fs::remove_file(&path);
                let _ = fs::create_dir_all(&path);
                return;
            }
            Change::Field { field, value } => {
                let Ok(mut record) = serde_json::from_slice::<Value>(&bytes) else {
                    return;
                };
                let Some(object) = record.as_object_mut() else {
                    return;
                };
                let field = FIELDS[usize::from(*field) % FIELDS.len()];
                object.insert(field.to_owned(), value.json());
                record.to_string().into_bytes()
            }
            Change::Copy(from) => {
                let from = Edit {
                    file: (*from).into(),
                    change: Change::Remove,
                }
                .path();
                fs::read(state.join(from)).unwrap_or_default()
            }
        };
        let _ = fs::create_dir_all(path.parent().unwrap());
        let _ = fs::write(&path, bytes);
    }
}

impl Field {
    fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Small(value) => json!(value),
            Self::Number(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::State(value) => {
                json!(["Uploading", "Succeeded", "Failed"][usize::from(value % 3)])
            }
            Self::Seconds(value) => json!(format!("{value}s")),
            Self::Time(seconds) => match Timestamp::from_second(*seconds) {
                Ok(time) => json!(time),
                Err(_) => json!("9999-12-30T22:00:00Z"),
            },
            Self::Numbers(value) => json!(value),
        }
    }
}

/// Copies files for us alone.
fn copy_tree(from: &Path, to: &Path) {
    DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
