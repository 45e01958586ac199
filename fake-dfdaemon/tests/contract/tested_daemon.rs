//! The daemon that a row is tried with: an endpoint, files of its own, and a fake behind it or not.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};
use fake_dfdaemon::{FakeDfdaemon, Release};
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::row::{Row, Runs};
use crate::support::client::{Client, Import};
use crate::support::content;
pub(crate) use crate::support::requests::{cache, export_to, seconds, transfer};
use crate::support::{requests, world};

pub(crate) const MIB: usize = 1 << 20;

/// What is mostly another file system than that of temporary files.
const OTHER_FILE_SYSTEM: &str = "/dev/shm";

/// Tells the content of one row and run from that of all others: an endpoint keeps tasks.
static NEXT_SEED: AtomicU64 = AtomicU64::new(0);

/// The daemon that a row is tried with, and the row's files.
pub(crate) struct TestedDaemon {
    pub(crate) release: Release,
    endpoint: PathBuf,
    /// Where the row's files are.
    pub(crate) dir: TempDir,
    daemon: Option<FakeDfdaemon>,
}

/// A file to import.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl TestedDaemon {
    /// A fake with a state of its own.
    pub(crate) async fn of_fake(release: Release, row: &Row) -> Self {
        let mut builder = FakeDfdaemon::builder().release(release).hosts(1);
        if let Runs::OnFake(_, setup) = row.runs {
            builder = setup(builder);
        }
        let daemon = builder.start().await.unwrap();
        Self {
            release,
            endpoint: daemon.endpoint().to_owned(),
            dir: tempfile::tempdir().unwrap(),
            daemon: Some(daemon),
        }
    }

    /// Somebody's endpoint.
    pub(crate) async fn of_endpoint(release: Release, endpoint: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The daemon may run as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(dir.path(), open).unwrap();
        Self {
            release,
            endpoint: endpoint.to_owned(),
            dir,
            daemon: None,
        }
    }

    /// The fake, which rows that need more than gRPC have.
    pub(crate) fn fake(&self) -> &FakeDfdaemon {
        self.daemon
            .as_ref()
            .expect("a row that needs a fake says so")
    }

    /// A client of the endpoint.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.endpoint).await
    }

    /// A client of a host of the fake.
    pub(crate) async fn host(&self, number: usize) -> Client {
        world::client(self.fake(), number).await
    }

    /// A path in the row's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Text that no other row and run has.
    pub(crate) fn unique(&self, text: &str) -> String {
        format!("{text} {:x}", fresh_seed())
    }

    /// A new file with content of its own.
    pub(crate) fn file(&self, length: usize) -> Source {
        let seed = fresh_seed();
        let bytes = content::bytes(seed, length);
        let path = self.path(&format!("source-{seed:x}"));
        fs::write(&path, &bytes).unwrap();
        Source { path, bytes }
    }

    /// A long file that takes time to import. It has no holes: those take none.
    pub(crate) fn long_file(&self, length: usize) -> PathBuf {
        let path = self.file(16).path;
        let mut file = fs::File::create(&path).unwrap();
        let bytes = vec![1; MIB];
        for _ in 0..length / MIB {
            file.write_all(&bytes).unwrap();
        }
        path
    }

    /// Imports a new file at the endpoint, and returns its id and bytes.
    pub(crate) async fn imported(&self, length: usize) -> (String, Vec<u8>) {
        let source = self.file(length);
        let task = self
            .client()
            .await
            .import(import(&source.path))
            .await
            .unwrap();
        (task.id, source.bytes)
    }

    /// A task that ended Failed because a host of `capacity` bytes had no room for it.
    pub(crate) async fn failed(&self, capacity: usize) -> String {
        let text = self.unique("failed");
        let too_big = self.file(capacity + 1);
        let request = import_as(&too_big.path, &text);
        let refused = self.client().await.import(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal, "{refused:?}");
        self.scheme().of_content(&text)
    }

    /// A directory on another file system than the row's own.
    pub(crate) fn other_file_system(&self) -> TempDir {
        tempfile::tempdir_in(OTHER_FILE_SYSTEM).unwrap()
    }

    pub(crate) fn scheme(&self) -> TaskIdScheme {
        content::scheme(self.release)
    }

    /// The id that an import of these bytes gets.
    pub(crate) fn id_of(&self, bytes: &[u8], parameters: Parameters<'_>) -> String {
        let mut hasher = TaskIdHasher::new(self.scheme());
        hasher.update(bytes);
        hasher.finish(parameters)
    }

    /// The text of a status of the scheduler that the daemon passes on.
    pub(crate) fn by_scheduler(&self, code: Code, message: &str) -> String {
        self.wrapped(code, message, r#"{"content-type": "application/grpc"}"#)
    }

    /// The text of a status of its own that the daemon wraps all the same.
    pub(crate) fn by_itself(&self, code: Code, message: &str) -> String {
        self.wrapped(code, message, "{}")
    }

    fn wrapped(&self, code: Code, message: &str, headers: &str) -> String {
        if self.release == Release::V0_2 {
            return format!(
                "status: {code:?}, message: {message:?}, details: [], \
                 metadata: MetadataMap {{ headers: {headers} }}"
            );
        }
        let phrase = match code {
            Code::NotFound => "Some requested entity was not found",
            Code::AlreadyExists => "Some entity that we attempted to create already exists",
            Code::InvalidArgument => "Client specified an invalid argument",
            Code::Internal => "Internal error",
            Code::FailedPrecondition => {
                "The system is not in a state required for the operation's execution"
            }
            other => panic!("no phrase for {other:?}"),
        };
        format!("code: '{phrase}', message: {message:?}")
    }

    /// That a status says so, in INTERNAL.
    #[track_caller]
    pub(crate) fn assert_internal(&self, status: &Status, text: &str) {
        assert_status(status, Code::Internal, text, self.daemon.is_none());
    }

    /// That the scheduler does not know the task.
    #[track_caller]
    pub(crate) fn assert_not_found(&self, status: &Status, id: &str) {
        let text = format!("persistent cache task {id} not found");
        self.assert_internal(status, &self.by_scheduler(Code::NotFound, &text));
    }

    /// The time of the fake's clock, and a move of it.
    pub(crate) async fn advance(&self, by: Duration) {
        self.fake().clock().advance(by).unwrap();
        self.fake().settle().await;
    }
}

