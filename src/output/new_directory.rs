//! A directory that was just created: whether what its name leads to is that directory.
//!
//! Another user may be allowed to rename what lies beside a target, and put a directory of his own
//! there. A new one is empty, private, and has the owner that its file system gives to what this user
//! makes.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::name::inner_name;
use super::removal::LOOK;
use super::{PRIVATE_DIRECTORY, Target};

/// What the probe is created with.
const PRIVATE_FILE: u32 = 0o600;

/// A new directory, held open.
#[derive(Debug)]
pub(super) struct NewDirectory {
    pub(super) directory: File,
    /// False on a file system that gives everything the same permissions (vfat, CIFS, object stores):
    /// nothing there is private, and a change of them may be refused.
    pub(super) keeps_permissions: bool,
}

/// Opens the directory `name` that was just created beside the target.
pub(super) fn open(target: &Target, name: &str) -> io::Result<NewDirectory> {
    let flags = LOOK.union(OFlags::DIRECTORY);
    let opened = rustix::fs::openat(&target.directory, name, flags, Mode::empty())?;
    let directory = File::from(opened);
    let marks = Marks::of(&directory)?;
    let is_ours =
        || marks == Marks::usual() || Marks::of_a_new_file(target, &directory) == Some(marks);
    if is_empty(&directory)? && is_ours() {
        return Ok(NewDirectory {
            directory,
            keeps_permissions: marks.is_private,
        });
    }
    Err(io::Error::other(
        "another process replaced the private directory beside it",
    ))
}

fn is_empty(directory: &File) -> io::Result<bool> {
    let mut entries = rustix::fs::Dir::read_from(directory)?;
    Ok(entries.all(|entry| {
        entry.is_ok_and(|entry| [&b"."[..], b".."].contains(&entry.file_name().to_bytes()))
    }))
}

/// What tells something private of this user from what is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    owner: u32,
    is_private: bool,
}

impl Marks {
    /// Those of nearly all file systems.
    fn usual() -> Self {
        Self {
            owner: rustix::process::geteuid().as_raw(),
            is_private: true,
        }
    }

    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            owner: metadata.uid(),
            is_private: metadata.mode() & 0o1777 & !PRIVATE_DIRECTORY == 0,
        })
    }

    /// Those of something private that this user creates in `directory`: NFS may give it to another user,
    /// CIFS gives everything one owner and the same permissions.
    fn of_a_new_file(target: &Target, directory: &File) -> Option<Self> {
        let name = inner_name().ok()?;
        let probe = target.disk.create(directory, &name, PRIVATE_FILE).ok()?;
        let marks = Self::of(&probe);
        // Closed first: some file systems keep a name for an open file that is removed.
        drop(probe);
        let _ = rustix::fs::unlinkat(directory, &*name, AtFlags::empty());
        marks.ok()
    }
}
