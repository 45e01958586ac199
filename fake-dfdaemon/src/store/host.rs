//! The files of one host: content, and a record beside it.
//!
//! A replica is there when its record is, and the record comes after the content; removal goes the
//! other way round. Opening sweeps what has no record.

mod links;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use self::links::Links;
use super::disk::{Directory, Disk, Names, with_path};
use super::index::{Buffers, Index};
use super::record::{self, ReplicaRecord, Scratch};
use super::{layout, parallel_read};
use crate::dfdaemon::task_id::TaskId;

/// The files of one host.
#[derive(Debug)]
pub(crate) struct HostStore {
    disk: Disk,
    root: PathBuf,
    scratch: Scratch,
    index: PathBuf,
    links: Links,
}

/// What lies in a directory.
#[derive(Default)]
struct Found {
    dir: PathBuf,
    /// Those whose content is there.
    records: Vec<ReplicaRecord>,
    /// What is neither that nor content of one: records before content, as they are to be removed.
    unwanted: Vec<PathBuf>,
    names: Names,
    buffers: Buffers,
}

/// Content that is not in place yet. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    disk: Disk,
    placed: bool,
}

impl HostStore {
    /// The files below `dir`, which is made if it is not there. Nothing is half done in it then.
    pub(crate) fn open(disk: Disk, dir: &Path) -> io::Result<Self> {
        let root = layout::contents(dir);
        disk.create_dir_all(&root)?;
        let scratch = Scratch::new(&disk, layout::scratch(dir))?;
        Ok(Self {
            disk,
            root,
            scratch,
            index: layout::index(dir),
            links: Links::default(),
        })
    }

    /// Reads every record whose content is there, whole. `take` says of a record whether its task has
    /// use for it. All else is removed.
    pub(crate) fn load(
        &self,
        mut take: impl FnMut(ReplicaRecord) -> bool + Send,
    ) -> io::Result<()> {
        self.disk.create_dir_all(&self.root)?;
        let mut unusable = Vec::new();
        let take = |found: &mut Found, _| {
            unusable.append(&mut found.unwanted);
            for record in found.records.drain(..) {
                let id = record.task_id.clone();
                if !take(record) {
                    let paths = [format!("{id}.json"), id.to_string()];
                    unusable.extend(paths.map(|name| found.dir.join(name)));
                }
            }
        };
        let index = Index::open(&self.disk, self.index.clone(), &self.scratch);
        let read = |dir: &Path, found: &mut Found| self.read(dir, &index, found);
        parallel_read::read_each(&self.disk, &self.root, read, take)?;
        index.sweep();
        for path in unusable {
            self.disk.remove(&path).map_err(with_path(&path))?;
        }
        Ok(())
    }

    fn read(&self, dir: &Path, index: &Index<'_>, found: &mut Found) -> io::Result<()> {
        let directory = self.disk.directory(dir)?;
        let mut files = index.records(dir, &directory, &mut found.buffers);
        let (records, unwanted) = (&mut found.records, &mut found.unwanted);
        dir.clone_into(&mut found.dir);
        let is_whole = |record: &ReplicaRecord| {
            // What cannot be looked at is looked at again.
            self.has_content(&directory, record).unwrap_or(false)
        };
        let is_right =
            |name: &OsStr, record: &ReplicaRecord| is_named(record, dir, name) && is_whole(record);
        if files.unlisted(records, is_right).is_some() {
            return Ok(());
        }
        self.disk.names(&directory, &mut found.names)?;
        files.expect(found.names.len());
        let mut contents = Vec::new();
        for name in found.names.iter() {
            if !name.as_bytes().ends_with(layout::RECORD_SUFFIX) {
                contents.push(name);
                continue;
            }
            let is_right = |record: &ReplicaRecord| is_named(record, dir, name);
            match files.read(name, is_right)?.filter(is_right) {
                Some(record) if self.has_content(&directory, &record)? => records.push(record),
                _ => unwanted.push(dir.join(name)),
            }
        }
        let is_finished = |record: &&ReplicaRecord| record.finished_at.is_some();
        let finished = records.iter().filter(is_finished).count();
        files.finish(finished);
        // Each finished one has a content of its own: where there are no more, none is unwanted.
        if contents.len() > finished {
            let ids = records.iter();
            let ids = ids.map(|record: &ReplicaRecord| OsStr::new(&*record.task_id));
            let ids: HashSet<_> = ids.collect();
            contents.retain(|name| !ids.contains(name));
            unwanted.extend(contents.into_iter().map(|name| dir.join(name)));
        }
        Ok(())
    }

