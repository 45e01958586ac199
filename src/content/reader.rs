//! Reads a file from its beginning to its end, but not its holes: their zeros would fill the system's
//! cache.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// The unit in which the system counts what a file takes on the disk, in bytes.
const BLOCK: u64 = 512;

/// Reads a file that nothing was read of yet.
pub(crate) struct ContentReader<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    /// None if the file has no holes, or may be something else than a regular file.
    place: Option<Place>,
}

/// Where a file with holes is read.
#[derive(Default)]
struct Place {
    position: u64,
    /// Where the data at the position ends.
    data_end: u64,
}

impl<'a> ContentReader<'a> {
    /// `part` is how much is read at once, in bytes; not 0.
    pub(crate) fn new(file: &'a File, part: usize) -> Self {
        let is_sparse = file.metadata().is_ok_and(|metadata| {
            metadata.is_file() && metadata.blocks().saturating_mul(BLOCK) < metadata.len()
        });
        Self {
            file,
            buffer: vec![0; part],
            place: is_sparse.then(Place::default),
        }
    }

    /// The next bytes; none at the end. Blocks.
    pub(crate) fn next_part(&mut self) -> io::Result<Option<&[u8]>> {
        let length = match &mut self.place {
            None => retried(|| self.file.read(&mut self.buffer))?,
            Some(place) => place.read(self.file, &mut self.buffer)?,
        };
        Ok(self.buffer.get(..length).filter(|part| !part.is_empty()))
    }
}

impl Place {
    fn read(&mut self, file: &File, buffer: &mut [u8]) -> io::Result<usize> {
        let hole = self.hole(file)?;
        let (left, is_hole) = match hole {
            0 => (self.data_end - self.position, false),
            _ => (hole, true),
        };
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = &mut buffer[..length];
        let read = if is_hole {
            part.fill(0);
            length
        } else {
            retried(|| file.read_at(part, self.position))?
        };
        self.position += read as u64;
        Ok(read)
    }

    /// How long the hole is that the position is in.
    fn hole(&mut self, file: &File) -> io::Result<u64> {
        let position = self.position;
        if position < self.data_end {
            return Ok(0);
        }
        let data = match rustix::fs::seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => file.metadata()?.len().max(position),
            // It does not tell.
            Err(_) => position,
        };
        if data == position {
            // Where the system knows of no end, a read finds it.
            let end = rustix::fs::seek(file, SeekFrom::Hole(position)).ok();
            self.data_end = end.filter(|end| *end > position).unwrap_or(u64::MAX);
        }
        Ok(data - position)
    }
}

fn retried(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn content(file: &File, part: usize) -> Vec<u8> {
        let mut reader = ContentReader::new(file, part);
        let mut content = Vec::new();
        while let Some(part) = reader.next_part().unwrap() {
            content.extend_from_slice(part);
        }
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_file_is_read_as_it_is_wherever_its_holes_are(
            blocks in prop::collection::vec(any::<bool>(), 0..24),
            end in 0u64..20_000,
            part in prop_oneof![1000usize..9000, Just(1 << 20)],
        ) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            for (number, is_data) in blocks.iter().enumerate() {
                if *is_data {
                    file.as_file().write_all_at(&[number as u8 + 1; 4096], number as u64 * 4096).unwrap();
                }
            }
            file.as_file().set_len(blocks.len() as u64 * 4096 + end).unwrap();
            file.flush().unwrap();
            let expected = std::fs::read(file.path()).unwrap();
            prop_assert!(content(&file.reopen().unwrap(), part) == expected);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_read_too() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"through a pipe").unwrap();
        drop(writer);
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        assert_eq!(content(&file, 4), b"through a pipe");
        assert!(!content(&File::open("/proc/self/stat").unwrap(), 16).is_empty());
    }

    #[test]
    fn a_hole_of_a_terabyte_is_not_read() {
        const LENGTH: u64 = 1 << 40;
        let file = tempfile::tempfile().unwrap();
        if file.set_len(LENGTH).is_err() || file.metadata().unwrap().blocks() > 0 {
            // Not on this file system.
            return;
        }
        file.write_all_at(b"data", LENGTH - 4).unwrap();
        let mut place = Place::default();
        let hole = place.hole(&file).unwrap();
        assert!(hole <= LENGTH - 4 && hole > LENGTH - (1 << 20), "{hole}");
        place.position = hole;
        let mut buffer = vec![1; 1 << 20];
        let read = place.read(&file, &mut buffer).unwrap();
        assert_eq!(read as u64, LENGTH - hole);
        assert!(buffer[..read].ends_with(b"\0data"));
        assert_eq!(place.read(&file, &mut buffer).unwrap(), 0);
    }
}
