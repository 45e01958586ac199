//! Whether the content of a file is in memory, so that a thread that must not block can read it, or let
//! the kernel send it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FsWord, fstatfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::Disk;
use super::failure::DiskOp;

/// What a thread that must not wait may do with a file. Another process or machine that serves a file
/// system may never answer, not even how long a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Its file system is memory: everything.
    Never,
    /// Its file system knows what it would wait for (`RWF_NOWAIT`): ask, and read what is in memory.
    Announced,
    /// Nothing.
    Possible,
}

impl Waiting {
    /// For the content of this file. Blocks on the disk.
    pub(crate) fn on(file: &File) -> Self {
        const TMPFS_MAGIC: FsWord = 0x0102_1994;
        if fstatfs(file).is_ok_and(|system| system.f_type == TMPFS_MAGIC) {
            return Self::Never;
        }
        let mut byte = [0];
        match preadv2(
            file,
            &mut [IoSliceMut::new(&mut byte)],
            0,
            ReadWriteFlags::NOWAIT,
        ) {
            Ok(_) | Err(Errno::AGAIN) => Self::Announced,
            Err(_) => Self::Possible,
        }
    }
}

impl Disk {
    /// Reads a part of a file into memory that may have held another. False where it would
    /// have to wait, or fails: the memory then holds anything.
    pub(crate) fn try_read_cached(
        &self,
        file: &File,
        waiting: Waiting,
        range: &Range<u64>,
        bytes: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        // What is used again has that length already.
        bytes.resize(length, 0);
        let was_read = match waiting {
            Waiting::Never => file.read_exact_at(bytes, range.start).is_ok(),
            Waiting::Announced => read_cached(file, range, bytes),
            Waiting::Possible => false,
        };
        // Otherwise the read that waits counts.
        if was_read {
            self.step(DiskOp::Read)?;
        }
        Ok(was_read)
    }

    /// Whether a part of a file can be sent without waiting for a device. It counts as a read then: otherwise
    /// the part is read.
    pub(crate) fn can_send(
        &self,
        file: &File,
        waiting: Waiting,
        range: &Range<u64>,
    ) -> io::Result<bool> {
        let can_send = waiting != Waiting::Possible
            && file.metadata()?.len() >= range.end
            && is_cached(file, range);
        if can_send {
            self.step(DiskOp::Read)?;
        }
        Ok(can_send)
    }
}

/// Whether all of a part was read. The read that waits reports the error.
fn read_cached(file: &File, range: &Range<u64>, mut rest: &mut [u8]) -> bool {
    while !rest.is_empty() {
        let position = range.end - rest.len() as u64;
        let into = &mut [IoSliceMut::new(rest)];
        match preadv2(file, into, position, ReadWriteFlags::NOWAIT) {
            Ok(read @ 1..) => rest = rest.split_at_mut(read).1,
            _ => return false,
        }
    }
    true
}

/// Whether the system has all of a part in memory. It never has holes there.
fn is_cached(file: &File, range: &Range<u64>) -> bool {
    /// The number of cachestat(2), which came with Linux 6.5. On an older one the call fails, and nothing
    /// counts as in memory.
    const CACHESTAT: libc::c_long = 451;

    /// Its argument, as Linux lays it out.
    #[repr(C)]
    struct Asked {
        offset: u64,
        length: u64,
    }

    /// Its answer: the numbers of pages that are in memory, dirty, being written, evicted, and evicted lately.
    type Counts = [u64; 5];

    let page = rustix::param::page_size() as u64;
    let (first, end) = (range.start / page, range.end.div_ceil(page));
    let asked = Asked {
        offset: first * page,
        length: (end - first) * page,
    };
    let mut counts: Counts = [0; 5];
    // SAFETY: the call reads `asked` and fills `counts`, which have the layout and length of cachestat(2).
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            &raw const asked,
            &raw mut counts,
            0u32,
        )
    };
    let [in_memory, ..] = counts;
    result == 0 && in_memory >= end - first
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_was_written_can_be_sent_and_holes_and_what_is_not_there_cannot() {
        const PART: u64 = 256 << 10;
        let (file, disk) = (tempfile::tempfile().unwrap(), Disk::new(false));
        file.write_all_at(&[1; PART as usize], 0).unwrap();
        let waiting = Waiting::on(&file);
        if !disk.can_send(&file, waiting, &(0..PART)).unwrap() {
            // The system does not tell.
            return;
        }
        assert!(disk.can_send(&file, waiting, &(9..10)).unwrap());
        assert!(!disk.can_send(&file, waiting, &(9..PART + 1)).unwrap());
        file.set_len(2 * PART).unwrap();
        assert!(!disk.can_send(&file, waiting, &(9..PART + 1)).unwrap());
        file.set_len(9).unwrap();
        assert!(!disk.can_send(&file, waiting, &(0..10)).unwrap());
        assert!(disk.can_send(&file, waiting, &(0..9)).unwrap());
    }

    /// On the file system of temporary files, and in memory where there is such a one.
    #[test]
    fn what_was_just_written_is_read_at_once_where_the_file_system_says_that_it_can_be() {
        let in_memory = Path::new("/dev/shm");
        let places = [
            Some(std::env::temp_dir()),
            in_memory.is_dir().then(|| in_memory.into()),
        ];
        for place in places.into_iter().flatten() {
            let file = tempfile::tempfile_in(&place).unwrap();
            let disk = Disk::new(false);
            file.write_all_at(b"0123456789", 0).unwrap();
            let waiting = Waiting::on(&file);
            assert!(place != in_memory || waiting == Waiting::Never);
            let mut bytes = b"of another, longer".to_vec();
            let mut read = |waiting, range| {
                let read = disk.try_read_cached(&file, waiting, &range, &mut bytes);
                read.unwrap().then(|| bytes.clone())
            };
            let expected = (waiting != Waiting::Possible).then(|| b"234".to_vec());
            assert_eq!(read(waiting, 2..5), expected, "{}", place.display());
            assert_eq!(read(waiting, 8..11), None, "{}", place.display());
            assert_eq!(read(Waiting::Possible, 2..5), None);
            assert!(!disk.can_send(&file, Waiting::Possible, &(2..5)).unwrap());
        }
    }
}
