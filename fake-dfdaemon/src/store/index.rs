//! An index of the records: copies of all records of a directory in one file, a block. With it, the next opening
//! looks at the inode of each record instead of reading the record, and does not list a directory that has not
//! changed.
//!
//! It is a cache and nothing else. A copy counts only while the file that it was made of is the same: its
//! inode, its time of change and its length. So a record that came later, was edited or restored from a snapshot is
//! read. Of a directory the same three tell whether a name came or went. A block that is torn or damaged fails its
//! checksum. What a copy says is held against the same rules as what a record says. Nothing is lost with an index,
//! and an error of one is no error of the opening.
//!
//! How a block is written is in [`block`].

mod block;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use self::block::{Block, Copy, NewBlock};
use super::disk::{Directory, Disk, FileTime, Identity, Names};
use super::layout;
use super::record::{OwnForm, Packed, Scratch, parse};
use crate::dfdaemon::mutex::Mutex;

/// Records of a directory that are worth a block. In tests fewer, which fail each step of a load with that many.
const WORTH_A_BLOCK: usize = if cfg!(test) { 8 } else { 32 };

/// How long a record or a directory must have been unchanged, in seconds: longer than a tick of any file system's
/// clock, in which a second change would hide behind the first.
const SETTLED_AFTER: i64 = 3;

/// The index of a store while its records are loaded.
pub(super) struct Index<'a> {
    disk: Disk,
    root: PathBuf,
    scratch: &'a Scratch,
    /// Where the blocks are; `None` if there is no index.
    there: Option<Directory>,
    blocks: HashSet<OsString>,
    /// Whether something lies there that is not ours, such as a link.
    is_occupied: bool,
    /// What must not have changed since then is settled.
    settled: OnceLock<Option<FileTime>>,
    /// The blocks that are of use.
    used: Mutex<HashSet<OsString>>,
}

/// Memory for the records of a directory, to be used for one after the other.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    known: Block,
    /// The copies in `known` that hold.
    held: Vec<usize>,
    new: NewBlock,
    record: Vec<u8>,
}

/// The records of one directory, as they are read.
pub(super) struct Records<'a> {
    index: &'a Index<'a>,
    directory: &'a Directory,
    /// Also the name of the block.
    prefix: &'a OsStr,
    buffers: &'a mut Buffers,
    /// The names that the directory has.
    names: usize,
    /// The time of the last change that is settled, if what is read is copied.
    settled: Option<FileTime>,
}

/// A record that the index can hold.
pub(super) trait Indexed: OwnForm + Packed + DeserializeOwned {}

impl<T: OwnForm + Packed + DeserializeOwned> Indexed for T {}

impl<'a> Index<'a> {
    pub(super) fn open(disk: &Disk, root: PathBuf, scratch: &'a Scratch) -> Self {
        let disk = disk.unsynced();
        let there = disk.directory_itself(&root).and_then(|there| {
            let mut blocks = Names::default();
            disk.names(&there, &mut blocks)?;
            Ok((there, blocks.iter().map(OsStr::to_owned).collect()))
        });
        let is_absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let is_occupied = there.as_ref().is_err_and(|error| !is_absent(error));
        let (there, blocks) = there.ok().unzip();
        Self {
            is_occupied,
            there,
            blocks: blocks.unwrap_or_default(),
            disk,
            root,
            scratch,
            settled: OnceLock::new(),
            used: Mutex::default(),
        }
    }

    /// The records of the directory that `path` leads to.
    pub(super) fn records(
        &'a self,
        path: &'a Path,
        directory: &'a Directory,
        buffers: &'a mut Buffers,
    ) -> Records<'a> {
        let prefix = path.file_name().unwrap_or_default();
        buffers.held.clear();
        buffers.new.clear();
        let known = &mut buffers.known;
        let block = self.there.as_ref().filter(|_| self.blocks.contains(prefix));
        let read = block.and_then(|there| {
            let disk = &self.disk;
            disk.read_cache_in(there, prefix, block::MAGIC, &mut known.bytes)
        });
        match read {
            Some(()) => known.parse(),
            None => known.clear(),
        }
        Records {
            index: self,
            directory,
            prefix,
            buffers,
            names: 0,
            settled: None,
        }
    }

    fn settled(&self) -> Option<FileTime> {
        if self.is_occupied {
            return None;
        }
        *self.settled.get_or_init(|| {
            let now = self.disk.file_time(&self.scratch.path()).ok()?;
            Some(FileTime(now.0 - SETTLED_AFTER, now.1))
        })
    }

    fn write(&self, prefix: &OsStr, block: &[u8]) -> io::Result<()> {
        let written = self.scratch.path();
        let placed = self.disk.write_new(&written, block).and_then(|()| {
            let place = self.root.join(prefix);
            self.disk.rename(&written, &place)
        });
        placed.inspect_err(|_| self.disk.discard(&written))
    }

    /// Removes the blocks that are of no use. To be called when every directory has been read.
    pub(super) fn sweep(self) {
        let used = self.used.lock();
        let Some(there) = &self.there else {
            return;
        };
        for block in self.blocks.difference(&used) {
            self.disk.discard_in(there, block, block::MAGIC);
        }
    }
}

