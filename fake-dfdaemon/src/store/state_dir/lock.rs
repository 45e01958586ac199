//! The lock on a directory: an open directory that one process at a time holds.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

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
        let _ = self.0.unlock();
    }
}

/// Locks the directory itself; `None` if another process has locked it.
pub(super) fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    lock_open(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Locks a directory that is open; `None` if another process has locked it.
pub(crate) fn lock_open(dir: File) -> io::Result<Option<Lock>> {
    match dir.try_lock() {
        Ok(()) => Ok(Some(Lock(dir))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