/// That a status has this code and text. A real 1.5 may append the source of a wrapped status.
#[track_caller]
fn assert_status(status: &Status, code: Code, text: &str, may_append: bool) {
    let message = status.message();
    let same = match message.strip_prefix(text) {
        Some(rest) => rest.is_empty() || (may_append && rest.starts_with(", source: ")),
        None => false,
    };
    assert!(
        status.code() == code && same,
        "expected {code:?} {text:?}\n     got {:?} {message:?}",
        status.code()
    );
}

/// That a status has exactly this code and text.
#[track_caller]
pub(crate) fn assert_says(status: &Status, code: Code, text: &str) {
    assert_status(status, code, text, false);
}

/// An import of a file: one replica, an hour.
pub(crate) fn import(path: &Path) -> Import {
    requests::import(path, 1, 3600)
}

/// The same, its id computed from `content`.
pub(crate) fn import_as(path: &Path, content: &str) -> Import {
    requests::import_as(path, content, 1, 3600)
}

/// Whether there is a second file system to export to.
pub(crate) fn has_other_file_system() -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|at| at.dev()).ok();
    let other = device(Path::new(OTHER_FILE_SYSTEM));
    other.is_some() && other != device(&std::env::temp_dir())
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let run = (now.as_nanos() as u64).rotate_left(20) ^ u64::from(std::process::id());
    run ^ NEXT_SEED.fetch_add(1, Ordering::Relaxed).rotate_left(48)
}
