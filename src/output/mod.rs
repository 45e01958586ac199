//! Where an export goes: the checks of the target, and how a new file takes its place.
//!
//! The new file is made beside the target, under a name of its own (`temporary`), and renamed
//! when it is whole. Until then the target is as it was; the rename either does not replace at
//! all or replaces the name as a whole, so nothing is ever written through a link. What is
//! written into the file lives in `content`.

pub(crate) mod copy;
pub(crate) mod disk;
pub(crate) mod holes;
pub(crate) mod leftovers;
mod name;
mod new_directory;
mod private_directory;
mod private_file;
mod private_tree;
mod removal;
mod sweep;
mod temporary;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::output::disk::Disk;
use crate::types::error::{Error, Result};
use crate::types::remedy::Remedy;

pub(crate) use name::is_temporary_name;
pub(crate) use private_directory::PrivateDirectory;
pub(crate) use private_file::PrivateFile;
pub(crate) use private_tree::PrivateTree;
pub(crate) use temporary::TemporaryFile;

/// The permission bits that an overwritten file hands on.
const PERMISSIONS: u32 = 0o777;

const PRIVATE_DIRECTORY: u32 = 0o700;
/// Others may create files in it, but neither see nor remove those of others.
const DROP_DIRECTORY: u32 = 0o1733;
/// Others may open what they know the name of.
const SEARCH_DIRECTORY: u32 = 0o711;

/// What a directory is held by to work in it: it need not be readable.
#[cfg(target_os = "linux")]
const HOLD: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const HOLD: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// What a file that is replaced hands on to the new one.
#[derive(Clone, Copy, Debug)]
struct Replaced {
    /// Permission bits.
    mode: u32,
    owner: u32,
    group: u32,
}

/// A place for an output file that was fit for it when it was checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    path: PathBuf,
    /// The directory, held open: another one may get its name.
    directory: Arc<File>,
    name: OsString,
    overwrite: bool,
    /// The regular file that will be replaced.
    replaced: Option<Replaced>,
    exists: bool,
    /// Whether only this process makes anything beside it, so that nothing is left there by others.
    is_private: bool,
    disk: Disk,
}

impl Target {
    /// Checks the place for an output at `path`; nothing is created.
    ///
    /// # Errors
    ///
    /// An error of a local file if the place cannot be: no parent directory, a directory, a
    /// device, a FIFO or a socket in the way, or anything at all without `overwrite`.
    pub(crate) fn check(path: &Path, overwrite: bool) -> Result<Self> {
        let cannot = || Error::local_file(format!("cannot write {}", path.display()));
        let directory = "it is a directory; name the file to write";
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(cannot().because(directory));
        }
        let absolute = std::path::absolute(path).map_err(|source| cannot().because(source))?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(cannot().because(directory));
        };
        match fs::metadata(parent) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(cannot().because(format!("{} is not a directory", parent.display())));
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(cannot()
                    .because(source)
                    .hint(format!("create the directory {}", parent.display())));
            }
            Err(source) => return Err(cannot().because(source)),
        }
        let held = rustix::fs::openat(CWD, parent, HOLD, Mode::empty());
        let held = File::from(held.map_err(|source| cannot().because(io::Error::from(source)))?);
        if is_append_only(&held) {
            return Err(cannot()
                .because(format!("{} is append-only", parent.display()))
                .hint(
                    "write to another directory: in this one nothing can be renamed or removed",
                ));
        }
        let existing = match fs::symlink_metadata(&absolute) {
            Ok(metadata) => Some(metadata),
            Err(source) if source.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(cannot().because(source)),
        };
        let mut replaced = None;
        if let Some(existing) = &existing {
            let kind = existing.file_type();
            if kind.is_dir() {
                return Err(cannot().because(directory));
            }
            if !kind.is_file() && !kind.is_symlink() {
                return Err(cannot().because(format!("it is a {}", name_of(kind))));
            }
            if kind.is_symlink() {
                check_link(&absolute).map_err(|reason| {
                    cannot().because(reason).with_remedy(Remedy::WriteToStream)
                })?;
            }
            if !overwrite {
                return Err(exists(path));
            }
            if is_mount_point(&held, name) {
                return Err(cannot()
                    .because("something is mounted there, so no other file can take its place")
                    .with_remedy(Remedy::WriteToStream));
            }
            if kind.is_file() {
                replaced = Some(Replaced {
                    mode: existing.permissions().mode() & PERMISSIONS,
                    owner: existing.uid(),
                    group: existing.gid(),
                });
            }
        }
        Ok(Self {
            directory: Arc::new(held),
            name: name.to_owned(),
            overwrite,
            replaced,
            exists: existing.is_some(),
            is_private: false,
            path: absolute,
            disk: Disk::default(),
        })
    }

    /// A place that is known to be free, since it is in a directory that nobody else writes in.
    pub(crate) fn in_private(directory: Arc<File>, path: PathBuf) -> Self {
        Self {
            name: path.file_name().unwrap_or_default().to_owned(),
            directory,
            path,
            overwrite: false,
            replaced: None,
            exists: false,
            is_private: true,
            disk: Disk::default(),
        }
    }

    /// The same place, on a disk that may fail.
    #[cfg(test)]
    pub(crate) fn on(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// The disk that the new file is brought into place by.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The target's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something was there to be replaced.
    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    /// The error of an operation on the target.
    pub(crate) fn cannot_write(&self, source: impl Into<io::Error>) -> Error {
        cannot_write(self.path.display(), source.into())
    }

    /// Whether the new file has to be on disk before it takes the target's place: a fresh file
    /// lost with the machine is no loss, the old one would be.
    pub(crate) fn must_be_synced(&self) -> bool {
        self.exists
    }

    /// The user that the directory belongs to, if the system tells.
    pub(crate) fn owner_of_directory(&self) -> Option<u32> {
        let metadata = self.directory.metadata();
        metadata.ok().map(|metadata| metadata.uid())
    }

    /// What is at the target, opened to be read, through no link.
    pub(crate) fn open_itself(&self) -> io::Result<File> {
        private_directory::open_in(&self.directory, &*self.name)
    }

    /// Takes the target away if it is what `held` holds.
    pub(crate) fn remove(&self, held: &File) {
        removal::remove(&self.directory, &*self.name, held);
    }

    /// Gives a new file the permissions of the one that it replaces, and its owner and group
    /// where this user may. It is open to nobody that the old one was closed to.
    fn hand_on(&self, file: &File) -> Result<()> {
        let Some(replaced) = self.replaced else {
            return Ok(());
        };
        let handed_on = self.hand_on_owner(file, replaced).and_then(|mode| {
            // Where all files have the same permissions, even setting those may be refused.
            if file.metadata()?.mode() & PERMISSIONS == mode {
                return Ok(());
            }
            self.disk.set_permissions(file, mode)
        });
        handed_on.map_err(|source| self.cannot_write(source))
    }

    /// Returns the permission bits that fit the owner and group that the file has then.
    fn hand_on_owner(&self, file: &File, replaced: Replaced) -> io::Result<u32> {
        let new = file.metadata()?;
        if new.gid() != replaced.group && self.disk.set_group(file, replaced.group).is_err() {
            // The bits were meant for another group. Its members now count among the others.
            let others = replaced.mode & 0o007;
            let old_group = (replaced.mode & 0o070) >> 3;
            return Ok(replaced.mode & 0o700 | others & old_group);
        }
        if new.uid() != replaced.owner {
            let _ = self.disk.set_owner(file, replaced.owner);
        }
        Ok(replaced.mode)
    }

    /// Gives the finished file `new` in the directory `from` the target's name.
    fn take(&self, from: &File, new: &str) -> Result<()> {
        if self.overwrite {
            let renamed = self.disk.rename(from, new, &self.path);
            renamed.map_err(|source| self.cannot_write(source))?;
            if self.exists {
                // The new name is whole with or without it; syncing is all that can fail here.
                let directory = self.path.parent().unwrap_or(Path::new("/"));
                let _ = self.disk.sync_directory(directory);
            }
            return Ok(());
        }
        let renamed = self.disk.rename_without_replacing(from, new, &self.path);
        renamed.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.path),
            _ => self.cannot_write(source),
        })
    }
}

