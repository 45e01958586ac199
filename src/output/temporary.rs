//! What is made beside a target and must not stay: temporary files and private directories.
//!
//! Their destructors remove them. A process that is killed runs no destructors. So they are locked while
//! they are in use, and the next export into the same directory first removes those without a lock.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::AtFlags;

use super::Target;
use super::name::temporary_name;
use super::removal::remove;
use super::sweep::sweep;
use crate::output::leftovers::Leftover;
use crate::types::error::Result;

/// Only its owner can read and write it, until the permissions of the target are known.
const PRIVATE_FILE: u32 = 0o600;
/// What a new file gets, less the umask.
const ORDINARY_FILE: u32 = 0o666;
/// How often something new may be swept before it is locked.
pub(super) const MAX_TRIES: usize = 1000;

/// A new file beside its target; removed when dropped, unless it was committed.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    target: Target,
    name: String,
    /// Shared with the thread that writes it.
    file: Arc<File>,
    committed: bool,
    _leftover: Leftover,
}

impl TemporaryFile {
    /// Creates it, after what killed processes left in its directory was removed.
    pub(crate) fn create(target: Target) -> Result<Self> {
        sweep_beside(&target);
        Self::new(&target).map_err(|source| target.cannot_write(source))
    }

    fn new(target: &Target) -> io::Result<Self> {
        for _ in 0..MAX_TRIES {
            let name = temporary_name()?;
            let mode = target.replaced.map_or(ORDINARY_FILE, |_| PRIVATE_FILE);
            let file = target.disk.create(&target.directory, &name, mode)?;
            let file = Arc::new(file);
            let temporary = Self {
                _leftover: leftover(target, &name, &file),
                name,
                file,
                committed: false,
                target: target.clone(),
            };
            if lock(&temporary.file, target, &temporary.name) {
                return Ok(temporary);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// The file, to be written by another thread.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Gives the file the target's name. It must be written, verified and, where the target says
    /// so, synced.
    pub(crate) fn commit(mut self) -> Result<PathBuf> {
        self.target.hand_on(&self.file)?;
        self.target.take(&self.target.directory, &self.name)?;
        self.committed = true;
        Ok(self.target.path.clone())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.committed {
            remove(&self.target.directory, &*self.name, &self.file);
        }
    }
}

fn leftover(target: &Target, name: &str, file: &Arc<File>) -> Leftover {
    let (at, name, file) = (
        Arc::clone(&target.directory),
        name.to_owned(),
        Arc::clone(file),
    );
    Leftover::new(move || {
        remove(&at, &*name, &file);
    })
}

/// Removes what killed processes left beside the target.
pub(super) fn sweep_beside(target: &Target) {
    if !target.is_private {
        sweep(&target.directory);
    }
}

/// Locks a file or directory that was just created. False if a sweep took it in between.
///
/// Its name tells, not its count of links: some file systems count none.
pub(super) fn lock(file: &File, target: &Target, name: &str) -> bool {
    // Where locks are not supported, nothing is swept either.
    let _ = file.lock();
    rustix::fs::statat(&target.directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
