//! A directory of many small files that is open: each is read and looked at from there, without a
//! walk along its whole path.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, read, retry_on_intr};

use super::failure::DiskOp;
use super::{Disk, with_path};

/// More than most records have bytes.
const RECORD: usize = 4 << 10;

/// What a record ends with, and has nowhere else.
pub(in crate::store) const RECORD_END: &[u8] = b"\n";

/// A directory, and what was in it when it was opened.
#[derive(Debug)]
pub(in crate::store) struct Directory {
    dir: OwnedFd,
    /// Where it was then.
    path: PathBuf,
    pub(in crate::store) names: Vec<OsString>,
}

impl Disk {
    /// Opens a directory and lists it.
    pub(in crate::store) fn directory(&self, path: &Path) -> io::Result<Directory> {
        self.listed(path).map_err(with_path(path))
    }

    fn listed(&self, path: &Path) -> io::Result<Directory> {
        self.step(DiskOp::List)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(Directory {
            dir,
            path: path.to_owned(),
            names,
        })
    }

    /// Reads a whole record into memory that may have held another. A link, a pipe, a socket or a
    /// directory, which none of ours is, reads as an empty file: nothing is followed, and nothing is
    /// waited for.
    pub(in crate::store) fn read_in(
        &self,
        directory: &Directory,
        name: &OsStr,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.read_whole(directory, name, bytes)
            .map_err(|error| with_path(&directory.path.join(name))(error))
    }

    fn read_whole(
        &self,
        directory: &Directory,
        name: &OsStr,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.step(DiskOp::Read)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        bytes.clear();
        let file = match retry_on_intr(|| openat(&directory.dir, name, flags, Mode::empty())) {
            Err(Errno::LOOP | Errno::NXIO) => return Ok(()),
            file => file?,
        };
        loop {
            bytes.reserve(RECORD);
            let room = bytes.spare_capacity_mut().len();
            match retry_on_intr(|| read(&file, spare_capacity(bytes))) {
                Ok(0) | Err(Errno::ISDIR) => return Ok(()),
                // Not all that there was room for, and the end of a record: no need to ask for more.
                Ok(length) if length < room && bytes.ends_with(RECORD_END) => return Ok(()),
                read => read?,
            };
        }
    }

    /// How long a file is; `None` if nothing is there, or something else.
    pub(in crate::store) fn length_in(
        &self,
        directory: &Directory,
        name: &OsStr,
    ) -> io::Result<Option<u64>> {
        self.step(DiskOp::Look)?;
        match statat(&directory.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(at) if FileType::from_raw_mode(at.st_mode) == FileType::RegularFile => {
                Ok(u64::try_from(at.st_size).ok())
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_reads_its_own_files_wherever_it_is_moved() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        let long = vec![b'x'; 3 * RECORD + 1];
        fs::create_dir(&from).unwrap();
        fs::write(from.join("long"), &long).unwrap();
        fs::write(from.join("short"), "short\n").unwrap();
        fs::write(from.join("cut"), "cut").unwrap();
        let disk = Disk::new(false);
        let mut directory = disk.directory(&from).unwrap();
        fs::rename(from, to).unwrap();
        directory.names.sort();
        assert_eq!(directory.names, ["cut", "long", "short"]);
        let mut bytes = Vec::new();
        for (name, content) in [("long", &long[..]), ("short", b"short\n"), ("cut", b"cut")] {
            disk.read_in(&directory, name.as_ref(), &mut bytes).unwrap();
            assert_eq!(bytes, content);
            let length = disk.length_in(&directory, name.as_ref()).unwrap();
            assert_eq!(length, Some(content.len() as u64));
        }
    }

    #[test]
    fn what_is_no_file_reads_as_an_empty_one() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "content").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::create_dir(at("directory")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let disk = Disk::new(false);
        let directory = disk.directory(root.path()).unwrap();
        for name in ["link", "pipe", "socket", "directory"] {
            let mut bytes = b"of another".to_vec();
            disk.read_in(&directory, name.as_ref(), &mut bytes).unwrap();
            assert_eq!(bytes, b"", "{name}");
        }
    }

    #[test]
    fn only_a_file_has_a_length() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "content").unwrap();
        fs::create_dir(root.path().join("directory")).unwrap();
        std::os::unix::fs::symlink("file", root.path().join("link")).unwrap();
        let disk = Disk::new(false);
        let directory = disk.directory(root.path()).unwrap();
        let length = |name: &str| disk.length_in(&directory, name.as_ref()).unwrap();
        assert_eq!(length("file"), Some(7));
        for name in ["directory", "link", "nothing"] {
            assert_eq!(length(name), None, "{name}");
        }
    }
}
