//! Removing what killed processes left beside a target.
//!
//! A lock tells whether the process lives. How something is removed lives in `removal`.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::name::{Maker, is_inner, maker};
use super::removal::{LOOK, MAX_ENTRIES, remove, remove_tree};

/// What no lock tells of is left over when it was not changed for so long.
const OLD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
    // Nobody else may write in a closed directory: all that is in it is this user's.
    let is_closed = [super::PRIVATE_DIRECTORY, super::SEARCH_DIRECTORY].contains(&mode);
    if let Some(inner) = inner
        && (is_closed || mode == super::DROP_DIRECTORY)
        && rustix::fs::unlinkat(directory, &*inner, AtFlags::empty()).is_err()
        && is_closed
    {
        remove_tree(directory, &*inner, None);
    }
}

fn is_old(held: &File) -> bool {
    let changed = held.metadata().and_then(|metadata| metadata.modified());
    let age = changed.map(|changed| SystemTime::now().duration_since(changed));
    age.is_ok_and(|age| age.is_ok_and(|age| age > OLD))
}
