//! The state directory as a whole: whose it is, what made it, and temporary ones that come and go.
//!
//! What lies in it is the store's business.

mod error;
mod format;
mod lock;
mod owner;
mod removal;
mod sweep;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::error::StateDirError;
use self::format::check_format;
use self::lock::lock;
pub(crate) use self::lock::{Lock, lock_open};
use self::owner::{check_above, check_ours};
use self::sweep::{Sweep, TEMPORARY_PREFIX};
use super::layout::{KEPT, MARK, OWN, SOCKET};
use super::{Disk, private_files};
use crate::dfdaemon::mutex::Mutex;
use crate::dfdaemon::release::Release;

/// A state directory that this process holds. A temporary one is removed with it.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock: Lock,
    temporary: AtomicBool,
    /// What goes on beside a temporary one.
    sweep: Mutex<Option<Sweep>>,
}

impl StateDir {
    /// Takes the directory at `path`, which is made if it is not there.
    pub(crate) fn open(
        disk: &Disk,
        path: &Path,
        release: Release,
        hosts: usize,
    ) -> Result<Self, StateDirError> {
        let io = |source| StateDirError::Io {
            path: path.to_owned(),
            source,
        };
        let absolute = std::path::absolute(path).map_err(io)?;
        // Without a slash at its end, which would look through a symbolic link.
        let absolute: PathBuf = absolute.components().collect();
        check_above(&absolute)?;
        disk.create_dir_all(&absolute).map_err(io)?;
        check_ours(&absolute)?;
        let lock = lock(&absolute).map_err(io)?;
        let lock = lock.ok_or_else(|| StateDirError::InUse {
            path: absolute.clone(),
        })?;
        check_format(disk, &absolute, release, hosts)?;
        // A temporary one of a daemon that was killed is not to be swept from now on.
        match fs::remove_file(absolute.join(MARK)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        Ok(Self {
            path: absolute,
            lock,
            temporary: AtomicBool::new(false),
            sweep: Mutex::default(),
        })
    }

    /// Makes a directory of its own.
    pub(crate) fn temporary(
        disk: &Disk,
        release: Release,
        hosts: usize,
    ) -> Result<Self, StateDirError> {
        let base = std::env::temp_dir();
        check_above(&base.join(TEMPORARY_PREFIX))?;
        let io = |source| StateDirError::Io {
            path: base.clone(),
            source,
        };
        let path = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(Permissions::from_mode(private_files::DIRECTORY_MODE))
            .tempdir_in(&base)
            .map_err(io)?
            .keep();
        // Nobody locks what has no mark, so that this one is free.
        let lock = lock(&path).map_err(io)?;
        let lock = lock.ok_or_else(|| StateDirError::InUse { path: path.clone() })?;
        private_files::write(&path.join(MARK), b"").map_err(io)?;
        let made = Self {
            path,
            lock,
            temporary: AtomicBool::new(true),
            sweep: Mutex::default(),
        };
        check_format(disk, &made.path, release, hosts)?;
        Ok(made)
    }

    /// Begins to remove the temporary directories of daemons that were killed, beside a daemon with
    /// one of its own that is ready by now: they may hold much, and their file system may hang.
    pub(crate) fn sweep_beside(&self) {
        if !self.temporary.load(Ordering::Relaxed) {
            return;
        }
        let base = self.path.parent().map(Path::to_owned);
        *self.sweep.lock() = base.and_then(Sweep::start);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a path that may not be there yet is one of what the daemon itself keeps here.
    pub(crate) fn keeps(&self, path: &Path) -> bool {
        let absolute = std::path::absolute(path).ok();
        let name = absolute.as_deref().and_then(Path::file_name);
        let above = absolute.as_deref().and_then(Path::parent);
        let above = above.and_then(|above| fs::canonicalize(above).ok());
        let (Some(name), Some(above), Ok(state)) = (name, above, fs::canonicalize(&self.path))
        else {
            return false;
        };
        let path = above.join(name);
        let first = path.strip_prefix(state).ok().map(Path::components);
        let first = first.and_then(|mut names| Some(names.next()?.as_os_str().to_owned()));
        first.is_some_and(|first| {
            let is_socket = Path::new(&first).extension() == Some(OsStr::new(SOCKET));
            is_socket || OWN.iter().any(|own| *own == first)
        })
    }

    /// Lets the directory stay, also a temporary one, which no later start sweeps then.
    pub(crate) fn keep(&self) {
        if !self.temporary.swap(false, Ordering::Relaxed) {
            return;
        }
        let kept = private_files::write(&self.path.join(KEPT), b"")
            .and_then(|()| fs::remove_file(self.path.join(MARK)));
        if let Err(error) = kept {
            tracing::warn!(path = %self.path.display(), %error, "a later start may sweep this");
        }
    }

    /// Removes a temporary directory before its time. Blocks on the disk.
    pub(crate) fn take_away(&self) {
        drop(self.sweep.lock().take());
        if self.temporary.swap(false, Ordering::Relaxed) {
            // The next start sweeps what cannot be removed now. The lock is held until then.
            let _ = sweep::remove(self.lock.dir(), &self.path);
        }
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        self.take_away();
    }
}

#[cfg(test)]
mod tests;
