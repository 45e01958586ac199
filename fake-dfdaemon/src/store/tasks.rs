//! The scheduler's records on disk: `scheduler/tasks/<prefix>/<id>.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::record::{self, Scratch, TaskRecord, is_task_id, prefix};

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
        let root = dir.join("tasks");
        disk.create_dir_all(&root)?;
        let scratch = Scratch::new(&disk, dir.join("tmp"))?;
        Ok(Self {
            disk,
            root,
            scratch,
        })
    }

    /// Reads every record. What is no record is left alone: this directory holds nothing that
    /// anybody was promised.
    pub(crate) fn load(&self) -> io::Result<Vec<TaskRecord>> {
        self.disk.create_dir_all(&self.root)?;
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(entry.path())? {
                let path = file?.path();
                let Some(record) = record::read::<TaskRecord>(&self.disk, &path)? else {
                    tracing::warn!(path = %path.display(), "not a task record, ignored");
                    continue;
                };
                let named = path.file_stem().and_then(|stem| stem.to_str());
                if named == Some(&record.task_id) && is_task_id(&record.task_id) {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    /// The directory that holds the records and nothing else.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn write(&self, record: &TaskRecord) -> io::Result<()> {
        record::write(
            &self.disk,
            &self.scratch,
            &self.path(&record.task_id),
            record,
        )
    }

    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        self.disk.remove(&self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join(prefix(id)).join(format!("{id}.json"))
    }
}
