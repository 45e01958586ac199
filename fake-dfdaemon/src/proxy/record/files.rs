//! The files beside calls: what an import names, and what an export by path leaves.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::proxy::cassette::content::ContentStore;
use crate::proxy::cassette::{FileKind, FileSeen};

/// File systems tell the time of a change by a clock that ticks so slowly.
const TICK: Duration = Duration::from_millis(10);

/// A file as it was found. It is read later: its name may be gone by then.
#[derive(Debug)]
pub(crate) enum Found {
    Absent,
    Other,
    File(io::Result<File>, rustix::fs::Stat),
}

/// Looks at a path. Blocks on its file system.
pub(crate) fn look(path: &Path) -> Option<Found> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Some(Found::Absent),
        // Nobody can tell.
        Err(_) => return None,
    };
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Some(Found::Other);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty());
    Some(Found::File(
        file.map(File::from).map_err(io::Error::from),
        stat,
    ))
}

/// The file that a path leads to, through symbolic links too.
pub(crate) fn look_through(path: &Path) -> Option<Found> {
    match look(path) {
        Some(Found::Other) => look(&std::fs::canonicalize(path).ok()?),
        found => found,
    }
}

impl Found {
    /// Whether it was there, as it is, before a call that began at this time.
    pub(crate) fn is_older_than(&self, began: SystemTime) -> bool {
        let Self::File(_, stat) = self else {
            return true;
        };
        let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
        let nanos = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        changed + TICK < began
    }

    /// Whether it is this file, of this length.
    pub(crate) fn is(&self, inode: u64, length: i64) -> bool {
        matches!(self, Self::File(_, stat) if stat.st_ino == inode && stat.st_size == length)
    }

    /// Reads it to its end.
    pub(crate) fn read(self, content: &ContentStore) -> io::Result<FileSeen> {
        let (file, stat) = match self {
            Self::Absent => return Ok(seen(FileKind::Absent)),
            Self::Other => return Ok(seen(FileKind::Other)),
            Self::File(file, stat) => (file, stat),
        };
        let kind = if stat.st_nlink > 1 {
            FileKind::Link
        } else {
            FileKind::Copy
        };
        let mut seen = FileSeen {
            mode: format!("{:04o}", stat.st_mode & 0o7777),
            ..seen(kind)
        };
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                seen.unread = Some(error.to_string());
                return Ok(seen);
            }
        };
        let read = content.take_file(&file)?;
        let now = rustix::fs::fstat(&file)?;
        let is_same = (now.st_mtime, now.st_mtime_nsec) == (stat.st_mtime, stat.st_mtime_nsec);
        if is_same && i64::try_from(read.length) == Ok(now.st_size) {
            seen.content = Some(read);
        } else {
            seen.unread = Some("it changed while it was read".to_owned());
        }
        Ok(seen)
    }
}

fn seen(kind: FileKind) -> FileSeen {
    FileSeen {
        kind,
        mode: String::new(),
        content: None,
        unread: None,
    }
}
