//! What tells one version of a file from every other: a cache of the file can be checked against it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::Disk;
use super::failure::DiskOp;
use crate::store::private_files;

/// A time of a file system: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct FileTime(pub(in crate::store) i64, pub(in crate::store) u32);

/// A regular file or a directory at one moment. Each change of it sets its time of change, which no program can choose: two
/// changes within a tick of the file system's clock alone look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Identity {
    pub(in crate::store) inode: u64,
    pub(in crate::store) changed: FileTime,
    pub(in crate::store) length: u64,
}

impl Identity {
    /// `None` of what is no regular file.
    pub(super) fn of(stat: &Stat) -> Option<Self> {
        Self::of_a(FileType::RegularFile, stat)
    }

    /// `None` of what is no directory. Its time of change tells when a name came or went last.
    pub(super) fn of_directory(stat: &Stat) -> Option<Self> {
        Self::of_a(FileType::Directory, stat)
    }

    fn of_a(kind: FileType, stat: &Stat) -> Option<Self> {
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return None;
        }
        let nanoseconds = u32::try_from(stat.st_ctime_nsec).ok()?;
        Some(Self {
            inode: stat.st_ino,
            changed: FileTime(stat.st_ctime, nanoseconds),
            length: u64::try_from(stat.st_size).ok()?,
        })
    }
}

impl Disk {
    /// The same disk for what need not survive the machine.
    pub(in crate::store) fn unsynced(&self) -> Self {
        Self {
            fsync: false,
            ..self.clone()
        }
    }

    /// What time the file system has it, by a file that is made at `path` for that. It may be another
    /// machine's.
    pub(in crate::store) fn file_time(&self, path: &Path) -> io::Result<FileTime> {
        self.step(DiskOp::Create)?;
        let made = private_files::create_new(path)?.metadata();
        self.discard(path);
        let made = made?;
        let nanoseconds = u32::try_from(made.ctime_nsec()).map_err(io::Error::other)?;
        Ok(FileTime(made.ctime() + self.clock_ahead(), nanoseconds))
    }

    #[cfg(not(test))]
    fn clock_ahead(&self) -> i64 {
        0
    }

    #[cfg(test)]
    fn clock_ahead(&self) -> i64 {
        self.clock_ahead
    }

    /// The same disk with the clock of its file system ahead: no test can set a time of change.
    #[cfg(test)]
    pub(in crate::store) fn with_clock_ahead(self, seconds: i64) -> Self {
        Self {
            clock_ahead: seconds,
            ..self
        }
    }
}
