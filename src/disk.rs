//! Every step that brings an output into place, as the file system takes it.
//!
//! All of them go through a [`Disk`]: this is where tests let a disk fill up or fail. What takes
//! back a failed export does not: it is tried whatever the disk says. What the steps are for
//! lives in `output_file` and `content`.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FallocateFlags, RenameFlags};
use rustix::io::Errno;

/// The file system as an export uses it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    failure: Option<std::sync::Arc<tests::Failure>>,
}

impl Disk {
    /// A new file, for reading and writing.
    pub(crate) fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.step("create")?;
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true).mode(mode);
        options.open(path)
    }

    /// A new file without a name, in the directory for temporary files.
    pub(crate) fn create_unnamed(&self) -> io::Result<File> {
        self.step("create unnamed")?;
        tempfile::tempfile()
    }

    pub(crate) fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step("create directory")?;
        DirBuilder::new().mode(mode).create(path)
    }

    pub(crate) fn set_permissions(&self, file: &File, mode: u32) -> io::Result<()> {
        self.step("set permissions")?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Makes sure of space for so many bytes, if the file system can.
    pub(crate) fn reserve(&self, file: &File, length: u64) -> io::Result<()> {
        let reserve = || rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length);
        match self.step("reserve").and_then(|()| reserve()) {
            Err(no_room @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(no_room.into()),
            // Whatever else is wrong shows when it is written to.
            _ => Ok(()),
        }
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

    /// Syncs all of the file system that a directory is in.
    pub(crate) fn sync_around(&self, directory: &Path) -> io::Result<()> {
        self.step("sync around")?;
        Ok(rustix::fs::syncfs(File::open(directory)?)?)
    }

    pub(crate) fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step("sync directory")?;
        File::open(directory)?.sync_all()
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename")?;
        fs::rename(from, to)
    }

    /// Fails with `AlreadyExists` if there is anything at `to`.
    pub(crate) fn rename_without_replacing(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match self.rename_atomically(from, to) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
        self.step("link")?;
        rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?;
        // From here on the file is where it shall be: a second name is no failure.
        let _ = fs::remove_file(from);
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn rename_atomically(&self, from: &Path, to: &Path) -> rustix::io::Result<()> {
        self.step("rename")?;
        rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
    }

    /// Takes a step; fails where a test says so.
    #[cfg_attr(not(test), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    fn step(&self, _name: &'static str) -> rustix::io::Result<()> {
        #[cfg(test)]
        if let Some(failure) = &self.failure {
            return failure.step(_name);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
