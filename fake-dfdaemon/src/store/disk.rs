//! Every step that the store takes on the file system, and nothing of what the steps are for.
//!
//! All of the store goes through a [`Disk`]: this is where a disk can be made to fail.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use crate::owned;

/// How much is copied between two looks at whether to go on, in bytes.
const COPY_STEP: u64 = 4 << 20;

/// How much is copied or hashed at once, in bytes: small enough to stay in a core's cache.
const BUFFER: usize = 256 << 10;

/// The file system as the store uses it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Whether what is written survives the machine, not only the process.
    fsync: bool,
    fault: Option<DiskFault>,
}

/// Something that is wrong with the disk for whoever writes content in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskFault(DiskFaultKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFaultKind {
    /// Nothing can be written: no space.
    NoSpace,
    /// Nothing can be written: an I/O error.
    Error,
    /// Half can be written, then an I/O error.
    TornWrite,
}

impl DiskFault {
    pub(crate) fn new(kind: DiskFaultKind) -> Self {
        Self(kind)
    }

    fn error(self) -> io::Error {
        match self.0 {
            DiskFaultKind::NoSpace => Errno::NOSPC.into(),
            DiskFaultKind::Error | DiskFaultKind::TornWrite => Errno::IO.into(),
        }
    }
}

impl Disk {
    pub(crate) fn new(fsync: bool) -> Self {
        Self { fsync, fault: None }
    }

    /// The same disk with something wrong with it.
    pub(crate) fn with_fault(&self, fault: Option<DiskFault>) -> Self {
        Self {
            fault,
            ..self.clone()
        }
    }

