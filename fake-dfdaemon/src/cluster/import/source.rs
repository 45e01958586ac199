//! The file that is imported: opened without side effects, and watched for changes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::cluster::{Error, ImportRequest};
use crate::store::CancelFlag;

/// How long to wait for a FIFO before asking whether anybody still does.
const POLL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// How often a file is read again that others link at the same time.
const READ_AGAIN: usize = 16;

/// A file that was opened to be imported.
pub(in crate::cluster) struct Source {
    path: PathBuf,
    pub(in crate::cluster) file: File,
    metadata: Metadata,
}

impl Source {
    /// Opens the file. Unless `special_files` are imported too, it is a regular one; those are read
    /// to their end, as a daemon does that does not look. A directory is refused only when it is to
    /// be read: with the id at hand, a daemon asks its scheduler before.
    pub(in crate::cluster) fn open(
        request: &ImportRequest,
        special_files: bool,
        cancel: &CancelFlag,
    ) -> Result<Self, Error> {
        let unreadable = |error| match request.content_for_id {
            // With the id at hand, the daemon comes to the file only after it has begun.
            Some(_) => Error::Io(Arc::new(error)),
            None => Error::SourceUnreadable(Arc::new(error)),
        };
        let path = &request.path;
        // Looked at before it is opened: opening a device can have effects.
        let looked_at = fs::metadata(path).map_err(unreadable)?;
        let reads_later = request.content_for_id.is_some();
        let check = |at: &Metadata| match at.is_dir() && reads_later {
            true => Ok(()),
            false => check_kind(path, at, special_files, unreadable),
        };
        check(&looked_at)?;
        let nonblocking = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let flags = i32::try_from(nonblocking.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(unreadable)?;
        let mut metadata = file.metadata().map_err(unreadable)?;
        check(&metadata)?;
        if metadata.is_file() && metadata.len() == 0 && !special_files && has_bytes(&file) {
            return Err(Error::SourceNotRegular { path: path.clone() });
        }
        if !metadata.is_file() && !metadata.is_dir() {
            read_to_end(&file, cancel)?;
            // A write to it has changed its time meanwhile. That is no reason to refuse it.
            metadata = file.metadata().map_err(unreadable)?;
        }
        Ok(Self {
            path: path.clone(),
            file,
            metadata,
        })
    }

    /// Whether it is a file that can be linked: a link of a FIFO would be one.
    pub(in crate::cluster) fn is_regular(&self) -> bool {
        self.metadata.is_file()
    }

    /// The path, if a symbolic link is there.
    pub(in crate::cluster) fn link(&self) -> Option<&Path> {
        let found = fs::symlink_metadata(&self.path).ok()?;
        found.is_symlink().then_some(&self.path)
    }

    /// Refuses a directory, before it is read.
    pub(super) fn check_readable(&self) -> Result<(), Error> {
        if self.metadata.is_dir() {
            return Err(io::Error::from(Errno::ISDIR).into());
        }
        Ok(())
    }

    /// In bytes, as the file system says.
    pub(in crate::cluster) fn length(&self) -> u64 {
        self.metadata.len()
    }

    /// Whether the file still is what it was when it was opened.
    pub(in crate::cluster) fn check_unchanged(&self) -> Result<(), Error> {
        let now = self.file.metadata()?;
        let look = |at: &Metadata| (at.len(), at.mtime(), at.mtime_nsec());
        if look(&now) != look(&self.metadata) {
            return Err(Error::SourceChanged {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Checks what was read of the file since `before` for changes that its time of modification
    /// does not tell, as when somebody puts that back. The time of change tells of them, and of
    /// links and modes too, which other imports of the same file make: where it moved, the file is
    /// read once more.
    pub(in crate::cluster) fn check_read<T: PartialEq>(
        &self,
        before: &Metadata,
        was_read: &T,
        read: impl Fn() -> Result<T, Error>,
    ) -> Result<(), Error> {
        let time = |at: &Metadata| (at.ctime(), at.ctime_nsec());
        let mut before = time(before);
        for _ in 0..READ_AGAIN {
            let now = time(&self.file.metadata()?);
            if now == before {
                return Ok(());
            }
            if read()? != *was_read {
                return Err(Error::SourceChanged {
                    path: self.path.clone(),
                });
            }
            before = now;
        }
        // A crowd links it without end: what reads the same so often has not changed.
        Ok(())
    }

    /// The file as it was when it was opened.
    pub(in crate::cluster) fn opened_as(&self) -> &Metadata {
        &self.metadata
    }

    /// What an error while the source was read means.
    pub(in crate::cluster) fn read_error(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::SourceChanged {
                path: self.path.clone(),
            };
        }
        Error::from(error)
    }
}

fn check_kind(
    path: &Path,
    metadata: &Metadata,
    special_files: bool,
    unreadable: impl FnOnce(io::Error) -> Error,
) -> Result<(), Error> {
    if metadata.is_dir() {
        return Err(unreadable(rustix::io::Errno::ISDIR.into()));
    }
    if !metadata.is_file() && !special_files {
        return Err(Error::SourceNotRegular {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Whether a file that says it is empty is not, like those of `/proc`. One that cannot be read at
/// once is none either.
fn has_bytes(mut file: &File) -> bool {
    let read = file.read(&mut [0]);
    // It may have been written to since it was looked at: then it says so by now.
    !matches!(read, Ok(0)) && file.metadata().is_ok_and(|now| now.len() == 0)
}

/// Reads a FIFO or a device until it ends, or nobody waits any more.
fn read_to_end(mut file: &File, cancel: &CancelFlag) -> Result<(), Error> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let mut ready = [PollFd::new(file, PollFlags::IN)];
        match poll(&mut ready, Some(&POLL)) {
            Ok(0) | Err(Errno::INTR) => continue,
            ready => ready.map_err(io::Error::from)?,
        };
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => cancel.check().map_err(|_| Error::Cancelled)?,
            // A signal is no reason to take the import for cancelled.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Does something to a file until its time of change has moved, which it does in steps.
    fn touch(file: &File, what: impl Fn()) {
        let time = || {
            let now = file.metadata().unwrap();
            (now.ctime(), now.ctime_nsec())
        };
        let before = time();
        while time() == before {
            what();
        }
    }

    #[test]
    fn a_file_that_reads_the_same_again_and_again_has_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let request = ImportRequest::of(&path);
        let source = Source::open(&request, false, &CancelFlag::default()).unwrap();
        let link = dir.path().join("link");
        let read_while_others_link = || {
            touch(&source.file, || {
                fs::hard_link(&path, &link).unwrap();
                fs::remove_file(&link).unwrap();
            });
            Ok(fs::read(&path).unwrap())
        };
        let before = source.file.metadata().unwrap();
        let was_read = read_while_others_link().unwrap();
        source
            .check_read(&before, &was_read, read_while_others_link)
            .unwrap();
    }

    #[test]
    fn a_change_that_puts_the_time_of_modification_back_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "before").unwrap();
        let request = ImportRequest::of(&path);
        let source = Source::open(&request, false, &CancelFlag::default()).unwrap();
        let read = || Ok(fs::read(&path).unwrap());
        let was_read = read().unwrap();
        let before = source.file.metadata().unwrap();
        touch(&source.file, || {
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        });
        source.check_read(&before, &was_read, read).unwrap();
        touch(&source.file, || {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            io::Write::write_all(&mut &file, b"AFTER!").unwrap();
            let modified = before.modified().unwrap();
            file.set_times(FileTimes::new().set_modified(modified))
                .unwrap();
        });
        source.check_unchanged().unwrap();
        let refused = source.check_read(&before, &was_read, read).unwrap_err();
        assert!(matches!(refused, Error::SourceChanged { .. }), "{refused}");
    }
}
