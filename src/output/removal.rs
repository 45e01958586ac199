//! Removing what was made beside a target.
//!
//! Another user may be allowed to rename what lies there, so a name does not tell what is removed: the file
//! is held open, and its name is removed only while it still leads to that file. Only a private directory
//! is emptied, and only a tree in one is removed recursively.
//!
//! NFS and FUSE keep a name for a file that is removed while it is open, where it was, and a directory with a
//! name in it cannot be removed. A thread or the daemon may still have a file open whose export was broken
//! off. So files first leave a private directory.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::name::temporary_name;

/// How many entries of a directory are looked at: an export does not read a huge one as a whole.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// How often a private directory is emptied: the daemon may still be making a file there.
const MAX_ROUNDS: usize = 16;

/// Opens what is to be looked at: through no link, and without waiting for a FIFO's other end.
pub(super) const LOOK: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Holds a file or a link without opening it, where the system can.
#[cfg(target_os = "linux")]
const HOLD_FILE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const HOLD_FILE: OFlags = LOOK;

/// Whether `name` in `directory` leads to what `held` holds.
pub(super) fn leads_to(
    directory: impl AsFd,
    name: impl rustix::path::Arg,
    held: impl AsFd,
) -> bool {
    let there = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let Ok((there, held)) = there.and_then(|there| Ok((there, rustix::fs::fstat(held)?))) else {
        return false;
    };
    (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)
}

/// Takes `name` in `directory` away from the file or the empty directory that `held` holds. Whether it
/// was there and could be removed.
pub(super) fn remove(
    directory: impl AsFd,
    name: impl rustix::path::Arg + Copy,
    held: &File,
) -> bool {
    if !leads_to(&directory, name, held) {
        return false;
    }
    let flags = if held.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    rustix::fs::unlinkat(directory, name, flags).is_ok()
}

/// Removes the private directory `name` in `beside`, which is `held`, and the files in it.
pub(super) fn remove_private(beside: &File, name: &str, held: &File) {
    for _ in 0..MAX_ROUNDS {
        for inner in names(held).iter().take(MAX_ENTRIES) {
            remove_any(held, inner, Some(beside));
        }
        if remove(beside, name, held) || !leads_to(beside, name, held) {
            break;
        }
    }
}

/// Removes the directory `name` in the private directory `at`, with all that is in it.
///
/// Nothing else is removed recursively: the caller has made `at` and holds it, or has seen that it is of this
/// user and that nobody else may write there. No link is followed, and no other file system is entered.
///
/// Files leave it for the directory `beside` first, if there is one.
pub(super) fn remove_tree(
    at: impl AsFd,
    name: impl rustix::path::Arg + Copy,
    beside: Option<&File>,
) {
    let Ok(there) = rustix::fs::fstat(&at) else {
        return;
    };
    let Ok(name) = name.into_c_str() else { return };
    let Some(root) = open_to_empty(&at, &name, &there) else {
        return;
    };
    // What is deep is moved up instead of being descended to: trees may be deeper than descriptors go.
    let mut moved = 0u64;
    loop {
        let mut goes_on = false;
        for name in names(&root) {
            goes_on |= remove_any(&root, &name, beside);
            let Some(directory) = open_to_empty(&root, &name, &there) else {
                continue;
            };
            for inner in names(&directory) {
                let removed = remove_any(&directory, &inner, beside);
                goes_on |= removed;
                if !removed && open_to_empty(&directory, &inner, &there).is_some() {
                    let up = format!(".{moved}");
                    moved += 1;
                    goes_on |= rustix::fs::renameat(&directory, &*inner, &root, up).is_ok();
                }
            }
            goes_on |= remove_any(&root, &name, beside);
        }
        if !goes_on {
            break;
        }
    }
    let _ = rustix::fs::unlinkat(&at, &*name, AtFlags::REMOVEDIR);
}

/// Removes a file, a link or an empty directory.
fn remove_any(directory: &File, name: &CStr, beside: Option<&File>) -> bool {
    beside.is_some_and(|beside| take_out(directory, name, beside))
        || rustix::fs::unlinkat(directory, name, AtFlags::empty()).is_ok()
        || rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok()
}

/// Moves a file out of `directory` into the one `beside` it, and removes it there.
fn take_out(directory: &File, name: &CStr, beside: &File) -> bool {
    let held = rustix::fs::openat(directory, name, HOLD_FILE, Mode::empty());
    let Some(held) = held.ok().map(File::from) else {
        return false;
    };
    let may_go = rustix::fs::fstat(&held).is_ok_and(|file| {
        FileType::from_raw_mode(file.st_mode) != FileType::Directory
            && rustix::fs::fstat(beside).is_ok_and(|beside| may_remove(&beside, &file))
    });
    let Some(new) = may_go.then(temporary_name).and_then(Result::ok) else {
        return false;
    };
    rustix::fs::renameat(directory, name, beside, &*new).is_ok() && remove(beside, &*new, &held)
}

/// Whether this user may remove a file in a directory that is writable: a sticky one keeps those of others.
fn may_remove(directory: &Stat, file: &Stat) -> bool {
    let user = rustix::process::geteuid();
    directory.st_mode & 0o1000 == 0
        || user.is_root()
        || [directory.st_uid, file.st_uid].contains(&user.as_raw())
}

fn names(directory: &File) -> Vec<CString> {
    let Ok(entries) = Dir::read_from(directory) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_owned());
    names
        .filter(|name| ![&b"."[..], b".."].contains(&name.to_bytes()))
        .collect()
}

/// Opens a directory of this user on the file system of `private`, and makes it writable.
fn open_to_empty(at: impl AsFd, name: &CStr, private: &Stat) -> Option<File> {
    let there = rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_directory = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
    if !is_directory || (there.st_uid, there.st_dev) != (private.st_uid, private.st_dev) {
        return None;
    }
    // A tree may have directories that its owner may not write in.
    let _ = rustix::fs::chmodat(&at, name, Mode::RWXU, AtFlags::empty());
    let flags = LOOK.union(OFlags::DIRECTORY);
    let opened = rustix::fs::openat(at, name, flags, Mode::empty());
    opened.ok().map(File::from)
}
