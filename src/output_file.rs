//! Where an export goes: the checks of the target, and how a new file takes its place.
//!
//! The new file is made beside the target, under a name of its own (`temporary`), and renamed
//! when it is whole. Until then the target is as it was; the rename either does not replace at
//! all or replaces the name as a whole, so nothing is ever written through a link. What is
//! written into the file lives in `content`.

mod temporary;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, Result};

pub(crate) use temporary::{PrivateDirectory, TemporaryFile};

/// The permission bits that an overwritten file hands on.
const PERMISSIONS: u32 = 0o777;

/// A place for an output file that was fit for it when it was checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
    overwrite: bool,
    /// Permission bits of the regular file that will be replaced.
    replaced_mode: Option<u32>,
    exists: bool,
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
        let existing = match fs::symlink_metadata(&absolute) {
            Ok(metadata) => Some(metadata),
            Err(source) if source.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(cannot().because(source)),
        };
        let mut replaced_mode = None;
        if let Some(existing) = &existing {
            let kind = existing.file_type();
            if kind.is_dir() {
                return Err(cannot().because(directory));
            }
            if !kind.is_file() && !kind.is_symlink() {
                return Err(cannot().because(format!("it is a {}", name_of(kind))));
            }
            if !overwrite {
                return Err(exists(path));
            }
            if kind.is_file() {
                replaced_mode = Some(existing.permissions().mode() & PERMISSIONS);
            }
        }
        Ok(Self {
            directory: parent.to_owned(),
            name: name.to_owned(),
            overwrite,
            replaced_mode,
            exists: existing.is_some(),
            path: absolute,
            disk: Disk::default(),
        })
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
        let source = source.into();
        let error = Error::local_file(format!("cannot write {}", self.path.display()));
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

    /// Whether the new file has to be on disk before it takes the target's place: a fresh file
    /// lost with the machine is no loss, the old one would be.
    pub(crate) fn must_be_synced(&self) -> bool {
        self.exists
    }

    /// Gives the finished file at `new` the target's name.
    fn take(&self, new: &Path) -> Result<()> {
        if self.overwrite {
            let renamed = self.disk.rename(new, &self.path);
            renamed.map_err(|source| self.cannot_write(source))?;
            if self.exists {
                // The new name is whole with or without it; syncing is all that can fail here.
                let _ = self.disk.sync_directory(&self.directory);
            }
            return Ok(());
        }
        let renamed = self.disk.rename_without_replacing(new, &self.path);
        renamed.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.path),
            _ => self.cannot_write(source),
        })
    }
}

fn name_of(kind: fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

fn exists(path: &Path) -> Error {
    Error::local_file(format!("{} exists already", path.display())).hint("--overwrite replaces it")
}

/// Opens a regular file without following a link in its place.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let not_a_link = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(not_a_link.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is not a regular file"))
}

/// The longest file name there is, in bytes.
const MAX_NAME_LENGTH: usize = 255;

/// `.<name>.dfcache-<random>`, the name cut short where it would grow too long.
fn temporary_name(name: &OsStr) -> io::Result<OsString> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    let suffix = format!("{MARK}{}", random_word()?);
    let room = MAX_NAME_LENGTH - 1 - suffix.len();
    let name = name.as_bytes();
    let mut temporary = vec![b'.'];
    temporary.extend_from_slice(&name[..name.len().min(room)]);
    temporary.extend_from_slice(suffix.as_bytes());
    Ok(OsString::from_vec(temporary))
}

const MARK: &str = ".dfcache-";
const RANDOM_DIGITS: usize = 32;

/// Whether a name is one that `temporary_name` makes.
fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let Some(split) = name.len().checked_sub(RANDOM_DIGITS) else {
        return false;
    };
    let (front, random) = name.split_at(split);
    front.starts_with(b".")
        && front.ends_with(MARK.as_bytes())
        && random.iter().all(u8::is_ascii_hexdigit)
}

/// 128 bits that nobody can guess: another user may be allowed to write where it is used.
fn random_word() -> io::Result<String> {
    let mut bytes = [0; RANDOM_DIGITS / 2];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if read != bytes.len() {
        return Err(io::Error::other("the system has no random bytes"));
    }
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests;