    /// Whether content can be written at all.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        match self.fault {
            Some(fault) if fault.0 != DiskFaultKind::TornWrite => Err(fault.error()),
            _ => Ok(()),
        }
    }

    /// Whether content can be written to its end, be it none at all.
    pub(crate) fn check_sound(&self) -> io::Result<()> {
        self.fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        owned::create_dir_all(path)
    }

    /// A new file for content, for reading and writing.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    /// Copies `length` bytes at `offset` of one file to the same place of another, by the kernel
    /// where it can (a reflink where the file system has them).
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the source ends before; `Interrupted` if `go_on` says no in between.
    pub(crate) fn copy_range(
        &self,
        source: &File,
        target: &File,
        offset: u64,
        length: u64,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let mut way = Way::ByKernel;
        self.in_steps(offset, length, go_on, |position, step| {
            way.copy(source, target, position, step)
        })
    }

    /// Copies as [`Self::copy_range`] does, by way of `buffer`, and shows what passes through it.
    pub(crate) fn copy_showing(
        &self,
        source: &File,
        target: &File,
        Range { start, end }: Range<u64>,
        go_on: &dyn Fn() -> bool,
        buffer: &mut Buffer,
        mut show: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.in_steps(start, end - start, go_on, |position, step| {
            let bytes = buffer.pass(source, target, position, step)?;
            show(bytes);
            Ok(bytes.len() as u64)
        })
    }

    fn in_steps(
        &self,
        offset: u64,
        length: u64,
        go_on: &dyn Fn() -> bool,
        mut copy: impl FnMut(u64, u64) -> io::Result<u64>,
    ) -> io::Result<()> {
        self.check_writable()?;
        let torn = self.fault.map(|fault| (fault, offset + length / 2));
        let (mut position, end) = (offset, torn.map_or(offset + length, |(_, end)| end));
        while position < end {
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = (end - position).min(COPY_STEP);
            position += copy(position, step)?;
        }
        torn.map_or(Ok(()), |(fault, _)| Err(fault.error()))
    }

    /// Has an empty `target` share what the first `length` bytes of `source` take on the disk, if
    /// the file system can do that. Whether it did.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the source is shorter.
    pub(crate) fn share(&self, source: &File, target: &File, length: u64) -> io::Result<bool> {
        // Where writing shall fail, this would be the way round it.
        if self.fault.is_some() || rustix::fs::ioctl_ficlone(target, source).is_err() {
            return Ok(false);
        }
        let shared = target.metadata()?.len();
        if shared < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if shared > length {
            target.set_len(length)?;
        }
        Ok(true)
    }

    pub(crate) fn read_exact_at(
        &self,
        file: &File,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<()> {
        file.read_exact_at(buffer, offset)
    }

    /// A part of a file.
    pub(crate) fn read_range(&self, file: &File, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let position = range.start + bytes.len() as u64;
            // Into memory that nobody has written to before: zeroing it would cost as much again.
            let read =
                rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), position);
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // More may have been allocated, and read, than was asked for.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// Writes the whole of a new file that is no content.
    pub(crate) fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = owned::create_new(path)?;
        file.write_all_at(bytes, 0)?;
        self.sync(&file)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        if self.fsync { file.sync_all() } else { Ok(()) }
    }

    /// Renames a file into a directory that may not be there yet.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let parent = to.parent().unwrap_or(Path::new("."));
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir_all(parent)?;
                if let Some(grandparent) = parent.parent() {
                    self.sync_dir(grandparent)?;
                }
                fs::rename(from, to)?;
            }
            renamed => renamed?,
        }
        self.sync_dir(parent)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.fsync {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }

    /// Removes a file. One that is not there is as good.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A further name for an open file, whatever has become of the one that it was opened by.
    pub(crate) fn link_open(&self, file: &File, to: &Path) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        // Where writing shall fail, a link would be the way round it.
        self.check_sound()?;
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(
            CWD,
            from,
            CWD,
            to,
            AtFlags::SYMLINK_FOLLOW,
        )?)
    }

    pub(crate) fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// Bytes that an unprivileged process can still write to the file system of `path`.
    pub(crate) fn free_space(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// How content gets from one file into another.
enum Way {
    ByKernel,
    /// Across file systems, or where either does not offer it (overlayfs, FUSE, procfs).
    ByHand(Buffer),
}

impl Way {
    /// Copies up to `length` bytes, at least one.
    fn copy(
        &mut self,
        source: &File,
        target: &File,
        position: u64,
        length: u64,
    ) -> io::Result<u64> {
        loop {
            let buffer = match self {
                Self::ByHand(buffer) => buffer,
                Self::ByKernel => match copy_by_kernel(source, target, position, length) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(copied) => return Ok(copied as u64),
                    Err(
                        Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM,
                    ) => {
                        *self = Self::ByHand(Buffer::new(length));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            let passed = buffer.pass(source, target, position, length)?;
            return Ok(passed.len() as u64);
        }
    }
}

fn copy_by_kernel(
    source: &File,
    target: &File,
    position: u64,
    length: u64,
) -> rustix::io::Result<usize> {
    let (mut from, mut to) = (position, position);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length)
}

/// Memory that content passes through, used again and again.
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// For content of `length` bytes.
    pub(crate) fn new(length: u64) -> Self {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Self(vec![0; length.min(BUFFER)])
    }

    /// As much of it as there is of the `length` bytes that are left.
    pub(crate) fn up_to(&mut self, length: u64) -> &mut [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let length = length.min(self.0.len());
        self.0.get_mut(..length).unwrap_or_default()
    }

    /// Copies up to `length` bytes, at least one, and returns them.
    fn pass(
        &mut self,
        source: &File,
        target: &File,
        position: u64,
        length: u64,
    ) -> io::Result<&[u8]> {
        let bytes = self.up_to(length);
        let read = loop {
            match source.read_at(bytes, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = bytes.get(..read).unwrap_or_default();
        target.write_all_at(bytes, position)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_range_lands_at_its_own_place() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let source = disk.create(&dir.path().join("source")).unwrap();
        source.write_all_at(b"0123456789", 0).unwrap();
        let mut buffer = Buffer::new(2);
        for name in ["kernel", "hand", "shown"] {
            let target = disk.create(&dir.path().join(name)).unwrap();
            match name {
                "kernel" => disk.copy_range(&source, &target, 4, 3, &|| true).unwrap(),
                "hand" => {
                    let mut way = Way::ByHand(Buffer::new(3));
                    assert_eq!(way.copy(&source, &target, 4, 3).unwrap(), 3);
                }
                _ => {
                    let mut shown = Vec::new();
                    let show = |bytes: &[u8]| shown.push(bytes.to_vec());
                    disk.copy_showing(&source, &target, 4..7, &|| true, &mut buffer, show)
                        .unwrap();
                    assert_eq!(shown, [&b"45"[..], b"6"]);
                }
            }
            let copied = fs::read(dir.path().join(name)).unwrap();
            assert_eq!(copied, b"\0\0\0\x00456", "{name}");
        }
    }

    #[test]
    fn a_fault_fails_what_writes_content() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let source = disk.create(&dir.path().join("source")).unwrap();
        source.write_all_at(b"0123456789", 0).unwrap();
        for (kind, code, written) in [
            (DiskFaultKind::NoSpace, 28, 0),
            (DiskFaultKind::Error, 5, 0),
            (DiskFaultKind::TornWrite, 5, 5),
        ] {
            let target = disk.create(&dir.path().join(format!("{kind:?}"))).unwrap();
            let faulty = disk.with_fault(Some(DiskFault::new(kind)));
            let error = faulty
                .copy_range(&source, &target, 0, 10, &|| true)
                .unwrap_err();
            assert_eq!(error.raw_os_error(), Some(code));
            assert_eq!(target.metadata().unwrap().len(), written);
        }
    }

    #[test]
    fn a_source_that_ends_early_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let source = disk.create(&dir.path().join("source")).unwrap();
        let target = disk.create(&dir.path().join("target")).unwrap();
        let error = disk
            .copy_range(&source, &target, 0, 1, &|| true)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let error = disk
            .copy_range(&source, &target, 0, 1, &|| false)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
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
}