impl Records<'_> {
    /// Reads all records without a list of the directory; `None` if it or one of them is not as it was, or if
    /// `is_right` does not hold of one.
    pub(super) fn unlisted<T: Indexed>(
        &mut self,
        records: &mut Vec<T>,
        is_right: impl Fn(&OsStr, &T) -> bool,
    ) -> Option<()> {
        let known = &self.buffers.known;
        let is_same = known.is_all_of(self.directory.identity?);
        if !is_same || !self.index.disk.tells_changes(self.directory) {
            return None;
        }
        for number in 0..known.len() {
            let copy = known.copy(number)?;
            let record = self.of_copy(&copy);
            let record = record.filter(|record| is_right(copy.name, record));
            let Some(record) = record else {
                records.clear();
                return None;
            };
            records.push(record);
        }
        self.is_used();
        Some(())
    }

    /// The record that a copy was made of, if it has not changed.
    fn of_copy<T: Packed>(&self, copy: &Copy<'_>) -> Option<T> {
        let there = self.index.disk.identity_in(self.directory, copy.name);
        if there != Some(copy.identity) {
            return None;
        }
        T::unpack(layout::recorded(copy.name)?, copy.bytes)
    }

    /// Says how many names the directory has, before any record is read.
    pub(super) fn expect(&mut self, names: usize) {
        self.names = names;
        if names < WORTH_A_BLOCK {
            self.buffers.known.clear();
        } else {
            self.settled = self.index.settled();
        }
    }

    /// Reads a record; `None` if it cannot be one of ours. A copy that `is_right` does not hold of is none.
    pub(super) fn read<T: Indexed>(
        &mut self,
        name: &OsStr,
        is_right: impl Fn(&T) -> bool,
    ) -> io::Result<Option<T>> {
        if let Some(number) = self.buffers.known.find(name)
            && let Some(copy) = self.buffers.known.copy(number)
            && let Some(record) = self.of_copy(&copy).filter(&is_right)
        {
            self.buffers.held.push(number);
            return Ok(Some(record));
        }
        let (disk, directory) = (&self.index.disk, self.directory);
        let Buffers {
            new, record: bytes, ..
        } = &mut *self.buffers;
        let Some(settled) = self.settled else {
            disk.read_in(directory, name, bytes)?;
            return Ok(parse(bytes));
        };
        let identity = disk.read_identified_in(directory, name, bytes)?;
        let record: Option<T> = parse(bytes);
        if let Some(identity) = identity
            && identity.changed < settled
            // Else another has lain there than what was read.
            && identity.length == bytes.len() as u64
            && let Some(record) = record.as_ref().filter(|record| is_right(record))
        {
            new.push(name, identity, |to| record.pack(to));
        }
        Ok(record)
    }

    /// Writes a block that saves reading or a list next time, if this one read much, or if the directory has been as
    /// it is for a while. `others` is how many names are right there and are those of no record.
    pub(super) fn finish(self, others: usize) {
        let Buffers {
            known, held, new, ..
        } = &mut *self.buffers;
        if let Some(settled) = self.settled {
            let read = new.len();
            let kept = read + held.len();
            if kept < WORTH_A_BLOCK {
                return;
            }
            let is_whole = |directory: &Identity| {
                let tells = || self.index.disk.tells_changes(self.directory);
                kept + others == self.names && directory.changed < settled && tells()
            };
            let directory = self.directory.identity.filter(is_whole);
            let is_news = directory.is_some_and(|directory| !known.is_all_of(directory));
            if is_news || read > kept / 8 || known.len() > 2 * held.len() {
                for copy in held.iter().filter_map(|number| known.copy(*number)) {
                    new.push(copy.name, copy.identity, |to| {
                        to.extend_from_slice(copy.bytes);
                    });
                }
                let block = new.bytes(directory);
                if let Err(error) = self.index.write(self.prefix, &block) {
                    tracing::debug!(%error, "no index of records was written");
                    return;
                }
            }
        } else if known.len() == 0 {
            return;
        }
        self.is_used();
    }

    fn is_used(&self) {
        self.index.used.lock().insert(self.prefix.to_owned());
    }
}
