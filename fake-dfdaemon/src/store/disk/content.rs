//! The bytes of content: copied from file to file, shared, read, a step at a time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::io::{Errno, retry_on_intr};

use super::Disk;
use super::failure::{DiskFailure, DiskOp};
use super::holes::{self, FoundData, Next};

/// How much is copied between two looks at whether to go on, in bytes.
const COPY_STEP: u64 = 4 << 20;

/// How much is copied or hashed at once, in bytes: small enough to stay in a core's cache.
const BUFFER: usize = 256 << 10;

impl Disk {
    /// Copies the first `length` bytes of a file, as [`Self::copy_range`] does.
    pub(crate) fn copy_first(
        &self,
        source: &File,
        target: &File,
        length: u64,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let source = (source, &FoundData::default());
        self.copy_range(source, target, 0, length, go_on)
    }

    /// Copies `length` bytes at `offset` of one file to the same place of another, by the kernel
    /// where it can (a reflink where the file system has them). Holes stay holes. Nobody else makes the
    /// target longer meanwhile.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the source ends before; `Interrupted` if `go_on` says no in between.
    pub(crate) fn copy_range(
        &self,
        source: (&File, &FoundData),
        target: &File,
        offset: u64,
        length: u64,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let mut method = CopyMethod::ByKernel;
        self.in_steps(offset, length, go_on, |position, step| {
            match self.next(source, target, position, step)? {
                Next::Hole(length) => Ok(length),
                Next::Data(length) => method.copy(source.0, target, position, length),
            }
        })?;
        // Behind the last data there may be a hole.
        let end = offset + length;
        if target.metadata()?.len() < end {
            target.set_len(end)?;
        }
        Ok(())
    }

    /// Whether a part of a file is a hole, and has not to be read.
    pub(crate) fn is_hole(&self, file: &File, range: &Range<u64>) -> bool {
        let length = range.end - range.start;
        self.hole_length(file, range.start, length) >= length
    }

    /// How many of the `length` bytes at `position` are a hole, from the first one on.
    pub(crate) fn hole_length(&self, file: &File, position: u64, length: u64) -> u64 {
        match self.fault {
            None => holes::hole_length(file, position, length),
            // A disk with a fault is read: the read may have to fail.
            Some(_) => 0,
        }
    }

    /// Whether nothing was written yet to a part of a file.
    pub(crate) fn is_unwritten(&self, file: &File, range: &Range<u64>) -> bool {
        self.fault.is_none() && holes::is_unwritten(file, range.start, range.end - range.start)
    }

    /// What comes next in `source`; a hole only if nothing was written to `target` there.
    fn next(
        &self,
        (source, found): (&File, &FoundData),
        target: &File,
        position: u64,
        length: u64,
    ) -> io::Result<Next> {
        // A test that makes writing fail must not be bypassed here.
        if self.fault.is_some() {
            return Ok(Next::Data(length));
        }
        Ok(match found.next(source, position, length)? {
            Next::Hole(hole) if !holes::is_unwritten(target, position, hole) => Next::Data(hole),
            next => next,
        })
    }

    /// Copies as [`Self::copy_range`] does, by way of `buffer`, and shows what passes through it. A hole
    /// at the end does not make the target longer: others may write to it at the same time.
    pub(crate) fn copy_showing(
        &self,
        source: (&File, &FoundData),
        target: &File,
        Range { start, end }: Range<u64>,
        go_on: &dyn Fn() -> bool,
        buffer: &mut Buffer,
        mut show: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.in_steps(start, end - start, go_on, |position, step| {
            let bytes = match self.next(source, target, position, step)? {
                Next::Hole(length) => buffer.zeros(length),
                Next::Data(length) => buffer.pass(source.0, target, position, length)?,
            };
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
        let torn = self.fault.map(|_| offset + length / 2);
        let (mut position, end) = (offset, torn.unwrap_or(offset + length));
        while position < end {
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = (end - position).min(COPY_STEP);
            position += match self.failure(DiskOp::Copy) {
                None => copy(position, step)?,
                Some(failure) => {
                    if matches!(failure, DiskFailure::Torn(_)) && step > 1 {
                        copy(position, step / 2)?;
                    }
                    return Err(failure.error());
                }
            };
        }
        self.check_sound()
    }

    /// Has an empty `target` share what the first `length` bytes of `source` take on the disk, if
    /// the file system can do that. Whether it did.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the source is shorter.
    pub(crate) fn share(&self, source: &File, target: &File, length: u64) -> io::Result<bool> {
        // A test that makes writing fail must not be bypassed here.
        if self.fault.is_some() {
            return Ok(false);
        }
        self.step(DiskOp::Copy)?;
        if rustix::fs::ioctl_ficlone(target, source).is_err() {
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

    /// Reads up to `length` bytes at `position`, at least one. Holes are not read: the system would
    /// fill its cache with their zeros.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends there.
    pub(crate) fn read_next<'a>(
        &self,
        (file, found): (&File, &FoundData),
        position: u64,
        length: u64,
        buffer: &'a mut Buffer,
    ) -> io::Result<&'a [u8]> {
        self.step(DiskOp::Read)?;
        let next = match self.fault {
            None => found.next(file, position, length)?,
            Some(_) => Next::Data(length),
        };
        match next {
            Next::Hole(length) => Ok(buffer.zeros(length)),
            Next::Data(length) => {
                let bytes = buffer.up_to(length);
                file.read_exact_at(bytes, position)?;
                Ok(bytes)
            }
        }
    }

    /// A part of a file, in memory that may have held another.
    pub(crate) fn read_range(
        &self,
        file: &File,
        range: Range<u64>,
        mut bytes: Vec<u8>,
    ) -> io::Result<Vec<u8>> {
        self.step(DiskOp::Read)?;
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        bytes.clear();
        if self.is_hole(file, &range) {
            // The system would fill its cache with zeros.
            bytes.resize(length, 0);
            return Ok(bytes);
        }
        bytes.reserve_exact(length);
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
        Ok(bytes)
    }
}

/// How content gets from one file into another.
enum CopyMethod {
    ByKernel,
    /// Across file systems, or where either does not offer it (overlayfs, FUSE, procfs).
    ReadWrite(Buffer),
}

impl CopyMethod {
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
                Self::ReadWrite(buffer) => buffer,
                Self::ByKernel => match copy_by_kernel(source, target, position, length) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(copied) => return Ok(copied as u64),
                    Err(
                        Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM,
                    ) => {
                        *self = Self::ReadWrite(Buffer::new(length));
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
    retry_on_intr(|| {
        rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length)
    })
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
    fn up_to(&mut self, length: u64) -> &mut [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let length = length.min(self.0.len());
        self.0.get_mut(..length).unwrap_or_default()
    }

    /// Up to `length` zeros.
    fn zeros(&mut self, length: u64) -> &[u8] {
        let bytes = self.up_to(length);
        bytes.fill(0);
        bytes
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
mod tests;
