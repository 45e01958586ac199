//! The state directory as a whole: whose it is, what made it, and temporary ones that come and go.
//!
//! What lies in it is the store's business.

mod lock;
mod sweep;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use self::lock::lock;
pub(crate) use self::lock::{Lock, lock_open};
use self::sweep::{Sweep, TEMPORARY_PREFIX};
use super::layout::{FORMAT as FORMAT_FILE, KEPT, MARK, NEW_FORMAT, OWN, SOCKET};
use super::private_files;
use super::{Disk, about};
use crate::dfdaemon::release::Release;

/// The version of what lies in the directory.
const FORMAT: u32 = 1;

/// In a directory's mode: everybody may write to it, also where a sticky bit keeps what is in it
/// its owner's.
const WORLD_WRITABLE: u32 = 0o0002;
const WORLD_WRITABLE_OR_STICKY: u32 = 0o1002;

/// Why a state directory cannot be used.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, StartError, StateDirError};
///
/// let first = FakeDfdaemon::start_blocking()?;
/// let second = FakeDfdaemon::builder().state_dir(first.state_dir());
/// let error = second.start_blocking().unwrap_err();
/// assert!(matches!(error, StartError::StateDir(StateDirError::InUse { .. })));
/// # Ok::<(), StartError>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another daemon works in it.
    #[error("the state directory {} is in use by a running fake-dfdaemon", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It was made by another release.
    #[error("the state directory {} was made by --dfdaemon-version {made_by}, not {asked}: its task ids would not fit; use that release, or another directory", path.display())]
    OtherRelease {
        /// The directory.
        path: PathBuf,
        /// The release that it was made by.
        made_by: Release,
        /// The release that was asked for.
        asked: Release,
    },
    /// It holds hosts that would be lost.
    #[error("the state directory {} holds {made_with} hosts, more than the {asked} asked for; use --hosts {made_with}, or another directory", path.display())]
    FewerHosts {
        /// The directory.
        path: PathBuf,
        /// Hosts in it.
        made_with: usize,
        /// Hosts asked for.
        asked: usize,
    },
    /// It was made by another version of fake-dfdaemon, or is damaged.
    #[error("the state directory {} is of a format that this fake-dfdaemon does not know; use another directory", path.display())]
    UnknownFormat {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another user, or others may write to it.
    #[error("the state directory {} is not ours alone: {why}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Everybody may replace it by a directory of theirs.
    #[error("the state directory {} is not safe: {} belongs to another user, and everybody may replace what lies in it; use another directory, or have its owner chmod o-w or +t it", path.display(), above.display())]
    Replaceable {
        /// The directory.
        path: PathBuf,
        /// The one above it that is open to everybody.
        above: PathBuf,
    },
    /// The system refused.
    #[error("cannot use the state directory {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A state directory that this process holds. A temporary one is removed with it.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock: Lock,
    temporary: AtomicBool,
    /// What goes on beside a temporary one.
    sweep: Mutex<Option<Sweep>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format: u32,
    release: Release,
    hosts: usize,
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
        *self.held_sweep() = base.and_then(Sweep::start);
    }

    fn held_sweep(&self) -> MutexGuard<'_, Option<Sweep>> {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner)
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
        drop(self.held_sweep().take());
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

/// Another user who can write to the directory could make us serve, or overwrite, what is not ours.
fn check_ours(path: &Path) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(path).map_err(io)?;
    let why = if metadata.is_symlink() {
        "it is a symbolic link"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "others may write to it (chmod go-w)"
    } else {
        return Ok(());
    };
    Err(StateDirError::NotOurs {
        path: path.to_owned(),
        why,
    })
}

/// In a directory that everybody may write to, and that is not sticky, everybody may rename what
/// is ours and put something else there. One of root's is let pass: whoever runs the machine made
/// it so, as containers have volumes made that are theirs alone.
fn check_above(path: &Path) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    };
    // The nearest one that is there: what is missing below it will be ours.
    let nearest = path.ancestors().skip(1).find(|above| above.exists());
    let Some(nearest) = nearest else {
        return Ok(());
    };
    let nearest = fs::canonicalize(nearest).map_err(io)?;
    let own = rustix::process::geteuid().as_raw();
    for above in nearest.ancestors() {
        let metadata = fs::metadata(above).map_err(io)?;
        let of_others = ![own, 0].contains(&metadata.uid());
        if of_others && metadata.mode() & WORLD_WRITABLE_OR_STICKY == WORLD_WRITABLE {
            return Err(StateDirError::Replaceable {
                path: path.to_owned(),
                above: above.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_format(
    disk: &Disk,
    path: &Path,
    release: Release,
    hosts: usize,
) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    };
    let file = path.join(FORMAT_FILE);
    let known = match disk.read(&file) {
        Ok(bytes) => serde_json::from_slice::<Format>(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A first start that was killed may have left the file that becomes this one.
            let begun = file.with_file_name(NEW_FORMAT);
            let entries = disk.list(path).map_err(io)?;
            let mark = path.join(MARK);
            let empty = entries
                .iter()
                .all(|(path, _)| *path == begun || *path == mark);
            empty.then_some(Format {
                format: FORMAT,
                release,
                hosts: 0,
            })
        }
        Err(error) => return Err(io(about(&file)(error))),
    };
    let known = known.filter(|known| known.format == FORMAT);
    let path = path.to_owned();
    let Some(known) = known else {
        return Err(StateDirError::UnknownFormat { path });
    };
    if known.release != release {
        return Err(StateDirError::OtherRelease {
            path,
            made_by: known.release,
            asked: release,
        });
    }
    if known.hosts > hosts {
        return Err(StateDirError::FewerHosts {
            path,
            made_with: known.hosts,
            asked: hosts,
        });
    }
    if known.hosts < hosts {
        write_format(
            disk,
            &file,
            &Format {
                format: FORMAT,
                release,
                hosts,
            },
        )
        .map_err(io)?;
    }
    Ok(())
}

fn write_format(disk: &Disk, file: &Path, format: &Format) -> io::Result<()> {
    let beside = file.with_file_name(NEW_FORMAT);
    disk.remove(&beside)?;
    disk.write_new(&beside, &serde_json::to_vec(format)?)?;
    disk.rename(&beside, file)
}

#[cfg(test)]
mod tests;
