//! Every step that brings an output into place, as the file system takes it.
//!
//! All of them go through a [`Disk`]: this is where tests let a disk fill up or fail. What takes
//! back a failed export does not: it is tried whatever the disk says. What the steps are for
//! lives in `output` and `content`.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::holes;

/// The file system as an export uses it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    failure: Option<std::sync::Arc<tests::Failure>>,
}

impl Disk {
    /// A new file in a directory, for reading and writing.
    pub(crate) fn create(&self, directory: &File, name: &str, mode: u32) -> io::Result<File> {
        self.step("create")?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode))?;
        Ok(File::from(file))
    }

    /// A new file without a name, in the directory for temporary files.
    pub(crate) fn create_unnamed(&self) -> io::Result<File> {
        self.step("create unnamed")?;
        tempfile::tempfile()
    }

    pub(crate) fn create_directory(&self, at: &File, name: &str, mode: u32) -> io::Result<()> {
        self.step("create directory")?;
        Ok(rustix::fs::mkdirat(at, name, Mode::from_raw_mode(mode))?)
    }

    pub(crate) fn set_group(&self, file: &File, group: u32) -> io::Result<()> {
        self.step("set group")?;
        Ok(rustix::fs::fchown(file, None, Some(Gid::from_raw(group)))?)
    }

    pub(crate) fn set_owner(&self, file: &File, owner: u32) -> io::Result<()> {
        self.step("set owner")?;
        Ok(rustix::fs::fchown(file, Some(Uid::from_raw(owner)), None)?)
    }

    pub(crate) fn set_permissions(&self, file: &File, mode: u32) -> io::Result<()> {
        self.step("set permissions")?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Makes a new file as long as it is going to be: what is not written is a hole. Whether the file
    /// system can.
    pub(crate) fn set_length(&self, file: &File, length: u64) -> io::Result<bool> {
        let set = self
            .step("set length")
            .and_then(|()| rustix::fs::ftruncate(file, length));
        match set {
            Err(no_room @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(no_room.into()),
            // Whatever else is wrong shows when it is written to.
            set => Ok(set.is_ok()),
        }
    }

    /// Writes to a part of a file that is a hole, and leaves holes where there are zeros.
    pub(crate) fn write_data_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let step = self.step("write");
        let allowed = step.as_ref().map_or(bytes.len() / 2, |()| bytes.len());
        for data in holes::data(&bytes[..allowed], offset) {
            file.write_all_at(&bytes[data.clone()], offset + data.start as u64)?;
        }
        Ok(step?)
    }

    pub(crate) fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let step = self.step("write");
        // A write that fails may have written a part.
        let allowed = step.as_ref().map_or(bytes.len() / 2, |()| bytes.len());
        file.write_all_at(&bytes[..allowed], offset)?;
        Ok(step?)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.step("sync")?;
        file.sync_all()
    }

    pub(crate) fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step("sync directory")?;
        File::open(directory)?.sync_all()
    }

    /// Renames `from` in `directory` to the path `to`.
    pub(crate) fn rename(&self, directory: &File, from: &str, to: &Path) -> io::Result<()> {
        self.step("rename")?;
        Ok(rustix::fs::renameat(directory, from, CWD, to)?)
    }

    /// Fails with `AlreadyExists` if there is anything at `to`.
    pub(crate) fn rename_without_replacing(
        &self,
        directory: &File,
        from: &str,
        to: &Path,
    ) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match self.rename_atomically(directory, from, to) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
        match self.link(directory, from, to) {
            // Some have no links either, or not of the file of another user.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {
                self.rename_over_placeholder(directory, from, to)
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                // From here on the file is in its place: a second name is no failure.
                let _ = rustix::fs::unlinkat(directory, from, AtFlags::empty());
                Ok(())
            }
        }
    }

    /// The same for a directory, which has no links: the name is claimed by an empty directory, which
    /// a rename replaces.
    pub(crate) fn rename_directory_without_replacing(
        &self,
        directory: &File,
        from: &str,
        to: &Path,
    ) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match self.rename_atomically(directory, from, to) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
        self.step("claim")?;
        rustix::fs::mkdir(to, Mode::RWXU)?;
        let renamed = self
            .step("rename over")
            .and_then(|()| rustix::fs::renameat(directory, from, CWD, to));
        if renamed.is_err() {
            // It fails unless the directory is empty, as this side made it.
            let _ = rustix::fs::rmdir(to);
        }
        Ok(renamed?)
    }

    #[cfg(target_os = "linux")]
    fn rename_atomically(&self, at: &File, from: &str, to: &Path) -> rustix::io::Result<()> {
        self.step("rename")?;
        rustix::fs::renameat_with(at, from, CWD, to, RenameFlags::NOREPLACE)
    }

    fn link(&self, directory: &File, from: &str, to: &Path) -> rustix::io::Result<()> {
        self.step("link")?;
        rustix::fs::linkat(directory, from, CWD, to, AtFlags::empty())
    }

    /// Claims the name with an empty file, which only one can make, and replaces that.
    fn rename_over_placeholder(&self, at: &File, from: &str, to: &Path) -> io::Result<()> {
        self.step("claim")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let claim = rustix::fs::openat(CWD, to, flags, Mode::RUSR | Mode::WUSR)?;
        let renamed = self.step("rename over").and_then(|()| {
            if !is_at(to, &claim)? {
                return Err(Errno::EXIST);
            }
            rustix::fs::renameat(at, from, CWD, to)
        });
        if renamed.is_err() && is_at(to, &claim).unwrap_or(false) {
            let _ = rustix::fs::unlink(to);
        }
        Ok(renamed?)
    }

    /// Takes a step, which a test can make fail.
    #[cfg_attr(not(test), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    fn step(&self, _name: &'static str) -> rustix::io::Result<()> {
        #[cfg(test)]
        if let Some(failure) = &self.failure {
            return failure.step(_name);
        }
        Ok(())
    }
}

/// How many bytes this user may still write where the file is, if the file system says.
pub(crate) fn room(file: &File) -> Option<u64> {
    let space = rustix::fs::fstatvfs(file).ok()?;
    let blocks = if rustix::process::geteuid().is_root() {
        space.f_bfree
    } else {
        space.f_bavail
    };
    // Some tell of no blocks at all.
    (space.f_blocks > 0).then(|| blocks.saturating_mul(space.f_frsize))
}

/// Whether the path leads to the file that is held.
fn is_at(path: &Path, held: impl std::os::fd::AsFd) -> rustix::io::Result<bool> {
    let there = rustix::fs::lstat(path)?;
    let held = rustix::fs::fstat(held)?;
    Ok((there.st_dev, there.st_ino) == (held.st_dev, held.st_ino))
}

#[cfg(test)]
pub(crate) mod tests;
