//! The scheduler's records on disk: `scheduler/tasks/<prefix>/<id>.json`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::vec::Drain;

use super::disk::{Disk, Names};
use super::index::{Buffers, Index};
use super::record::{self, Scratch, TaskRecord};
use super::{layout, parallel_read};
use crate::dfdaemon::task_id::TaskId;

/// How many times what was read more is expected, at most: directories may have anything in them.
const MOST_EXPECTED: usize = 32;

/// The scheduler's records.
#[derive(Debug)]
pub(crate) struct TaskStore {
    disk: Disk,
    root: PathBuf,
    scratch: Scratch,
    index: PathBuf,
}

/// What is in a directory.
#[derive(Default)]
struct Found {
    records: Vec<TaskRecord>,
    /// The files that are no records.
    ignored: Vec<PathBuf>,
    names: Names,
    buffers: Buffers,
}

impl TaskStore {
    /// The records below `dir`, which is made if it is not there.
    pub(crate) fn open(disk: Disk, dir: &Path) -> io::Result<Self> {
        let root = layout::tasks(dir);
        disk.create_dir_all(&root)?;
        let scratch = Scratch::new(&disk, layout::scratch(dir))?;
        Ok(Self {
            disk,
            root,
            scratch,
            index: layout::index(dir),
        })
    }

    /// Reads every record, and has those of a directory taken together, with how many it may be in all. What is
    /// no record is left alone: this holds nothing that anybody was promised.
    pub(crate) fn load(
        &self,
        mut take: impl FnMut(Drain<'_, TaskRecord>, usize) + Send,
    ) -> io::Result<()> {
        self.disk.create_dir_all(&self.root)?;
        let (mut taken, mut taken_dirs) = (0, 0);
        let take = |found: &mut Found, dirs: usize| {
            for path in found.ignored.drain(..) {
                tracing::warn!(path = %path.display(), "not a task record, ignored");
            }
            taken += found.records.len();
            taken_dirs += 1;
            let dirs = dirs.min(MOST_EXPECTED * taken_dirs);
            let expected = taken * dirs / taken_dirs;
            take(found.records.drain(..), expected);
        };
        let index = Index::open(&self.disk, self.index.clone(), &self.scratch);
        let read = |dir: &Path, found: &mut Found| self.read(dir, &index, found);
        parallel_read::read_each(&self.disk, &self.root, read, take)?;
        index.sweep();
        Ok(())
    }

    fn read(&self, dir: &Path, index: &Index<'_>, found: &mut Found) -> io::Result<()> {
        let directory = self.disk.directory(dir)?;
        let mut files = index.records(dir, &directory, &mut found.buffers);
        let is_right =
            |name: &OsStr, record: &TaskRecord| is_named(record, name) && record.has_pieces();
        if files.unlisted(&mut found.records, is_right).is_some() {
            return Ok(());
        }
        self.disk.names(&directory, &mut found.names)?;
        files.expect(found.names.len());
        for name in found.names.iter() {
            match files.read(name, |record| is_right(name, record))? {
                Some(record) if is_right(name, &record) => found.records.push(record),
                Some(_) => {}
                None => found.ignored.push(dir.join(name)),
            }
        }
        files.finish(0);
        Ok(())
    }

    pub(crate) fn write(&self, record: &TaskRecord) -> io::Result<()> {
        record::write(
            &self.disk,
            &self.scratch,
            &self.path(&record.task_id),
            record,
        )
    }

    pub(crate) fn remove(&self, id: &TaskId) -> io::Result<()> {
        self.disk.remove(&self.path(id))
    }

    /// Removes a record that nobody has use for, at once or later.
    pub(crate) fn discard(&self, id: &TaskId) {
        self.disk.discard(&self.path(id));
    }

    fn path(&self, id: &TaskId) -> PathBuf {
        layout::record(&self.root, id)
    }
}

/// Whether a record lies by the name of its task.
fn is_named(record: &TaskRecord, name: &OsStr) -> bool {
    Path::new(name).file_stem().and_then(OsStr::to_str) == Some(&*record.task_id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::store::TaskState;

    #[test]
    fn as_many_tasks_are_expected_as_there_are_where_directories_have_as_many() {
        const DIRS: usize = 40;
        let dir = tempfile::tempdir().unwrap();
        let store = TaskStore::open(Disk::new(false), dir.path()).unwrap();
        for number in 0..2 * DIRS {
            let task = TaskRecord {
                task_id: TaskId::of(&format!("{}{}", 100 + number / 2, number % 2)),
                state: TaskState::Succeeded,
                persistent_replica_count: 1,
                tag: None,
                application: None,
                piece_length: 4 << 20,
                content_length: 7,
                ttl: Duration::from_secs(60),
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
            };
            store.write(&task).unwrap();
        }
        let (mut taken, mut all_expected) = (0, Vec::new());
        let take = |tasks: Drain<'_, TaskRecord>, expected| {
            taken += tasks.len();
            all_expected.push(expected);
        };
        store.load(take).unwrap();
        assert_eq!((taken, all_expected.len()), (2 * DIRS, DIRS));
        // Not much is expected of a single one.
        assert_eq!(all_expected.first(), Some(&(2 * MOST_EXPECTED)));
        assert_eq!(all_expected.get(1), Some(&(2 * DIRS)));
        assert_eq!(all_expected.last(), Some(&(2 * DIRS)));
    }
}
