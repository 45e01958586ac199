//! Every step that the store takes on the file system, and nothing of what the steps are for.
//!
//! All that touches content, records and snapshots goes through a [`Disk`]: this is where a disk can
//! be made to fail, at any step.

mod cached;
mod content;
mod deferred_removals;
mod directory;
mod failure;
mod holes;
mod identity;
mod own_files;

use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, OFlags};
use tempfile::TempPath;

use self::deferred_removals::DeferredRemovals;
pub(in crate::store) use self::directory::{Directory, Names, RECORD_END};
pub(crate) use self::failure::{DiskFailure, DiskFault, DiskOp, FailureInjector};
pub(in crate::store) use self::identity::{FileTime, Identity};
use super::private_files;

pub(crate) use cached::Waiting;
pub(crate) use content::Buffer;
pub(crate) use holes::FoundData;

/// The file system as the store uses it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Whether what is written survives the machine, not only the process.
    fsync: bool,
    fault: Option<DiskFault>,
    failures: Option<Arc<dyn FailureInjector>>,
    deferred_removals: Arc<DeferredRemovals>,
    #[cfg(test)]
    clock_ahead: i64,
}

impl Disk {
    pub(crate) fn new(fsync: bool) -> Self {
        Self {
            fsync,
            fault: None,
            failures: None,
            deferred_removals: Arc::default(),
            #[cfg(test)]
            clock_ahead: 0,
        }
    }

    /// The same disk with something wrong with it for one call.
    pub(crate) fn with_fault(&self, fault: Option<DiskFault>) -> Self {
        Self {
            fault,
            ..self.clone()
        }
    }

    /// The same disk with things going wrong at steps.
    pub(crate) fn with_failures(self, failures: Option<Arc<dyn FailureInjector>>) -> Self {
        Self { failures, ..self }
    }

