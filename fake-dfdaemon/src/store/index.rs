//! An index of the records: copies of all records of a directory in one file, a block. With it, the next opening
//! looks at the inode of each record instead of reading the record.
//!
//! It is a cache and nothing else. A copy counts only while the file that it was made of is the same: its
//! inode, its time of change and its length. So a record that came later, was edited or restored from a snapshot is
//! read. A block that is torn or damaged fails its checksum. What a copy says is held against the same
//! rules as what a record says. Nothing is lost with an index, and an error of one is no error of the opening.
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

use self::block::{Block, NewBlock};
use super::disk::{Directory, Disk, FileTime};
use super::record::{OwnForm, Scratch, parse};
use crate::dfdaemon::mutex::Mutex;

/// Records of a directory that are worth a block. In tests fewer, which fail each step of a load with that many.
const WORTH_A_BLOCK: usize = if cfg!(test) { 8 } else { 32 };

/// How long a record must have been unchanged, in seconds: longer than a tick of any file system's clock, in
/// which a second change would hide behind the first.
const SETTLED_AFTER: i64 = 3;

/// The index of a store while its records are loaded.
pub(super) struct Index<'a> {
    disk: Disk,
    root: PathBuf,
    scratch: &'a Scratch,
    /// The blocks there are; `None` if there is no index.
    there: Option<Directory>,
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
    /// The time of the last change that is settled, if what is read is copied.
    settled: Option<FileTime>,
}

impl<'a> Index<'a> {
    pub(super) fn open(disk: &Disk, root: PathBuf, scratch: &'a Scratch) -> Self {
        let disk = disk.unsynced();
        let there = disk.directory_itself(&root);
        let is_absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        Self {
            is_occupied: there.as_ref().is_err_and(|error| !is_absent(error)),
            there: there.ok(),
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
        let files = directory.names.len();
        buffers.held.clear();
        buffers.new.clear();
        let known = &mut buffers.known;
        known.clear();
        let mut settled = None;
        if files >= WORTH_A_BLOCK {
            if let Some(there) = &self.there {
                let most = block::most(files);
                let read = self
                    .disk
                    .read_cache_in(there, prefix, most, &mut known.bytes);
                match read {
                    Some(()) => known.parse(),
                    None => known.clear(),
                }
            }
            // Before any record is read.
            settled = self.settled();
        }
        Records {
            index: self,
            directory,
            prefix,
            buffers,
            settled,
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
        let unused = there.names.iter().filter(|block| !used.contains(*block));
        for block in unused {
            self.disk.discard_in(there, block, block::MAGIC);
        }
    }
}

impl Records<'_> {
    /// Reads a record; `None` if it cannot be one of ours. A copy that `is_right` does not hold of is none.
    pub(super) fn read<T: OwnForm + DeserializeOwned>(
        &mut self,
        name: &OsStr,
        is_right: impl Fn(&T) -> bool,
    ) -> io::Result<Option<T>> {
        let (disk, directory) = (&self.index.disk, self.directory);
        let Buffers {
            known,
            held,
            new,
            record: bytes,
        } = &mut *self.buffers;
        if let Some(number) = known.find(name)
            && let Some(copy) = known.copy(number)
            && disk.identity_in(directory, name) == Some(copy.identity)
            && let Some(record) = parse(copy.bytes).filter(&is_right)
        {
            held.push(number);
            return Ok(Some(record));
        }
        let Some(settled) = self.settled else {
            disk.read_in(directory, name, bytes)?;
            return Ok(parse(bytes));
        };
        let identity = disk.read_identified_in(directory, name, bytes)?;
        let record = parse(bytes);
        if let Some(identity) = identity
            && identity.changed < settled
            && record.as_ref().is_some_and(is_right)
        {
            new.push(name, identity, bytes);
        }
        Ok(record)
    }

    /// Writes a block that saves reading next time, if this one read much.
    pub(super) fn finish(self) {
        let Buffers {
            known, held, new, ..
        } = self.buffers;
        if self.settled.is_some() {
            let read = new.len();
            let kept = read + held.len();
            if kept < WORTH_A_BLOCK {
                return;
            }
            if read > kept / 8 || known.len() > 2 * held.len() {
                for copy in held.iter().filter_map(|number| known.copy(*number)) {
                    new.push(copy.name, copy.identity, copy.bytes);
                }
                if let Err(error) = self.index.write(self.prefix, new.bytes()) {
                    tracing::debug!(%error, "no index of records was written");
                    return;
                }
            }
        } else if known.len() == 0 {
            return;
        }
        self.index.used.lock().insert(self.prefix.to_owned());
    }
}