/// Why a link may not be replaced: the output was meant for what it leads to.
fn check_link(path: &Path) -> std::result::Result<(), String> {
    // Also by way of /dev/fd, whose links lead to the open files themselves.
    let directory = path.parent().map(fs::canonicalize);
    let in_proc =
        directory.is_some_and(|place| place.is_ok_and(|place| place.starts_with("/proc")));
    if in_proc || fs::read_link(path).is_ok_and(|to| to.starts_with("/proc")) {
        return Err("it is a link to an open file of a process".to_owned());
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) => Err(format!(
            "it is a link to a {}",
            name_of(metadata.file_type())
        )),
        // It leads to nothing.
        Err(source)
            if source.kind() == io::ErrorKind::NotFound
                || source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) =>
        {
            Ok(())
        }
        Err(source) => Err(format!("where the link leads to cannot be seen: {source}")),
    }
}

#[cfg(target_os = "linux")]
fn attributes(at: &File, name: impl rustix::path::Arg, flags: AtFlags) -> StatxAttributes {
    let stat = rustix::fs::statx(at, name, flags, StatxFlags::empty());
    stat.map_or(StatxAttributes::empty(), |stat| stat.stx_attributes)
}

/// Whether another file system, or one file, is mounted at `name`.
#[cfg(target_os = "linux")]
fn is_mount_point(directory: &File, name: &OsStr) -> bool {
    let attributes = attributes(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// Whether another file system, or one file, is mounted at a path.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = rustix::fs::openat(CWD, parent.unwrap_or(Path::new(".")), HOLD, Mode::empty());
    let held = parent.ok().map(File::from).zip(path.file_name());
    held.is_some_and(|(held, name)| is_mount_point(&held, name))
}

/// Whether nothing can be renamed or removed in the directory.
#[cfg(target_os = "linux")]
fn is_append_only(directory: &File) -> bool {
    attributes(directory, "", AtFlags::EMPTY_PATH).contains(StatxAttributes::APPEND)
}

#[cfg(not(target_os = "linux"))]
fn is_mount_point(_directory: &File, _name: &OsStr) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_append_only(_directory: &File) -> bool {
    false
}

fn name_of(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "directory"
    } else if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

/// The error of writing to `place`.
pub(crate) fn cannot_write(place: impl fmt::Display, source: io::Error) -> Error {
    let error = Error::local_file(format!("cannot write {place}"));
    let hint = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or write to another file system"
        }
        io::ErrorKind::PermissionDenied => "write to a directory that this user may write in",
        io::ErrorKind::ReadOnlyFilesystem => "write to another file system",
        _ => return error.because(source),
    };
    error.because(source).hint(hint)
}

fn exists(path: &Path) -> Error {
    Error::local_file(format!("{} exists already", path.display())).with_remedy(Remedy::Overwrite)
}

#[cfg(test)]
mod tests;
