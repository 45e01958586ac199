//! The records of the state directory: JSON that a person can read, written beside and renamed.
//!
//! A record is there whole or not at all. What a record means is the cluster's business.

mod own_form;
mod packed;
#[cfg(test)]
mod samples;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dfdaemon_api::piece::PieceLayout;
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use self::own_form::OwnForm;
pub(super) use self::packed::Packed;
use super::disk::{Disk, RECORD_END, with_path};
use crate::dfdaemon::task_id::{TaskId, Text};

/// The scheduler's record of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskRecord {
    pub(crate) task_id: TaskId,
    pub(crate) state: TaskState,
    pub(crate) persistent_replica_count: u64,
    pub(crate) tag: Option<Box<str>>,
    pub(crate) application: Option<Box<str>>,
    /// In bytes.
    pub(crate) piece_length: u64,
    /// In bytes.
    pub(crate) content_length: u64,
    #[serde(with = "human_duration")]
    pub(crate) ttl: Duration,
    /// Whole seconds.
    pub(crate) created_at: Timestamp,
    /// Whole seconds.
    pub(crate) updated_at: Timestamp,
}

impl TaskRecord {
    /// Whether its lengths make pieces, as those of every import do.
    pub(crate) fn has_pieces(&self) -> bool {
        PieceLayout::new(self.content_length, self.piece_length).is_ok()
    }
}

/// The state of a task.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, TaskState};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let failed = |task: &fake_dfdaemon::Task| task.state == TaskState::Failed;
/// assert!(!daemon.tasks().iter().any(failed));
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// It is being imported.
    Uploading,
    /// Its content is there.
    Succeeded,
    /// Its import failed. An import of the same content takes its place.
    Failed,
}

impl TaskState {
    /// As the scheduler writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "Uploading",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// A host's record of its replica of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaRecord {
    pub(crate) task_id: TaskId,
    /// Distinguishes the replicas of one task from those of an earlier one with the same id.
    pub(crate) task_created_at: Timestamp,
    pub(crate) persistent: bool,
    #[serde(with = "human_duration")]
    pub(crate) ttl: Duration,
    /// In bytes.
    pub(crate) piece_length: u64,
    /// In bytes.
    pub(crate) content_length: u64,
    /// The CRC-32 of each piece, unless nobody computed them.
    pub(crate) piece_crc32: Option<Arc<[u32]>>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// When the replica was whole.
    pub(crate) finished_at: Option<Timestamp>,
    /// When the import that it belongs to broke.
    pub(crate) failed_at: Option<Timestamp>,
}

/// Names files that are not in place yet. Unique in the process, which alone writes there.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: PathBuf,
    next: AtomicU64,
}

impl Scratch {
    /// Scratch space in `dir`, emptied.
    pub(crate) fn new(disk: &Disk, dir: PathBuf) -> io::Result<Self> {
        disk.create_dir_all(&dir)?;
        for (path, _) in disk.list(&dir).map_err(with_path(&dir))? {
            disk.remove(&path).map_err(with_path(&path))?;
        }
        Ok(Self {
            dir,
            next: AtomicU64::new(0),
        })
    }

    /// A path that nothing is at.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// Puts a record into place, over an older one. After an error it may be in place nevertheless.
pub(crate) fn write(
    disk: &Disk,
    scratch: &Scratch,
    path: &Path,
    record: &impl Serialize,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(record)?;
    bytes.extend_from_slice(RECORD_END);
    let written = scratch.path();
    let placed = disk
        .write_new(&written, &bytes)
        .and_then(|()| disk.rename(&written, path));
    placed.inspect_err(|_| disk.discard(&written))
}

/// What a record's bytes say; `None` if it cannot be one of ours.
pub(super) fn parse<T: OwnForm + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    T::parse(bytes).or_else(|| serde_json::from_slice(bytes).ok())
}

mod human_duration {
    use super::*;

    pub(super) fn serialize<S: Serializer>(ttl: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*ttl))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = Text::deserialize(from)?;
        humantime::parse_duration(&text.0).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Names;
    use super::*;

    fn record() -> TaskRecord {
        TaskRecord {
            task_id: TaskId::of("12345"),
            state: TaskState::Succeeded,
            persistent_replica_count: 2,
            tag: Some("a \"tag\"".into()),
            application: None,
            piece_length: 4 << 20,
            content_length: 7,
            ttl: Duration::from_millis(5_400_250),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn read_at(path: &Path) -> Option<TaskRecord> {
        let disk = Disk::new(false);
        let directory = disk.directory(path.parent().unwrap()).unwrap();
        let mut names = Names::default();
        disk.names(&directory, &mut names).unwrap();
        let [name] = names.iter().collect::<Vec<_>>()[..] else {
            panic!("{names:?}");
        };
        let mut bytes = Vec::new();
        disk.read_in(&directory, name, &mut bytes).unwrap();
        parse(&bytes)
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let scratch = Scratch::new(&disk, dir.path().join("tmp")).unwrap();
        let path = dir.path().join("123").join("12345.json");
        for _ in 0..2 {
            write(&disk, &scratch, &path, &record()).unwrap();
        }
        assert_eq!(read_at(&path), Some(record()));
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains(r#""ttl":"1h 30m 250ms""#)
        );
        assert_eq!(
            std::fs::read_dir(dir.path().join("tmp")).unwrap().count(),
            0
        );
    }

    #[test]
    fn states_are_called_alike_in_records_and_in_answers() {
        for state in [
            TaskState::Uploading,
            TaskState::Succeeded,
            TaskState::Failed,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn a_damaged_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        for bytes in [&b""[..], b"{", b"\xff\x00", b"{\"task_id\":\"1\"}"] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_at(&path), None);
        }
    }

    #[test]
    fn lengths_that_make_no_pieces_are_none_of_a_task() {
        let of = |content_length, piece_length| TaskRecord {
            content_length,
            piece_length,
            ..record()
        };
        assert!(of(0, 1).has_pieces() && of(u64::from(u32::MAX), 1).has_pieces());
        assert!(!of(7, 0).has_pieces() && !of(1 << 32, 1).has_pieces());
    }
}