    /// Whether the content that a record tells of is there, whole.
    fn has_content(&self, directory: &Directory, record: &ReplicaRecord) -> io::Result<bool> {
        if record.finished_at.is_none() {
            // The record of a broken import has no content.
            return Ok(record.failed_at.is_some());
        }
        // One that cannot be looked at may well be whole: no reason to remove it.
        let length = self
            .disk
            .length_in(directory, OsStr::new(&*record.task_id))?;
        Ok(length == Some(record.content_length))
    }

    /// Where the content of a task lies, if this host has it.
    pub(crate) fn content_path(&self, id: &TaskId) -> PathBuf {
        layout::content(&self.root, id)
    }

    fn record_path(&self, id: &TaskId) -> PathBuf {
        layout::record(&self.root, id)
    }

    /// An empty file for content to come.
    pub(crate) fn new_content(&self) -> io::Result<Content> {
        let path = self.scratch.path();
        let file = self.disk.create(&path)?;
        Ok(Content {
            file,
            path,
            disk: self.disk.clone(),
            placed: false,
        })
    }

    /// The file that lies where a task's content goes, to be written and put back: whatever has a further
    /// name of it gets what is written. The host has no whole replica of the task.
    pub(crate) fn taken_back(&self, id: &TaskId) -> io::Result<Content> {
        let path = self.scratch.path();
        self.disk.rename(&self.content_path(id), &path)?;
        let opened = self.disk.open_again(&path);
        self.scratch_content(path, opened)
    }

    /// The content of `source` itself, under a further name.
    pub(crate) fn linked_content(&self, source: &File) -> io::Result<Content> {
        let path = self.scratch.path();
        self.disk.link_open(source, &path)?;
        let opened = self.disk.open(&path);
        self.scratch_content(path, opened)
    }

    /// Content that lies at a scratch path. If it could not be opened, nothing is left there.
    fn scratch_content(&self, path: PathBuf, opened: io::Result<File>) -> io::Result<Content> {
        let file = opened.inspect_err(|_| self.disk.discard(&path))?;
        Ok(Content {
            file,
            path,
            disk: self.disk.clone(),
            placed: false,
        })
    }

    /// The symbolic link at `link` itself, under a further name. What it led to is `source`.
    pub(crate) fn linked_link(&self, link: &Path, source: &File) -> io::Result<Content> {
        let path = self.scratch.path();
        self.disk.link(link, &path)?;
        let content = |file| Content {
            file,
            path: path.clone(),
            disk: self.disk.clone(),
            placed: false,
        };
        let opened = source.try_clone().map(content);
        opened.inspect_err(|_| self.disk.discard(&path))
    }

    /// Puts content and its record into place, of a task that this host has no replica of. After an
    /// error it still has none.
    pub(crate) fn place(&self, content: &mut Content, record: &ReplicaRecord) -> io::Result<()> {
        let path = self.content_path(&record.task_id);
        self.close_kept(&record.task_id);
        self.disk.sync(&content.file)?;
        let placed = self.disk.rename(&content.path, &path).and_then(|()| {
            content.placed = true;
            self.write_record(record)
        });
        placed.inspect_err(|_| self.discard(&record.task_id))
    }

    pub(crate) fn write_record(&self, record: &ReplicaRecord) -> io::Result<()> {
        record::write(
            &self.disk,
            &self.scratch,
            &self.record_path(&record.task_id),
            record,
        )
    }

    pub(crate) fn open_content(&self, id: &TaskId) -> io::Result<File> {
        self.disk.open(&self.content_path(id))
    }

    /// Removes what this host has of a task. After an error it still has it.
    pub(crate) fn remove(&self, id: &TaskId) -> io::Result<()> {
        self.disk.remove(&self.record_path(id))?;
        self.close_kept(id);
        self.disk.discard(&self.content_path(id));
        Ok(())
    }

