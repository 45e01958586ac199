//! A directory of many small files that is open: each is read and looked at from there, without a
//! walk along its whole path.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FsWord, Mode, OFlags, fstat, fstatfs, openat, statat, unlinkat,
};
use rustix::io::{Errno, pread, read, retry_on_intr};

use super::failure::DiskOp;
use super::{Disk, Identity, with_path};

/// More than most records have bytes.
const RECORD: usize = 4 << 10;

/// What a record ends with, and has nowhere else.
pub(in crate::store) const RECORD_END: &[u8] = b"\n";

/// A directory that is open.
#[derive(Debug)]
pub(in crate::store) struct Directory {
    pub(super) dir: OwnedFd,
    /// Where it was then.
    path: PathBuf,
    /// What it was then.
    pub(in crate::store) identity: Option<Identity>,
}

/// The names of files, in one piece of memory: a directory may have very many.
#[derive(Debug, Default)]
pub(in crate::store) struct Names {
    bytes: Vec<u8>,
    /// Where each name ends.
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = &OsStr> {
        let mut start = 0;
        self.ends.iter().filter_map(move |end| {
            let name = self.bytes.get(start..*end)?;
            start = *end;
            Some(OsStr::from_bytes(name))
        })
    }
}

impl Disk {
    /// Opens a directory.
    pub(in crate::store) fn directory(&self, path: &Path) -> io::Result<Directory> {
        self.opened(path, OFlags::empty()).map_err(with_path(path))
    }

    /// The same of a directory that no link leads to.
    pub(in crate::store) fn directory_itself(&self, path: &Path) -> io::Result<Directory> {
        self.opened(path, OFlags::NOFOLLOW)
    }

    fn opened(&self, path: &Path, flags: OFlags) -> io::Result<Directory> {
        self.step(DiskOp::List)?;
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?;
        Ok(Directory {
            identity: fstat(&dir).ok().as_ref().and_then(Identity::of_directory),
            dir,
            path: path.to_owned(),
        })
    }

    /// The names in a directory, in memory that may have held those of another.
    pub(in crate::store) fn names(
        &self,
        directory: &Directory,
        names: &mut Names,
    ) -> io::Result<()> {
        names.bytes.clear();
        names.ends.clear();
        let listed = self.step(DiskOp::List).and_then(|()| {
            for entry in Dir::read_from(&directory.dir)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    names.push(name);
                }
            }
            Ok(())
        });
        listed.map_err(with_path(&directory.path))
    }

    /// Whether the time of change of a directory tells that a name came or went. A file system of the network may
    /// not.
    pub(in crate::store) fn tells_changes(&self, directory: &Directory) -> bool {
        const TELLING: [FsWord; 5] = [
            0x0102_1994, // tmpfs
            0xef53,      // ext2, ext3 and ext4
            0x5846_5342, // XFS
            0x9123_683e, // Btrfs
            0x794c_7630, // overlayfs
        ];
        fstatfs(&directory.dir).is_ok_and(|system| TELLING.contains(&system.f_type))
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
        bytes.clear();
        let read = self.open_in(directory, name).and_then(|file| {
            let file = file.as_ref();
            file.map_or(Ok(()), |file| read_to_end(file, bytes))
        });
        read.map_err(|error| with_path(&directory.path.join(name))(error))
    }

    /// The same, with what the file was before it was read: `None` if it was no regular file.
    pub(in crate::store) fn read_identified_in(
        &self,
        directory: &Directory,
        name: &OsStr,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<Identity>> {
        bytes.clear();
        let read = self.open_in(directory, name).and_then(|file| {
            let Some(file) = file else {
                return Ok(None);
            };
            let identity = fstat(&file).ok().as_ref().and_then(Identity::of);
            read_to_end(&file, bytes)?;
            Ok(identity)
        });
        read.map_err(|error| with_path(&directory.path.join(name))(error))
    }

    /// Reads a file that is a cache, and that begins so, into memory that may have held another; `None` if it is
    /// none.
    pub(in crate::store) fn read_cache_in(
        &self,
        directory: &Directory,
        name: &OsStr,
        begin: &[u8],
        bytes: &mut Vec<u8>,
    ) -> Option<()> {
        bytes.clear();
        let file = self.open_in(directory, name).ok()??;
        let length = Identity::of(&fstat(&file).ok()?)?.length;
        let length = usize::try_from(length).ok()?;
        if !begins_so(&file, begin) {
            return None;
        }
        // With room to see that it ends.
        bytes.try_reserve(length.checked_add(1)?).ok()?;
        while bytes.len() <= length {
            match retry_on_intr(|| read(&file, spare_capacity(bytes))) {
                Ok(0) => return Some(()),
                read => read.ok()?,
            };
        }
        None
    }

    /// Removes a regular file that begins so; nothing that anybody else put there.
    pub(in crate::store) fn discard_in(&self, directory: &Directory, name: &OsStr, begin: &[u8]) {
        let file = self.open_in(directory, name).ok().flatten();
        if file.is_some_and(|file| begins_so(&file, begin)) && self.step(DiskOp::Remove).is_ok() {
            // If it stays, the next start removes it.
            let _ = unlinkat(&directory.dir, name, AtFlags::empty());
        }
    }

    /// A file of a directory; `None` if it is one that cannot be a record.
    fn open_in(&self, directory: &Directory, name: &OsStr) -> io::Result<Option<OwnedFd>> {
        self.step(DiskOp::Read)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match retry_on_intr(|| openat(&directory.dir, name, flags, Mode::empty())) {
            Err(Errno::LOOP | Errno::NXIO) => Ok(None),
            file => Ok(Some(file?)),
        }
    }

    /// What lies by a name now; `None` if that cannot be found out, or is no regular file.
    pub(in crate::store) fn identity_in(
        &self,
        directory: &Directory,
        name: &OsStr,
    ) -> Option<Identity> {
        self.step(DiskOp::Look).ok()?;
        let stat = statat(&directory.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Identity::of(&stat)
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

fn begins_so(file: &OwnedFd, begin: &[u8]) -> bool {
    let mut bytes = vec![0; begin.len()];
    pread(file, &mut bytes, 0).is_ok() && bytes == begin
}

fn read_to_end(file: &OwnedFd, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        bytes.reserve(RECORD);
        let room = bytes.spare_capacity_mut().len();
        match retry_on_intr(|| read(file, spare_capacity(bytes))) {
            Ok(0) | Err(Errno::ISDIR) => return Ok(()),
            // Not all that there was room for, and the end of a record: no need to ask for more.
            Ok(length) if length < room && bytes.ends_with(RECORD_END) => return Ok(()),
            read => read?,
        };
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
        let directory = disk.directory(&from).unwrap();
        fs::rename(from, to).unwrap();
        let mut listed = Names::default();
        disk.names(&directory, &mut listed).unwrap();
        let mut names: Vec<_> = listed.iter().collect();
        names.sort();
        assert_eq!(names, ["cut", "long", "short"]);
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
