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

/// What was at the path of an output before its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before(Option<Version>);

/// What tells a file from another, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    length: i64,
    changed: SystemTime,
}

impl Before {
    /// Looks at the path. Blocks on its file system.
    pub(crate) fn look(path: &Path) -> Self {
        Self(rustix::fs::lstat(path).ok().as_ref().map(Version::of))
    }
}

impl Version {
    fn of(stat: &rustix::fs::Stat) -> Self {
        let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
        let nanos = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: stat.st_size,
            changed: SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos),
        }
    }
}

/// The file that a path leads to, through symbolic links too.
pub(crate) fn look_through(path: &Path) -> Option<Found> {
    match look(path) {
        Some(Found::Other) => look(&std::fs::canonicalize(path).ok()?),
        found => found,
    }
}

impl Found {
    /// Whether it is a file that was not there before, as it is.
    pub(crate) fn is_new(&self, before: Before) -> bool {
        let version = self.version();
        version.is_some() && version != before.0
    }

    /// Whether it may have been written since a call began then.
    pub(crate) fn is_as_new_as(&self, began: SystemTime) -> bool {
        let version = self.version();
        version.is_some_and(|version| version.changed + TICK >= began)
    }

    fn version(&self) -> Option<Version> {
        match self {
            Self::File(_, stat) => Some(Version::of(stat)),
            Self::Absent | Self::Other => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// However soon one follows the other.
    #[test]
    fn a_file_is_new_where_none_was_and_after_each_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output");
        let is_new = |before| look(&path).unwrap().is_new(before);
        let absent = Before::look(&path);
        assert!(!is_new(absent));
        std::fs::write(&path, "made").unwrap();
        assert!(is_new(absent));
        let made = Before::look(&path);
        assert!(!is_new(made));
        std::fs::write(&path, "longer").unwrap();
        assert!(is_new(made));
        let other = dir.path().join("other");
        std::fs::write(&other, "longer").unwrap();
        let longer = Before::look(&path);
        std::fs::rename(&other, &path).unwrap();
        assert!(is_new(longer));
    }
}
