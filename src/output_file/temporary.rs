//! What is made beside a target and must not stay: temporary files and private directories.
//!
//! Their destructors remove them. A process that is killed has none: while they are in use they
//! are locked, and whoever makes one in the same directory first removes those that nobody locks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use super::{Target, is_temporary, open_regular, random_word, temporary_name};
use crate::error::Result;

/// Read and written by its owner alone: as long as it is not known what the target shall be.
const PRIVATE_FILE: u32 = 0o600;
/// What a new file gets, less the umask.
const ORDINARY_FILE: u32 = 0o666;
const PRIVATE_DIRECTORY: u32 = 0o700;
/// Others may create files in it, but neither see nor remove those of others.
const DROP_DIRECTORY: u32 = 0o1733;

/// A new file beside its target; removed when dropped, unless it was committed.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    target: Target,
    path: PathBuf,
    /// Shared with whoever writes it.
    file: Arc<File>,
    committed: bool,
}

impl TemporaryFile {
    /// Creates it, after what killed processes left in its directory was removed.
    pub(crate) fn create(target: Target) -> Result<Self> {
        sweep(&target.directory);
        loop {
            let name =
                temporary_name(&target.name).map_err(|source| target.cannot_write(source))?;
            let path = target.directory.join(name);
            let mode = target.replaced_mode.map_or(ORDINARY_FILE, |_| PRIVATE_FILE);
            let file = target.disk.create(&path, mode);
            let file = file.map_err(|source| target.cannot_write(source))?;
            let temporary = Self {
                path,
                file: Arc::new(file),
                committed: false,
                target: target.clone(),
            };
            if lock(&temporary.file) {
                return Ok(temporary);
            }
        }
    }

    /// The file, to be written by another thread.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Gives the file the target's name. It must be written, verified and, where the target says
    /// so, synced.
    pub(crate) fn commit(mut self) -> Result<PathBuf> {
        if let Some(mode) = self.target.replaced_mode {
            let handed_on = self.target.disk.set_permissions(&self.file, mode);
            handed_on.map_err(|source| self.target.cannot_write(source))?;
        }
        self.target.take(&self.path)?;
        self.committed = true;
        Ok(self.target.path.clone())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A directory beside the target where the daemon may write one file; removed when dropped, with
/// what is left in it.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    target: Target,
    path: PathBuf,
    /// Held for its lock.
    _directory: File,
    inner: PathBuf,
}

impl PrivateDirectory {
    /// Creates it for a daemon that runs as `daemon_user`, after what killed processes left
    /// beside it was removed.
    pub(crate) fn create(target: Target, daemon_user: Option<u32>) -> io::Result<Self> {
        sweep(&target.directory);
        let own_user = rustix::process::geteuid().as_raw();
        let mode = match daemon_user {
            Some(user) if user == own_user || user == 0 => PRIVATE_DIRECTORY,
            _ => DROP_DIRECTORY,
        };
        loop {
            let path = target.directory.join(temporary_name(&target.name)?);
            target.disk.create_directory(&path, PRIVATE_DIRECTORY)?;
            let created = File::open(&path).and_then(|directory| {
                // The umask has its say when a directory is created, not here.
                target.disk.set_permissions(&directory, mode)?;
                Ok((directory, random_word()?))
            });
            let (directory, word) = match created {
                Ok(created) => created,
                // A sweep took it before it was locked.
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    let _ = fs::remove_dir(&path);
                    return Err(source);
                }
            };
            let locked = lock(&directory);
            let private = Self {
                inner: path.join(word),
                path,
                _directory: directory,
                target: target.clone(),
            };
            if locked {
                return Ok(private);
            }
        }
    }

    /// Where the daemon shall write: a name that nobody else can guess.
    pub(crate) fn inner(&self) -> &Path {
        &self.inner
    }

    /// Gives the file that the daemon wrote the target's name.
    pub(crate) fn commit(self) -> Result<PathBuf> {
        self.target.take(&self.inner)?;
        Ok(self.target.path.clone())
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locks a file or directory that was just created. False if a sweep took it in between.
fn lock(file: &File) -> bool {
    // Where locks are not supported, nothing is swept either.
    let _ = rustix::fs::flock(file, FlockOperation::LockExclusive);
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

/// Removes what killed processes of this user left in `directory`. Nothing depends on it.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let leftovers = entries
        .flatten()
        .filter(|entry| is_temporary(&entry.file_name()));
    for leftover in leftovers {
        let path = leftover.path();
        let Ok(kind) = leftover.file_type() else {
            continue;
        };
        // Locked until it is gone: whoever has just made it waits for the lock, and sees then.
        if kind.is_dir()
            && let Some(_locked) = abandoned(File::open(&path))
        {
            let _ = fs::remove_dir_all(&path);
        }
        if kind.is_file()
            && let Some(_locked) = abandoned(open_regular(&path))
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The file, locked, if it is this user's and nobody else holds its lock.
fn abandoned(file: io::Result<File>) -> Option<File> {
    let file = file.ok()?;
    let own_user = rustix::process::geteuid().as_raw();
    let is_own = file.metadata().ok()?.uid() == own_user;
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    (is_own && locked.is_ok()).then_some(file)
}
