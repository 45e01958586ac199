//! A directory beside the target that only this user and the daemon can get into.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode};

use super::leftovers::Leftover;
use super::name::{inner_name, temporary_name};
use super::new_directory::{self, NewDirectory};
use super::removal::{LOOK, leads_to, remove_private};
use super::temporary::{MAX_TRIES, lock, sweep_beside};
use super::{DROP_DIRECTORY, PRIVATE_DIRECTORY, Target};
use crate::types::error::Result;

/// A directory beside the target where the daemon may write one file; removed when dropped, with
/// all that the daemon made there.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    target: Target,
    name: String,
    /// Locked. All that this side does in the directory goes through it: its name may come to
    /// lead elsewhere.
    directory: Arc<File>,
    keeps_permissions: bool,
    inner_name: String,
    inner: PathBuf,
    _leftover: Leftover,
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
            let new = match new_directory::open(&target, &name) {
                Ok(new) => new,
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
            let NewDirectory {
                directory,
                keeps_permissions,
            } = new;
            let directory = Arc::new(directory);
            let held = Arc::clone(&directory);
            let (at, removed) = (Arc::clone(&target.directory), name.clone());
            let private = Self {
                _leftover: Leftover::new(move || remove_private(&at, &removed, &held)),
                inner: beside.join(&name).join(&inner_name),
                name,
                directory,
                keeps_permissions,
                inner_name,
                target: target.clone(),
            };
            if !lock(&private.directory, &target, &private.name) {
                continue;
            }
            // The umask has its say when a directory is created, not here; the group that it has
            // of a setgid directory is to be that of the file.
            let group = private.directory.metadata()?.mode() & 0o2000;
            private.set_permissions(&private.directory, mode | group)?;
            return Ok(private);
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// The directory, held.
    pub(super) fn directory(&self) -> &Arc<File> {
        &self.directory
    }

    /// Whether permissions say here who may do what.
    pub(super) fn keeps_permissions(&self) -> bool {
        self.keeps_permissions
    }

    /// Sets the permissions of what is in it, or its own, where the file system keeps any.
    pub(super) fn set_permissions(&self, file: &File, mode: u32) -> io::Result<()> {
        let set = self.target.disk.set_permissions(file, mode);
        if self.keeps_permissions { set } else { Ok(()) }
    }

    pub(super) fn inner_name(&self) -> &str {
        &self.inner_name
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Where the daemon writes: a name that nobody else can guess.
    pub(crate) fn inner(&self) -> &Path {
        &self.inner
    }

    /// Opens what the daemon wrote, if it is in this very directory.
    pub(crate) fn open_inner(&self) -> io::Result<File> {
        open_in(&self.directory, &self.inner_name)
    }

    /// Whether the path that the daemon got still leads into this directory.
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
            && self
                .directory
                .metadata()
                .is_ok_and(|own| own.uid() == metadata.uid())
        {
            self.target.hand_on(&file)?;
        }
        self.target.take(&self.directory, &self.inner_name)?;
        Ok(self.target.path.clone())
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        remove_private(&self.target.directory, &self.name, &self.directory);
    }
}

/// Whether what is private to this user is open to a daemon of that user.
pub(super) fn is_as_mighty(daemon_user: Option<u32>) -> bool {
    let own_user = rustix::process::geteuid().as_raw();
    daemon_user.is_some_and(|user| user == own_user || user == 0)
}

/// Opens a file to be read, through no link.
pub(super) fn open_in(directory: &File, name: impl rustix::path::Arg) -> io::Result<File> {
    let file = rustix::fs::openat(directory, name, LOOK, Mode::empty())?;
    Ok(File::from(file))
}