    /// Removes what this host has of a task that is gone, at once or later.
    pub(crate) fn discard(&self, id: &TaskId) {
        self.close_kept(id);
        self.disk.discard(&self.record_path(id));
        self.disk.discard(&self.content_path(id));
    }

    /// Bytes that can still be written here.
    pub(crate) fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space(&self.root)
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }
}

/// Whether a record lies where that of its task does.
fn is_named(record: &ReplicaRecord, dir: &Path, name: &OsStr) -> bool {
    let id = &record.task_id;
    dir.file_name() == Some(layout::prefix(id).as_ref())
        && name.to_str().and_then(|name| name.strip_suffix(".json")) == Some(id)
}

impl Content {
    /// Whether it lies where its task's content goes.
    pub(crate) fn is_placed(&self) -> bool {
        self.placed
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if !self.placed {
            self.disk.discard(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    fn record(id: &str, content_length: u64) -> ReplicaRecord {
        ReplicaRecord {
            task_id: TaskId::of(id),
            task_created_at: Timestamp::UNIX_EPOCH,
            persistent: true,
            ttl: Duration::from_secs(60),
            piece_length: 4 << 20,
            content_length,
            piece_crc32: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            finished_at: Some(Timestamp::UNIX_EPOCH),
            failed_at: None,
        }
    }

    fn open(dir: &Path) -> (HostStore, Vec<ReplicaRecord>) {
        let store = HostStore::open(Disk::new(false), dir).unwrap();
        let mut records = Vec::new();
        let take = |record| {
            records.push(record);
            true
        };
        store.load(take).unwrap();
        (store, records)
    }

    fn place(store: &HostStore, id: &str, bytes: &[u8]) -> ReplicaRecord {
        let mut content = store.new_content().unwrap();
        content.file.write_all_at(bytes, 0).unwrap();
        let record = record(id, bytes.len() as u64);
        store.place(&mut content, &record).unwrap();
        record
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut files = Vec::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(next) = dirs.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn placed_content_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let placed = place(&open(dir.path()).0, "12345", b"content");
        let (store, records) = open(dir.path());
        assert_eq!(records, [placed]);
        assert_eq!(
            fs::read(store.content_path(&TaskId::of("12345"))).unwrap(),
            b"content"
        );
        let content = "content/persistent-cache-tasks/123/12345".to_owned();
        assert_eq!(
            files(dir.path()),
            [content.clone(), format!("{content}.json")]
        );
    }

    #[test]
    fn opening_sweeps_what_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        for id in ["1110", "1111", "1112", "1113"] {
            place(&store, id, b"content");
        }
        // A record without content, content cut short, content without a record, a damaged record.
        fs::remove_file(store.content_path(&TaskId::of("1110"))).unwrap();
        fs::write(store.content_path(&TaskId::of("1111")), b"cont").unwrap();
        fs::remove_file(store.record_path(&TaskId::of("1112"))).unwrap();
        fs::write(store.record_path(&TaskId::of("1113")), b"{").unwrap();
        fs::write(dir.path().join("tmp/7"), b"half").unwrap();
        let (_, records) = open(dir.path());
        assert_eq!(records, []);
        assert_eq!(files(dir.path()), [""; 0]);
    }

    #[test]
    fn opening_sweeps_what_nobody_wants() {
        let dir = tempfile::tempdir().unwrap();
        place(&open(dir.path()).0, "12345", b"content");
        let store = HostStore::open(Disk::new(false), dir.path()).unwrap();
        store.load(|_| false).unwrap();
        assert_eq!(files(dir.path()), [""; 0]);
    }

    #[test]
    fn content_that_is_not_placed_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        drop(store.new_content().unwrap());
        assert_eq!(files(dir.path()), [""; 0]);
    }

    #[test]
    fn a_removed_task_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        place(&store, "12", b"content");
        store.remove(&TaskId::of("12")).unwrap();
        store.remove(&TaskId::of("12")).unwrap();
        assert_eq!(files(dir.path()), [""; 0]);
    }
}
