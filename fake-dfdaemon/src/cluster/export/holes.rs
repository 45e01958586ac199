//! Holes of content that is sent. They are not read: their zeros would fill the system's cache.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::dfdaemon::mutex::Mutex;
use crate::store::Disk;

/// How much is known after one look, in bytes, where the content is no hole.
const DATA_AT_ONCE: u64 = 4 << 20;

/// The longest part that is sent as zeros, in bytes.
const MOST: usize = 1 << 20;

/// The unit in which the system counts what a file takes on the disk, in bytes.
const BLOCK: u64 = 512;

/// What every hole reads as.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; MOST]));

/// What is known of the holes in an export's content.
#[derive(Debug)]
pub(super) struct Holes(Mutex<Known>);

/// The stretch that was looked at last.
#[derive(Debug)]
struct Known {
    range: Range<u64>,
    is_hole: bool,
}

/// What a part of the content is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Zeros(Bytes),
    Data,
    /// The disk has to be asked.
    Unknown,
}

impl Holes {
    /// Of content whose file has been written. Blocks on the disk.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let is_sparse = metadata.blocks().saturating_mul(BLOCK) < metadata.len();
        Ok(if is_sparse {
            Self::unknown()
        } else {
            Self::known(0..u64::MAX, false)
        })
    }

    /// Of content that is still being written.
    pub(super) fn unknown() -> Self {
        Self::known(0..0, false)
    }

    fn known(range: Range<u64>, is_hole: bool) -> Self {
        Self(Mutex::new(Known { range, is_hole }))
    }

    /// What a part is, as far as it is known.
    pub(super) fn part(&self, part: &Range<u64>) -> Part {
        let known = self.0.lock();
        if part.start < known.range.start || part.end > known.range.end {
            return Part::Unknown;
        }
        let length = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
        if known.is_hole && length <= MOST {
            Part::Zeros(ZEROS.slice(..length))
        } else {
            Part::Data
        }
    }

    /// Looks at what comes from the beginning of a part to the end of its piece; what comes behind may
    /// not have been written yet. Blocks on the disk.
    pub(super) fn look(&self, disk: &Disk, file: &File, part: &Range<u64>, piece_end: u64) {
        let hole = disk.hole_length(file, part.start, piece_end - part.start);
        let is_hole = hole >= part.end - part.start;
        let length = if is_hole { hole } else { DATA_AT_ONCE };
        let end = part.start.saturating_add(length).min(piece_end);
        let range = part.start..end.max(part.end);
        *self.0.lock() = Known { range, is_hole };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn holes_are_zeros_as_far_as_the_piece_goes_and_data_is_read() {
        const MIB: u64 = 1 << 20;
        let (file, disk) = (tempfile::tempfile().unwrap(), Disk::new(false));
        file.set_len(64 * MIB).unwrap();
        file.write_all_at(b"data", 16 * MIB).unwrap();
        let holes = Holes::of(&file).unwrap();
        if disk.hole_length(&file, 0, 1) == 0 {
            // The file system does not tell.
            return;
        }
        let zeros = |length: u64| Part::Zeros(vec![0; usize::try_from(length).unwrap()].into());
        assert_eq!(holes.part(&(0..MIB)), Part::Unknown);
        holes.look(&disk, &file, &(0..MIB), 8 * MIB);
        assert_eq!(holes.part(&(0..MIB)), zeros(MIB));
        assert_eq!(holes.part(&(7 * MIB + 1..8 * MIB)), zeros(MIB - 1));
        assert_eq!(holes.part(&(0..2 * MIB)), Part::Data, "too long");
        assert_eq!(holes.part(&(8 * MIB..8 * MIB + 1)), Part::Unknown);
        for piece_end in [17 * MIB, 24 * MIB] {
            holes.look(&disk, &file, &(16 * MIB - 9..17 * MIB), piece_end);
            assert_eq!(holes.part(&(16 * MIB..17 * MIB)), Part::Data);
            assert_eq!(holes.part(&(23 * MIB..24 * MIB)), Part::Unknown);
        }
        holes.look(&disk, &file, &(63 * MIB..64 * MIB), 64 * MIB);
        assert_eq!(holes.part(&(63 * MIB..64 * MIB)), zeros(MIB));
    }

    #[test]
    fn content_without_holes_is_never_looked_at() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 4096], 0).unwrap();
        // Some file systems count the blocks later.
        file.sync_all().unwrap();
        let holes = Holes::of(&file).unwrap();
        assert_eq!(holes.part(&(0..4096)), Part::Data);
        assert_eq!(Holes::unknown().part(&(0..4096)), Part::Unknown);
    }
}
