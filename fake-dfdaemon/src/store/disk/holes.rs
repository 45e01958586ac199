//! Holes of sparse files, which are neither read nor written where the file system tells of them.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::dfdaemon::mutex::Mutex;

/// What comes next in a file, and how many bytes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Hole(u64),
    Data(u64),
}

/// The stretch of data of a file that was found last. A tmpfs walks along all of a stretch to find
/// its end, so that asking for it at each step of a copy would take the square of the time.
#[derive(Debug, Default)]
pub(crate) struct FoundData(Mutex<Range<u64>>);

impl FoundData {
    /// What the `length` bytes at `position` of `file`, always the same one, begin with.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends there.
    pub(super) fn next(&self, file: &File, position: u64, length: u64) -> io::Result<Next> {
        // Locked while the system looks: others would look for the same end.
        let mut found = self.0.lock();
        if !found.contains(&position) {
            match rustix::fs::seek(file, SeekFrom::Data(position)) {
                Ok(start) if start > position => {
                    return Ok(Next::Hole(length.min(start - position)));
                }
                Ok(_) => *found = position..end_of_data(file, position, length),
                Err(Errno::NXIO) => return hole_at_end(file, position, length),
                // It does not tell.
                Err(_) => return Ok(Next::Data(length)),
            }
        }
        Ok(Next::Data(length.min(found.end - position)))
    }
}

/// Where the data at `position` ends. Another may have made a hole of it meanwhile.
fn end_of_data(file: &File, position: u64, length: u64) -> u64 {
    let end = rustix::fs::seek(file, SeekFrom::Hole(position)).ok();
    end.filter(|end| *end > position)
        .unwrap_or_else(|| position.saturating_add(length))
}

fn hole_at_end(file: &File, position: u64, length: u64) -> io::Result<Next> {
    match file.metadata()?.len().checked_sub(position) {
        None | Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(left) => Ok(Next::Hole(length.min(left))),
    }
}

/// How many of the `length` bytes at `position` are a hole, from the first one on.
pub(super) fn hole_length(file: &File, position: u64, length: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(start) => length.min(start - position),
        Err(Errno::NXIO) => match hole_at_end(file, position, length) {
            Ok(Next::Hole(hole)) => hole,
            _ => 0,
        },
        Err(_) => 0,
    }
}

/// Whether nothing was written yet to the `length` bytes at `position`.
pub(super) fn is_unwritten(file: &File, position: u64, length: u64) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(start) => start - position >= length,
        Err(Errno::NXIO) => true,
        Err(_) => file.metadata().is_ok_and(|file| file.len() <= position),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn holes_and_data_follow_each_other_to_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(b"data", 4 << 20).unwrap();
        if hole_length(&file, 0, 4 << 20) == 0 {
            // The file system does not tell.
            return;
        }
        let found = FoundData::default();
        let next = |position, length| found.next(&file, position, length);
        assert_eq!(next(1, 100).unwrap(), Next::Hole(100));
        let Next::Data(data) = next(4 << 20, 6 << 20).unwrap() else {
            panic!();
        };
        assert!((4..=64 << 10).contains(&data), "{data}");
        assert_eq!(next(5 << 20, 100 << 20).unwrap(), Next::Hole(5 << 20));
        assert_eq!(next(1, 9 << 20).unwrap(), Next::Hole((4 << 20) - 1));
        assert_eq!(next((4 << 20) + 1, 2).unwrap(), Next::Data(2));
        assert_eq!(hole_length(&file, 5 << 20, 100 << 20), 5 << 20);
        assert_eq!(hole_length(&file, 4 << 20, 1), 0);
        assert_eq!(hole_length(&file, 1, 9 << 20), (4 << 20) - 1);
        for end in [10 << 20, 11 << 20] {
            let error = next(end, 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(is_unwritten(&file, end, 1));
        }
        assert!(is_unwritten(&file, 9 << 20, 100 << 20));
        assert!(!is_unwritten(&file, 4 << 20, 1));
        assert!(!is_unwritten(&file, 0, 5 << 20));
    }

    #[test]
    fn a_stretch_of_data_is_looked_for_once() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 8 << 20], 0).unwrap();
        let found = FoundData::default();
        assert_eq!(found.next(&file, 0, 1).unwrap(), Next::Data(1));
        // What is not asked again cannot know of the hole.
        file.set_len(0).unwrap();
        file.set_len(8 << 20).unwrap();
        assert_eq!(found.next(&file, 4 << 20, 1).unwrap(), Next::Data(1));
        assert_eq!(
            found.next(&file, 1 << 20, 100 << 20).unwrap(),
            Next::Data(7 << 20)
        );
    }
}
