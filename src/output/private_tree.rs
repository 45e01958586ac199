//! A directory that is filled in private and then takes its place as a whole, or is removed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::leftovers::Leftover;
use super::private_directory::{PrivateDirectory, is_as_mighty};
use super::removal::remove_tree;
use super::{HOLD, PRIVATE_DIRECTORY, SEARCH_DIRECTORY, Target};
use crate::types::error::{Error, Result};

/// What a new directory gets, less the umask.
const ORDINARY_DIRECTORY: u32 = 0o777;
/// The permission bits that a tree keeps, and those that a directory has of the one it is in.
const MODE: u32 = 0o7777;

/// A new directory beside the place that it will take.
#[derive(Debug)]
pub(crate) struct PrivateTree {
    private: PrivateDirectory,
    root: Arc<File>,
    /// What the directory would have been without privacy.
    mode: u32,
    /// What its directories have until it is whole.
    private_mode: u32,
    _leftover: Leftover,
}

impl PrivateTree {
    /// The place for a tree at `path`, which must be free. Nothing is created.
    pub(crate) fn check(path: &Path) -> Result<Target> {
        let bytes = std::path::absolute(path).map_err(|source| {
            Error::local_file(format!("cannot write {}", path.display())).because(source)
        })?;
        // Without the slash that may end it: it is the name of what will be there.
        let path: PathBuf = bytes.components().collect();
        match std::fs::symlink_metadata(&path) {
            Ok(_) => Err(exists(&path)),
            Err(_) => Target::check(&path, false),
        }
    }

    /// Creates it for a daemon that runs as `daemon_user`.
    pub(crate) fn create(target: Target, daemon_user: Option<u32>) -> io::Result<Self> {
        let private_mode = if is_as_mighty(daemon_user) {
            PRIVATE_DIRECTORY
        } else {
            SEARCH_DIRECTORY
        };
        let private = PrivateDirectory::create_with_mode(target, private_mode)?;
        let disk = private.target().disk();
        let name = private.inner_name();
        disk.create_directory(private.directory(), name, ORDINARY_DIRECTORY)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(private.directory(), name, flags, Mode::empty())?;
        let root = File::from(root);
        let mode = root.metadata()?.mode() & MODE;
        private.set_permissions(&root, private_mode)?;
        let (held, unlinked) = (Arc::clone(private.directory()), name.to_owned());
        let beside = Arc::clone(&private.target().directory);
        Ok(Self {
            _leftover: Leftover::new(move || remove_tree(&held, &unlinked, Some(&beside))),
            private,
            root: Arc::new(root),
            mode,
            private_mode,
        })
    }

    /// Makes directories below it. Each comes after the one that it is in.
    pub(crate) fn create_directories<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<()> {
        for path in paths {
            let mode = Mode::from_raw_mode(self.private_mode);
            rustix::fs::mkdirat(&self.root, path, mode)?;
            // The umask had its say.
            self.set_mode(path, self.private_mode)?;
        }
        Ok(())
    }

    /// A place for a file below it. Nobody else writes there, and until all files are there, no link
    /// leads out.
    pub(crate) fn target(&self, path: &str) -> io::Result<Target> {
        let directory = match path.rsplit_once('/') {
            None => Arc::clone(&self.root),
            Some((parent, _)) => {
                let held = rustix::fs::openat(&self.root, parent, HOLD, Mode::empty())?;
                Arc::new(File::from(held))
            }
        };
        Ok(Target::in_private(
            directory,
            self.private.inner().join(path),
        ))
    }

    /// Sets the permissions of a file that is of this user alone: those of a link to the daemon's
    /// cache are the cache's.
    pub(crate) fn set_file_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let there = rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_own = there.st_uid == self.root.metadata()?.uid() && there.st_nlink == 1;
        if !is_own || there.st_mode & MODE == mode {
            return Ok(());
        }
        let file = File::from(rustix::fs::openat(&self.root, path, flags, Mode::empty())?);
        self.private.set_permissions(&file, mode)
    }

    /// Makes a link below it.
    pub(crate) fn create_link(&self, path: &str, target: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.root, path)?)
    }

    /// Sets the permissions of a directory below it.
    pub(crate) fn set_directory_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        self.set_mode(path, mode)
    }

    fn set_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match rustix::fs::chmodat(&self.root, path, mode, AtFlags::empty()) {
            Err(_) if !self.private.keeps_permissions() => Ok(()),
            set => Ok(set?),
        }
    }

    /// What a directory has whose permissions nothing else says.
    pub(crate) fn ordinary_mode(&self) -> u32 {
        self.mode
    }

    /// Gives it its place, which must still be free.
    pub(crate) fn commit(self) -> Result<PathBuf> {
        let target = self.private.target();
        let disk = target.disk();
        let opened = self.private.set_permissions(&self.root, self.mode);
        let moved = opened.and_then(|()| {
            let (from, name) = (self.private.directory(), self.private.inner_name());
            disk.rename_directory_without_replacing(from, name, target.path())
        });
        moved.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => exists(target.path()),
            _ => target.cannot_write(source),
        })?;
        Ok(target.path().to_owned())
    }
}

#[cfg(test)]
impl PrivateTree {
    /// Leaves it as a process that is killed does: without a lock.
    pub(crate) fn forget(self) {
        let _ = self.private.directory().unlock();
        std::mem::forget(self);
    }
}

impl Drop for PrivateTree {
    fn drop(&mut self) {
        // The private directory itself removes itself, once it is empty.
        let private = &self.private;
        let beside = &private.target().directory;
        remove_tree(private.directory(), private.inner_name(), Some(beside));
    }
}

fn exists(path: &Path) -> Error {
    Error::local_file(format!("{} exists already", path.display()))
        .hint("a tree never replaces anything: name a directory that does not exist")
}
