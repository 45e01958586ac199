//! What is made beside a target and must not stay: temporary files and private directories.
//!
//! Their destructors remove them. A process that is killed has none: while they are in use they
//! are locked, and the next export into the same directory first removes those without a lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};

use super::name::{inner_name, temporary_name};
use super::sweep::{LOOK, leads_to, remove, sweep};
use super::{DROP_DIRECTORY, PRIVATE_DIRECTORY, Target};
use crate::output::leftovers::Leftover;
use crate::types::error::Result;

/// Read and written by its owner alone: as long as it is not known what the target shall be.
const PRIVATE_FILE: u32 = 0o600;
/// What a new file gets, less the umask.
const ORDINARY_FILE: u32 = 0o666;
/// How often something new may be swept before it is locked.
const MAX_TRIES: usize = 1000;

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
    Leftover::new(move || remove(&at, &*name, &file))
}

/// A directory beside the target where the daemon may write one file; removed when dropped, with
/// that file if it is there.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    target: Target,
    name: String,
    /// Locked. All that this side does in the directory goes through it: its name may come to
    /// lead elsewhere.
    directory: Arc<File>,
    inner_name: String,
    inner: PathBuf,
    _leftovers: [Leftover; 2],
}

impl PrivateDirectory {
    /// Creates it for a daemon that runs as `daemon_user`, after what killed processes left
    /// beside it was removed.
    pub(crate) fn create(target: Target, daemon_user: Option<u32>) -> io::Result<Self> {
        let others_write = if is_as_mighty(daemon_user) {
            PRIVATE_DIRECTORY
        } else {
            DROP_DIRECTORY
        };
        Self::create_with_mode(target, others_write)
    }

    pub(super) fn create_with_mode(target: Target, mode: u32) -> io::Result<Self> {
        sweep_beside(&target);
        for _ in 0..MAX_TRIES {
            let name = temporary_name()?;
            let disk = &target.disk;
            disk.create_directory(&target.directory, &name, PRIVATE_DIRECTORY)?;
            let directory = match open_new_directory(&target, &name) {
                Ok(directory) => directory,
                // A sweep took it before it was locked.
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    // At worst an empty directory of the same name.
                    let at = &target.directory;
                    let _ = rustix::fs::unlinkat(at, &*name, AtFlags::REMOVEDIR);
                    return Err(source);
                }
            };
            let inner_name = inner_name()?;
            let beside = target.path.parent().unwrap_or(Path::new("/"));
            let directory = Arc::new(directory);
            let held = Arc::clone(&directory);
            let unlinked = inner_name.clone();
            let private = Self {
                _leftovers: [
                    leftover(&target, &name, &directory),
                    Leftover::new(move || remove_inner(&held, &unlinked)),
                ],
                inner: beside.join(&name).join(&inner_name),
                name,
                directory,
                inner_name,
                target: target.clone(),
            };
            if !lock(&private.directory, &target, &private.name) {
                continue;
            }
            // The umask has its say when a directory is created, not here; the group that it has
            // of a setgid directory is to be that of the file.
            let group = private.directory.metadata()?.mode() & 0o2000;
            disk.set_permissions(&private.directory, mode | group)?;
            return Ok(private);
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// The directory, held.
    pub(super) fn directory(&self) -> &Arc<File> {
        &self.directory
    }

    pub(super) fn inner_name(&self) -> &str {
        &self.inner_name
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Where the daemon shall write: a name that nobody else can guess.
    pub(crate) fn inner(&self) -> &Path {
        &self.inner
    }

    /// Opens what the daemon wrote, if it is in this very directory.
    pub(crate) fn open_inner(&self) -> io::Result<File> {
        open_in(&self.directory, &self.inner_name)
    }

    /// Whether the path that the daemon was told still leads into this directory.
    pub(crate) fn is_in_place(&self) -> bool {
        let path = self.inner.parent().unwrap_or(Path::new("/"));
        leads_to(rustix::fs::CWD, path, &self.directory)
    }

    /// Gives the file that the daemon wrote the target's name.
    ///
    /// A link to the daemon's cache keeps the permissions that it has there.
    pub(crate) fn commit(self) -> Result<PathBuf> {
        if let Ok(file) = self.open_inner()
            && let Ok(metadata) = file.metadata()
            && metadata.nlink() == 1
            && metadata.uid() == rustix::process::geteuid().as_raw()
        {
            self.target.hand_on(&file)?;
        }
        self.target.take(&self.directory, &self.inner_name)?;
        Ok(self.target.path.clone())
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        remove_inner(&self.directory, &self.inner_name);
        remove(&self.target.directory, &*self.name, &self.directory);
    }
}

/// Whether what is private to this user is open to a daemon of that user.
pub(super) fn is_as_mighty(daemon_user: Option<u32>) -> bool {
    let own_user = rustix::process::geteuid().as_raw();
    daemon_user.is_some_and(|user| user == own_user || user == 0)
}

/// Removes what killed processes left beside the target.
fn sweep_beside(target: &Target) {
    if !target.is_private {
        sweep(&target.directory);
    }
}

fn remove_inner(directory: &File, name: &str) {
    let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
}

/// Opens a directory that was just created, and makes sure that nobody has put another one there.
fn open_new_directory(target: &Target, name: &str) -> io::Result<File> {
    let flags = LOOK.union(OFlags::DIRECTORY);
    let directory = rustix::fs::openat(&target.directory, name, flags, Mode::empty())?;
    let directory = File::from(directory);
    let metadata = directory.metadata()?;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    let is_private = metadata.mode() & 0o1777 & !PRIVATE_DIRECTORY == 0;
    let mut entries = rustix::fs::Dir::read_from(&directory)?;
    let is_empty = entries.all(|entry| {
        entry.is_ok_and(|entry| [&b"."[..], b".."].contains(&entry.file_name().to_bytes()))
    });
    if is_own && is_private && is_empty {
        return Ok(directory);
    }
    Err(io::Error::other(
        "somebody replaced the private directory beside it",
    ))
}

/// Opens a file to be read, through no link.
pub(super) fn open_in(directory: &File, name: impl rustix::path::Arg) -> io::Result<File> {
    let file = rustix::fs::openat(directory, name, LOOK, Mode::empty())?;
    Ok(File::from(file))
}

/// Locks a file or directory that was just created. False if a sweep took it in between.
///
/// Its name tells, not its count of links: some file systems count none.
fn lock(file: &File, target: &Target, name: &str) -> bool {
    // Where locks are not supported, nothing is swept either.
    let _ = rustix::fs::flock(file, FlockOperation::LockExclusive);
    rustix::fs::statat(&target.directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
