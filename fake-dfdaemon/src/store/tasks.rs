//! The scheduler's records on disk: `scheduler/tasks/<prefix>/<id>.json`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Names};
use super::index::{Buffers, Index};
use super::record::{self, Scratch, TaskRecord};
use super::{layout, parallel_read};
use crate::dfdaemon::task_id::TaskId;

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

    /// Reads every record, and has it taken. What is no record is left alone: this holds nothing that
    /// anybody was promised.
    pub(crate) fn load(&self, mut take: impl FnMut(TaskRecord) + Send) -> io::Result<()> {
        self.disk.create_dir_all(&self.root)?;
        let take = |found: &mut Found| {
            for path in found.ignored.drain(..) {
                tracing::warn!(path = %path.display(), "not a task record, ignored");
            }
            found.records.drain(..).for_each(&mut take);
        };
        let index = Index::open(&self.disk, self.index.clone(), &self.scratch);
        let read = |dir: &Path, found: &mut Found| self.read(dir, &index, found);
        parallel_read::read_each(&self.disk, &self.root, read, take)?;
        index.sweep();
        Ok(())
    }

    fn read(&self, dir: &Path, index: &Index<'_>, found: &mut Found) -> io::Result<()> {
        let directory = self.disk.directory(dir, std::mem::take(&mut found.names))?;
        let mut files = index.records(dir, &directory, &mut found.buffers);
        for name in directory.names.iter() {
            let is_right = |record: &TaskRecord| is_named(record, name) && record.has_pieces();
            match files.read(name, is_right)? {
                Some(record) if is_right(&record) => found.records.push(record),
                Some(_) => {}
                None => found.ignored.push(dir.join(name)),
            }
        }
        files.finish();
        found.names = directory.names;
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