    /// Whether content can be written at all.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        match self.fault.map(DiskFault::failure) {
            Some(fault @ DiskFailure::Fails(_)) => Err(fault.error()),
            Some(DiskFailure::Torn(_)) | None => Ok(()),
        }
    }

    /// Whether content can be written to its end, be it none at all.
    pub(crate) fn check_sound(&self) -> io::Result<()> {
        self.fault
            .map_or(Ok(()), |fault| Err(fault.failure().error()))
    }

    /// Called before every step.
    pub(super) fn step(&self, step: DiskOp) -> io::Result<()> {
        self.failure(step)
            .map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn failure(&self, step: DiskOp) -> Option<DiskFailure> {
        self.failures.as_ref()?.at(step)
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => {
                let taken = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(with_path(path)(taken));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Whether the directory is there cannot be known: neither can it of those above it.
            Err(error) => return Err(with_path(path)(error)),
        }
        let Some(parent) = path.parent() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.create_dir_all(parent)?;
        self.step(DiskOp::CreateDir)?;
        match private_files::create_dir(path) {
            // Another thread needs it too.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made.map_err(with_path(path))?,
        }
        self.sync_dir(parent)
    }

    /// A new file for content, for reading and writing.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        self.step(DiskOp::Create)?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        self.step(DiskOp::Open)?;
        File::open(path)
    }

    /// A file that is there, for reading and writing.
    pub(crate) fn open_again(&self, path: &Path) -> io::Result<File> {
        self.step(DiskOp::Open)?;
        File::options().read(true).write(true).open(path)
    }

    /// A file that is there, emptied, for writing.
    pub(crate) fn open_emptied(&self, path: &Path) -> io::Result<File> {
        self.step(DiskOp::Open)?;
        File::options()
            .write(true)
            .truncate(true)
            // A FIFO that nobody reads would hold up the daemon's end.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
    }

    /// The file that a symbolic link points to, made if it is not there, for writing.
    pub(crate) fn create_through(&self, link: &Path) -> io::Result<File> {
        self.step(DiskOp::Create)?;
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(link)
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.step(DiskOp::Read)?;
        fs::read(path)
    }

    /// What is in a directory.
    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<(PathBuf, FileType)>> {
        self.step(DiskOp::List)?;
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.path(), entry.file_type()?))
        };
        fs::read_dir(dir)?.map(entry).collect()
    }

    /// What is at a path; `None` if nothing is.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.step(DiskOp::Look)?;
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the whole of a new file that is no content. One that could not be written whole stays.
    pub(crate) fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(DiskOp::Create)?;
        let file = private_files::create_new(path)?;
        if let Some(failure) = self.failure(DiskOp::Write) {
            if matches!(failure, DiskFailure::Torn(_)) {
                file.write_all_at(bytes.get(..bytes.len() / 2).unwrap_or_default(), 0)?;
            }
            return Err(failure.error());
        }
        file.write_all_at(bytes, 0)?;
        self.sync(&file)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        if !self.fsync {
            return Ok(());
        }
        self.step(DiskOp::Sync)?;
        self.sync_really(file)
    }

    /// Renames a file into a directory that may not be there yet.
    ///
    /// # Errors
    ///
    /// Those of the disk. It may have been renamed nevertheless, by a name that the machine can lose.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let parent = to.parent().unwrap_or(Path::new("."));
        self.deferred_removals.forget(to);
        match self.rename_unsynced(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir_all(parent)?;
                self.rename_unsynced(from, to)?;
            }
            renamed => renamed?,
        }
        self.sync_dir(parent)
    }

    /// Moves a directory to a place where nothing is. Not another step: it can still get lost with
    /// the machine.
    pub(crate) fn rename_unsynced(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(DiskOp::Rename)?;
        fs::rename(from, to)
    }

    /// Renames a file, but not over another.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is another.
    pub(crate) fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(DiskOp::Rename)?;
        let from = TempPath::try_from_path(from)?;
        from.persist_noclobber(to).map_err(|failed| {
            // It is the caller's to remove.
            let _ = failed.path.keep();
            failed.error
        })
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if !self.fsync {
            return Ok(());
        }
        self.step(DiskOp::SyncDir)?;
        self.sync_really(&File::open(path)?)
    }

    fn sync_really(&self, file: &File) -> io::Result<()> {
        let skipped = self.failures.as_ref().is_some_and(|at| at.skip_syncs());
        if skipped { Ok(()) } else { file.sync_all() }
    }

    /// Removes a file. Succeeds if it is not there.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(DiskOp::Remove)?;
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        if let Err(error) = self.sync_dir(parent) {
            // Gone it is, as long as the machine runs.
            tracing::warn!(path = %path.display(), %error, "the removal may not outlive the machine");
        }
        Ok(())
    }

    /// Removes a file that nobody has use for, now or, if that fails, by [`Self::sweep`].
    pub(crate) fn discard(&self, path: &Path) {
        if !self.is_gone(path) {
            self.deferred_removals.add(path);
        }
    }

    /// Removes what could not be removed before.
    pub(crate) fn sweep(&self) {
        self.deferred_removals.sweep(|path| self.is_gone(path));
    }

    /// Says that what could not be removed below `dir` does not lie there any more.
    pub(crate) fn forget_removals_below(&self, dir: &Path) {
        self.deferred_removals.forget_below(dir);
    }

    fn is_gone(&self, path: &Path) -> bool {
        let removed = self
            .step(DiskOp::Remove)
            .and_then(|()| fs::remove_file(path));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "left for the next collection");
                false
            }
            _ => true,
        }
    }

    /// Removes a directory with all that is in it. Succeeds if it is not there.
    pub(crate) fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        self.step(DiskOp::RemoveTree)?;
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A further name for an open file, whatever has become of the one that it was opened by.
    pub(crate) fn link_open(&self, file: &File, to: &Path) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        // A test that makes writing fail must not be bypassed by a link.
        self.check_sound()?;
        self.step(DiskOp::Link)?;
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(
            CWD,
            from,
            CWD,
            to,
            AtFlags::SYMLINK_FOLLOW,
        )?)
    }

    /// A further name for what is at a path, also if it is a symbolic link.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_sound()?;
        self.step(DiskOp::Link)?;
        fs::hard_link(from, to)
    }

    /// A further name for a file; a copy of it where it has as many as it can.
    pub(crate) fn link_or_copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let linked = self
            .step(DiskOp::Link)
            .and_then(|()| fs::hard_link(from, to));
        if linked.is_ok() {
            return Ok(());
        }
        self.step(DiskOp::Copy)?;
        fs::copy(from, to)?;
        if self.fsync {
            self.sync(&File::open(to)?)?;
        }
        Ok(())
    }

    pub(crate) fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.step(DiskOp::SetMode)?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Bytes that an unprivileged process can still write to the file system of `path`.
    pub(crate) fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.step(DiskOp::FreeSpace)?;
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Says which path an error is about.
pub(crate) fn with_path(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not that a directory above it exists already.
    #[test]
    fn a_directory_below_what_is_none_fails_with_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (file, circle) = (dir.path().join("file"), dir.path().join("circle"));
        fs::write(&file, b"").unwrap();
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        let errno = |path: &Path| fs::metadata(path).unwrap_err().to_string();
        for below in [file.join("a/b"), circle.join("a/b")] {
            let error = Disk::new(false).create_dir_all(&below).unwrap_err();
            let wanted = format!("{}: {}", below.display(), errno(&below));
            assert_eq!(error.to_string(), wanted);
        }
        let error = Disk::new(false).create_dir_all(&file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_rename_makes_the_directory_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(true);
        let (from, to) = (dir.path().join("from"), dir.path().join("a/b"));
        disk.write_new(&from, b"x").unwrap();
        disk.rename(&from, &to).unwrap();
        assert_eq!(fs::read(to).unwrap(), b"x");
    }

    #[test]
    fn an_open_file_gets_a_name_also_when_it_lost_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        disk.write_new(&from, b"x").unwrap();
        let file = disk.open(&from).unwrap();
        fs::rename(&from, dir.path().join("elsewhere")).unwrap();
        disk.link_open(&file, &to).unwrap();
        assert_eq!(fs::read(to).unwrap(), b"x");
    }

    #[test]
    fn what_could_not_be_removed_is_swept_unless_it_was_put_to_use_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let paths = ["swept", "used", "kept"].map(|name| dir.path().join(name));
        for path in &paths {
            // A directory is nothing that a file's removal removes.
            fs::create_dir(path).unwrap();
            disk.discard(path);
            fs::remove_dir(path).unwrap();
            disk.write_new(path, b"x").unwrap();
        }
        let [swept, used, kept] = paths;
        let new = dir.path().join("new");
        disk.write_new(&new, b"y").unwrap();
        disk.rename(&new, &used).unwrap();
        disk.forget_removals_below(&kept);
        disk.sweep();
        assert!(!swept.exists() && kept.exists());
        assert_eq!(fs::read(used).unwrap(), b"y");
    }
}
