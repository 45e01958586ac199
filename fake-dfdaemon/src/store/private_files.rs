//! Files and directories that are the owner's alone, whatever the umask says.
//!
//! Content is not made here: an exported hard link has its mode, and others may read that.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Of files.
const FILE_MODE: u32 = 0o600;

/// Of directories.
pub(crate) const DIRECTORY_MODE: u32 = 0o700;

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
