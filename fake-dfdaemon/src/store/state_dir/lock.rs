//! The lock on a directory: an open directory that one process at a time holds.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

/// A locked directory.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    pub(super) fn dir(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that was forked at this moment, for another test's
        // command, shares the open file until it runs its program.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Locks the directory itself; `None` if somebody else has.
pub(super) fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    lock_open(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Locks a directory that is open; `None` if somebody else has.
pub(crate) fn lock_open(dir: File) -> io::Result<Option<Lock>> {
    match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(dir))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
