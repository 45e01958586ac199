//! What an answer is made of: bytes, or a part of a file that the kernel moves to the socket by itself.
//!
//! The HTTP/2 library takes both for bytes. Where it copies (short chunks, the beginning of each frame), the part is
//! read. Where it does not, it asks by `chunks_vectored` and gets a place in memory that stands for the part; the
//! socket recognises that place, and sends the part instead. So most of the content is neither read nor held.
//!
//! Until the receiver reads, the socket refers to the pages of the file: a receiver gets what is written to
//! the file meanwhile, and zeros behind a cut, up to the end of a page. So only content with a digest is sent
//! this way: its receiver notices. A file that is cut before the socket has the part breaks the connection.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;

use crate::dfdaemon::mutex::Mutex;

/// The longest part of a file, in bytes.
pub(super) const MOST: usize = 256 << 10;

/// How much of a part is read where bytes are asked for, in bytes: what the library copies at once.
const READ: usize = 256;

/// Stands for a part of a file in a vectored write. Its bytes are never sent.
static PLACE: [u8; MOST] = [0; MOST];

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Chunk {
    Bytes(Bytes),
    File(FilePart),
}

/// A part of a file, [`MOST`] bytes at most.
#[derive(Debug)]
pub(super) struct FilePart {
    file: Arc<File>,
    range: Range<u64>,
    handoff: Handoff,
    /// Its first bytes, once they were asked for.
    read: OnceCell<Vec<u8>>,
    /// Given back when the part has been sent, or is not going to be.
    _permit: OwnedSemaphorePermit,
}

impl FilePart {
    /// For the socket at the other end of the handoff.
    pub(super) fn new(
        file: Arc<File>,
        range: Range<u64>,
        handoff: Handoff,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            file,
            range,
            handoff,
            read: OnceCell::new(),
            _permit: permit,
        }
    }

    fn length(&self) -> usize {
        usize::try_from(self.range.end.saturating_sub(self.range.start)).unwrap_or(usize::MAX)
    }

    fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; READ.min(self.length())];
        if let Err(error) = self.file.read_exact_at(&mut bytes, self.range.start) {
            // There is no error to return here. The socket sends nothing more.
            self.handoff.0.lock().failed = Some(error);
        }
        bytes
    }
}

impl Buf for FilePart {
    fn remaining(&self) -> usize {
        self.length()
    }

    /// For a copy.
    fn chunk(&self) -> &[u8] {
        self.read.get_or_init(|| self.read())
    }

    /// For a write.
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match (slices.first_mut(), PLACE.get(..self.length())) {
            (Some(slice), Some(place)) if !place.is_empty() => {
                *slice = IoSlice::new(place);
                self.handoff.0.lock().next = Some((Arc::clone(&self.file), self.range.start));
                1
            }
            _ => 0,
        }
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.length(), "beyond the end of a part");
        self.range.start += count as u64;
        self.read = OnceCell::new();
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::File(part) => part.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.chunk(),
            Self::File(part) => part.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
            Self::File(part) => part.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::File(part) => part.advance(count),
        }
    }
}

/// Hands parts of files from the bodies of one connection to its socket. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Handoff(Arc<Mutex<HandedOver>>);

#[derive(Debug, Default)]
struct HandedOver {
    /// The file, and where in it the part begins that was asked for last.
    next: Option<(Arc<File>, u64)>,
    /// Why bytes that were copied are not those of the file.
    failed: Option<io::Error>,
}

impl Handoff {
    /// What the place stands for among what is to be written.
    pub(super) fn next(&self) -> Option<(Arc<File>, u64)> {
        self.0.lock().next.take()
    }

    /// Fails if something was copied that could not be read.
    pub(super) fn check(&self) -> io::Result<()> {
        self.0.lock().failed.take().map_or(Ok(()), Err)
    }
}

/// Whether bytes are no bytes, but stand for a part of a file.
pub(super) fn stands_for_file(bytes: &[u8]) -> bool {
    PLACE.as_ptr_range().contains(&bytes.as_ptr())
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn permit() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    #[test]
    fn a_copy_of_a_part_gets_its_bytes_and_a_write_of_it_the_place() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3_000_u32).map(|at| (at % 251) as u8 | 1).collect();
        file.write_all_at(&content, 0).unwrap();
        let handoff = Handoff::default();
        let mut part = FilePart::new(Arc::new(file), 100..2_900, handoff.clone(), permit());
        let mut copied = vec![0; 1_000];
        part.copy_to_slice(&mut copied);
        assert_eq!(copied, content[100..1_100]);
        assert!(!stands_for_file(part.chunk()));
        let mut slices = [IoSlice::new(&[])];
        assert_eq!(part.chunks_vectored(&mut slices), 1);
        assert!(stands_for_file(&slices[0]) && slices[0].len() == 1_800);
        let (_, start) = handoff.next().unwrap();
        assert_eq!((start, handoff.next().is_none()), (1_100, true));
        handoff.check().unwrap();
    }

    #[test]
    fn nothing_is_sent_after_bytes_that_could_not_be_read() {
        let handoff = Handoff::default();
        let file = Arc::new(tempfile::tempfile().unwrap());
        let part = FilePart::new(file, 0..9, handoff.clone(), permit());
        assert_eq!(part.chunk().len(), 9);
        handoff.check().unwrap_err();
    }
}
