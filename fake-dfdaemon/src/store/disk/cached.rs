//! Whether the content of a file lies in memory, so that the kernel can send it without waiting for a device.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use super::Disk;
use super::failure::DiskOp;

impl Disk {
    /// Whether a part of a file can be sent without waiting for a device. It counts as a read then: otherwise
    /// the part is read.
    pub(crate) fn can_send(&self, file: &File, range: &Range<u64>) -> io::Result<bool> {
        let can_send = file.metadata()?.len() >= range.end && is_cached(file, range);
        if can_send {
            self.step(DiskOp::Read)?;
        }
        Ok(can_send)
    }
}

/// Whether the system has all of a part in memory. Holes it has not.
fn is_cached(file: &File, range: &Range<u64>) -> bool {
    /// The number of cachestat(2), which came with Linux 6.5. An older one says of nothing that it is in memory.
    const CACHESTAT: libc::c_long = 451;

    /// What it is asked, as Linux lays it out.
    #[repr(C)]
    struct Asked {
        offset: u64,
        length: u64,
    }

    /// What it tells: of pages in memory, dirty ones, those being written, and those that were there.
    type Told = [u64; 5];

    let page = rustix::param::page_size() as u64;
    let (first, end) = (range.start / page, range.end.div_ceil(page));
    let asked = Asked {
        offset: first * page,
        length: (end - first) * page,
    };
    let mut told: Told = [0; 5];
    // SAFETY: it reads the one and fills the other, both of which are as long as it takes them to be.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            &raw const asked,
            &raw mut told,
            0u32,
        )
    };
    let [in_memory, ..] = told;
    result == 0 && in_memory >= end - first
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn what_was_written_can_be_sent_and_holes_and_what_is_not_there_cannot() {
        const PART: u64 = 256 << 10;
        let (file, disk) = (tempfile::tempfile().unwrap(), Disk::new(false));
        file.write_all_at(&[1; PART as usize], 0).unwrap();
        if !disk.can_send(&file, &(0..PART)).unwrap() {
            // The system does not tell.
            return;
        }
        assert!(disk.can_send(&file, &(9..10)).unwrap());
        assert!(!disk.can_send(&file, &(9..PART + 1)).unwrap());
        file.set_len(2 * PART).unwrap();
        assert!(!disk.can_send(&file, &(9..PART + 1)).unwrap());
        file.set_len(9).unwrap();
        assert!(!disk.can_send(&file, &(0..10)).unwrap());
        assert!(disk.can_send(&file, &(0..9)).unwrap());
    }
}
