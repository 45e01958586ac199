//! Removes the file that is open, and never another one that has taken its name.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};

use super::{Disk, DiskOp};

/// How to open a directory that another process may replace by anything.
const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Disk {
    /// Where an open file lies, as the system knows it.
    pub(in crate::store) fn path_of(&self, file: &File) -> io::Result<PathBuf> {
        self.step(DiskOp::Look)?;
        fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Removes an open file at a place below `root`, if it still lies there. No symbolic link below `root` is
    /// followed.
    pub(in crate::store) fn remove_open(
        &self,
        root: &Path,
        place: &Path,
        file: &File,
    ) -> io::Result<()> {
        self.step(DiskOp::Remove)?;
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let mut dir = openat(CWD, root, flags, Mode::empty())?;
        for component in parent.components() {
            let Component::Normal(name) = component else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            dir = openat(&dir, name, DIRECTORY, Mode::empty())?;
        }
        let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let ours = file.metadata()?;
        if (there.st_dev, there.st_ino) != (ours.dev(), ours.ino()) {
            return Err(io::Error::other("another file has taken its place"));
        }
        Ok(unlinkat(&dir, name, AtFlags::empty())?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_open_file_is_removed_and_nothing_else_at_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (root, disk) = (dir.path().join("root"), Disk::new(false));
        fs::create_dir_all(root.join("a")).unwrap();
        let place = Path::new("a/file");
        let made = |bytes: &str| {
            fs::write(root.join(place), bytes).unwrap();
            File::open(root.join(place)).unwrap()
        };
        let file = made("ours");
        let known = disk.path_of(&file).unwrap();
        assert_eq!(known, root.join(place).canonicalize().unwrap());
        disk.remove_open(&root, place, &file).unwrap();
        assert!(!root.join(place).exists());
        // Another one came after it.
        let _theirs = made("theirs");
        disk.remove_open(&root, place, &file).unwrap_err();
        // What was its directory leads elsewhere now.
        let (file, elsewhere) = (made("moved"), dir.path().join("elsewhere"));
        fs::rename(root.join("a"), &elsewhere).unwrap();
        symlink(&elsewhere, root.join("a")).unwrap();
        for place in [place, Path::new("../elsewhere/file")] {
            disk.remove_open(&root, place, &file).unwrap_err();
        }
        assert_eq!(fs::read(elsewhere.join("file")).unwrap(), b"moved");
    }
}
