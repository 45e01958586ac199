//! Holes of sparse files, which are neither read nor written where the file system tells of them.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// What comes next in a file, and how many bytes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Hole(u64),
    Data(u64),
}

/// What the `length` bytes at `position` begin with.
///
/// # Errors
///
/// `UnexpectedEof` if the file ends there.
pub(super) fn next(file: &File, position: u64, length: u64) -> io::Result<Next> {
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(start) if start > position => Ok(Next::Hole(length.min(start - position))),
        Ok(_) => {
            let end = rustix::fs::seek(file, SeekFrom::Hole(position));
            let end = end.map_or(length, |end| end.saturating_sub(position));
            // Another may have made a hole of it meanwhile.
            Ok(Next::Data(if end == 0 { length } else { length.min(end) }))
        }
        Err(Errno::NXIO) => match file.metadata()?.len().checked_sub(position) {
            None | Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(left) => Ok(Next::Hole(length.min(left))),
        },
        // It does not tell.
        Err(_) => Ok(Next::Data(length)),
    }
}

/// Whether all of the `length` bytes at `position` are a hole.
pub(super) fn is_hole(file: &File, position: u64, length: u64) -> bool {
    next(file, position, length).is_ok_and(|next| next == Next::Hole(length))
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
        if !is_hole(&file, 0, 4 << 20) {
            // The file system does not tell.
            return;
        }
        assert_eq!(next(&file, 1, 100).unwrap(), Next::Hole(100));
        let Next::Data(data) = next(&file, 4 << 20, 6 << 20).unwrap() else {
            panic!();
        };
        assert!((4..=64 << 10).contains(&data), "{data}");
        assert_eq!(
            next(&file, 5 << 20, 100 << 20).unwrap(),
            Next::Hole(5 << 20)
        );
        assert!(!is_hole(&file, 5 << 20, 100 << 20));
        for end in [10 << 20, 11 << 20] {
            let error = next(&file, end, 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(is_unwritten(&file, end, 1));
        }
        assert!(is_unwritten(&file, 9 << 20, 100 << 20));
        assert!(!is_unwritten(&file, 4 << 20, 1));
        assert!(!is_unwritten(&file, 0, 5 << 20));
    }
}
