//! Files and directories that are the owner's alone, whatever the umask says.
//!
//! Content is not made here: an exported hard link has its mode, and others may read that.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use tempfile::NamedTempFile;

/// Of files.
const FILE_MODE: u32 = 0o600;

/// Of directories.
pub(crate) const DIRECTORY_MODE: u32 = 0o700;

/// What a process has open.
const OPEN_FILES: &str = "/proc/self/fd";

/// What has no content to protect, and is the same for everybody.
const NULL: &str = "/dev/null";

/// Makes a directory in one that is there.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// A new file, for reading and writing.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Writes the whole of a file, over an older one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(path)?
        .write_all(bytes)
}

/// A file that is written before it takes the place of another one. Dropped before, it is gone.
pub(crate) enum Beside {
    /// Without a name, which a process that is killed would leave behind.
    Unnamed {
        file: File,
        directory: PathBuf,
        prefix: &'static str,
    },
    /// Where a file system has none without.
    Named(NamedTempFile),
}

/// A file to be appended to, in the directory of what it is to replace.
pub(crate) fn beside(directory: &Path, prefix: &'static str) -> io::Result<Beside> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
    // It gets its name through /proc, which a bare root lacks.
    if Path::new(OPEN_FILES).exists()
        && let Ok(file) = rustix::fs::open(directory, flags, Mode::from_raw_mode(FILE_MODE))
    {
        return Ok(Beside::Unnamed {
            file: file.into(),
            directory: directory.to_owned(),
            prefix,
        });
    }
    let mut named = tempfile::Builder::new();
    let named = named.prefix(prefix).make_in(directory, append)?;
    Ok(Beside::Named(named))
}

impl Beside {
    pub(crate) fn file(&mut self) -> &mut File {
        match self {
            Self::Unnamed { file, .. } => file,
            Self::Named(named) => named.as_file_mut(),
        }
    }

    /// Takes the place of what is at the path.
    pub(crate) fn persist(self, path: &Path) -> io::Result<File> {
        let named = match self {
            Self::Named(named) => named,
            Self::Unnamed {
                file,
                directory,
                prefix,
            } => {
                let open = format!("{OPEN_FILES}/{}", file.as_raw_fd());
                let link = |path: &Path| {
                    linkat(CWD, &*open, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
                    file.try_clone()
                };
                let mut named = tempfile::Builder::new();
                named.prefix(prefix).make_in(directory, link)?
            }
        };
        Ok(named.persist(path)?)
    }
}

/// Opens a file to be read and appended to, which is made if it is not there. Where anybody may
/// write, somebody else may have put one there first: a symbolic link to what is ours, or a file
/// of theirs.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let refused = |why: &str| Err(io::Error::other(why));
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(FILE_MODE)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let is_link = || fs::symlink_metadata(path).is_ok_and(|at| at.is_symlink());
    let file = match opened {
        Err(_) if is_link() => return refused("it is a symbolic link"),
        opened => opened?,
    };
    if path == Path::new(NULL) {
        return Ok(file);
    }
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refused("it is not a regular file");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refused("it belongs to another user");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_to_replace_another_has_no_name_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        fs::write(&path, "long").unwrap();
        let names = || fs::read_dir(directory.path()).unwrap().count();
        let mut beside = beside(directory.path(), ".journal-").unwrap();
        beside.file().write_all(b"short").unwrap();
        assert_eq!(names(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "long");
        let mut file = beside.persist(&path).unwrap();
        file.write_all(b"er").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "shorter");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, FILE_MODE);
        assert_eq!(names(), 1);
    }

    #[test]
    fn a_file_system_without_unnamed_files_gets_a_named_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut named = tempfile::Builder::new();
        let named = named.prefix(".journal-").make_in(directory.path(), append);
        let mut beside = Beside::Named(named.unwrap());
        beside.file().write_all(b"short").unwrap();
        beside.persist(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
