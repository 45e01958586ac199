//! The scheduler's records on disk: `scheduler/tasks/<prefix>/<id>.json`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::record::{self, Scratch, TaskRecord};
use super::{layout, parallel_read};
use crate::dfdaemon::task_id::TaskId;

/// The scheduler's records.
#[derive(Debug)]
pub(crate) struct TaskStore {
    disk: Disk,
    root: PathBuf,
    scratch: Scratch,
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
        })
    }

    /// Reads every record, and has it taken. What is no record is left alone: this holds nothing that
    /// anybody was promised.
    pub(crate) fn load(&self, mut take: impl FnMut(TaskRecord) + Send) -> io::Result<()> {
        self.disk.create_dir_all(&self.root)?;
        let take = |(records, ignored): (Vec<TaskRecord>, Vec<PathBuf>)| {
            for path in ignored {
                tracing::warn!(path = %path.display(), "not a task record, ignored");
            }
            records.into_iter().for_each(&mut take);
        };
        parallel_read::read_each(&self.disk, &self.root, |dir| self.read(dir), take)
    }

    /// The records in a directory, and the files that are no records.
    fn read(&self, dir: &Path) -> io::Result<(Vec<TaskRecord>, Vec<PathBuf>)> {
        let directory = self.disk.directory(dir)?;
        let (mut records, mut ignored) = (Vec::new(), Vec::new());
        let mut buffer = Vec::new();
        for name in &directory.names {
            let record = record::read::<TaskRecord>(&self.disk, &directory, name, &mut buffer)?;
            let Some(record) = record else {
                ignored.push(dir.join(name));
                continue;
            };
            let named = Path::new(name).file_stem().and_then(OsStr::to_str);
            if named == Some(&*record.task_id) && record.has_pieces() {
                records.push(record);
            }
        }
        Ok((records, ignored))
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
