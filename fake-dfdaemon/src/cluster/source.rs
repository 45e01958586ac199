//! The file that is imported: opened without side effects, and watched for changes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::{Error, ImportRequest};
use crate::store::CancelFlag;

/// How long to wait for a FIFO before asking whether anybody still does.
const POLL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A file that was opened to be imported.
pub(super) struct Source {
    path: PathBuf,
    pub(super) file: File,
    metadata: Metadata,
}

impl Source {
    /// Opens the file. Unless `special_files` are imported too, it is a regular one; those are read
    /// to their end, as a daemon does that does not look.
    pub(super) fn open(
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
        check_kind(path, &looked_at, special_files, unreadable)?;
        let nonblocking = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let flags = i32::try_from(nonblocking.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(unreadable)?;
        let mut metadata = file.metadata().map_err(unreadable)?;
        check_kind(path, &metadata, special_files, unreadable)?;
        if metadata.is_file() && metadata.len() == 0 && !special_files && has_bytes(&file) {
            return Err(Error::SourceNotRegular { path: path.clone() });
        }
        if !metadata.is_file() {
            read_to_end(&file, cancel)?;
            // Whoever wrote to it meanwhile has changed its time, and is no reason to refuse it.
            metadata = file.metadata().map_err(unreadable)?;
        }
        Ok(Self {
            path: path.clone(),
            file,
            metadata,
        })
    }

    /// Whether it is a file that can be linked: a link of a FIFO would be one.
    pub(super) fn is_regular(&self) -> bool {
        self.metadata.is_file()
    }

    /// In bytes, as the file system says.
    pub(super) fn length(&self) -> u64 {
        self.metadata.len()
    }

    /// Whether the file still is what it was when it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let now = self.file.metadata()?;
        let look = |at: &Metadata| (at.len(), at.mtime(), at.mtime_nsec());
        if look(&now) != look(&self.metadata) {
            return Err(Error::SourceChanged {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// What an error while the source was read means.
    pub(super) fn read_error(&self, error: io::Error) -> Error {
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
        if poll(&mut ready, Some(&POLL)).map_err(io::Error::from)? == 0 {
            continue;
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
