//! Removing what was made beside a target: one's own, and what killed processes left.
//!
//! Another user may be allowed to rename what lies there, so a name does not tell what is removed: the file
//! is held open, and its name is removed only while it still leads to that file. Only a tree in a private
//! directory is removed recursively.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::name::{Maker, is_inner, maker};

/// How many entries of a directory are looked at: an export does not read a huge one as a whole.
const MAX_ENTRIES: usize = 10_000;

/// What no lock tells of is left over when it was not changed for so long.
const OLD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Opens what is to be looked at: through no link, and without waiting for a FIFO's other end.
pub(super) const LOOK: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

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

/// Takes `name` in `directory` away from the file or the empty directory that `held` holds.
pub(super) fn remove(directory: impl AsFd, name: impl rustix::path::Arg + Copy, held: &File) {
    if !leads_to(&directory, name, held) {
        return;
    }
    let flags = if held.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    let _ = rustix::fs::unlinkat(directory, name, flags);
}

/// Removes what killed processes of this user left in `directory`. Nothing depends on it.
pub(super) fn sweep(directory: impl AsFd) {
    // It may be held without the right to read it.
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&directory, ".", readable, Mode::empty());
    let Ok(entries) = opened.and_then(Dir::new) else {
        return;
    };
    for entry in entries.take(MAX_ENTRIES).flatten() {
        if let Some(maker) = maker(entry.file_name().to_bytes()) {
            let _ = remove_leftover(&directory, entry.file_name(), maker);
        }
    }
}

fn remove_leftover(directory: impl AsFd, name: &CStr, maker: Maker) -> rustix::io::Result<()> {
    let there = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(there.st_mode);
    // Opening a device may do something.
    if ![FileType::RegularFile, FileType::Directory].contains(&kind) {
        return Ok(());
    }
    let held = File::from(rustix::fs::openat(&directory, name, LOOK, Mode::empty())?);
    let stat = rustix::fs::fstat(&held)?;
    let is_own = stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_own || (maker != Maker::ThisBoot && !is_old(&held)) {
        return Ok(());
    }
    // Held until it is gone: the process that has just made it waits for the lock, and sees then.
    if held.try_lock().is_err() {
        return Ok(());
    }
    if kind == FileType::Directory && maker != Maker::EarlierBuild {
        remove_inner(&held, &stat);
    }
    remove(directory, name, &held);
    Ok(())
}

/// Removes the one file or tree that a private directory may hold. A directory of anything else is not
/// one: another program gave it such a name.
fn remove_inner(directory: &File, stat: &Stat) {
    let mode = stat.st_mode & 0o1777;
    let Ok(entries) = Dir::read_from(directory) else {
        return;
    };
    let mut inner = None;
    for entry in entries {
        let Ok(entry) = entry else { return };
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name if inner.is_none() && is_inner(name) => inner = Some(entry.file_name().to_owned()),
            _ => return,
        }
    }
    let is_private = [
        super::PRIVATE_DIRECTORY,
        super::DROP_DIRECTORY,
        super::SEARCH_DIRECTORY,
    ]
    .contains(&mode);
    if let Some(inner) = inner
        && is_private
        && rustix::fs::unlinkat(directory, &*inner, AtFlags::empty()).is_err()
    {
        remove_tree(directory, &*inner);
    }
}

/// Removes the directory `name` in the private directory `at`, with all that is in it.
///
/// Nothing else is removed recursively. What is below a private directory is this user's own making,
/// since nobody else may write there; no link is followed, and no other file system is entered.
pub(super) fn remove_tree(at: impl AsFd, name: impl rustix::path::Arg + Copy) {
    let Ok(there) = rustix::fs::fstat(&at) else {
        return;
    };
    let is_private = there.st_uid == rustix::process::geteuid().as_raw()
        && [super::PRIVATE_DIRECTORY, super::SEARCH_DIRECTORY].contains(&(there.st_mode & 0o1777));
    if !is_private {
        return;
    }
    let Ok(name) = name.into_c_str() else { return };
    let Some(root) = open_to_empty(&at, &name, &there) else {
        return;
    };
    // What is deep is moved up instead of being descended to: trees may be deeper than descriptors go.
    let mut moved = 0u64;
    loop {
        let mut goes_on = false;
        for name in names(&root) {
            goes_on |= remove_any(&root, &name);
            let Some(directory) = open_to_empty(&root, &name, &there) else {
                continue;
            };
            for inner in names(&directory) {
                let removed = remove_any(&directory, &inner);
                goes_on |= removed;
                if !removed && open_to_empty(&directory, &inner, &there).is_some() {
                    let up = format!(".{moved}");
                    moved += 1;
                    goes_on |= rustix::fs::renameat(&directory, &*inner, &root, up).is_ok();
                }
            }
            goes_on |= remove_any(&root, &name);
        }
        if !goes_on {
            break;
        }
    }
    let _ = rustix::fs::unlinkat(&at, &*name, AtFlags::REMOVEDIR);
}

/// Removes a file, a link or an empty directory.
fn remove_any(directory: &File, name: &CStr) -> bool {
    rustix::fs::unlinkat(directory, name, AtFlags::empty()).is_ok()
        || rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok()
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

fn is_old(held: &File) -> bool {
    let changed = held.metadata().and_then(|metadata| metadata.modified());
    let age = changed.map(|changed| SystemTime::now().duration_since(changed));
    age.is_ok_and(|age| age.is_ok_and(|age| age > OLD))
}
