//! Pieces that wait for a fault, in a file without a name: they may be long, and there may be many.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// What waits, one piece behind the other.
#[derive(Debug)]
pub(super) struct Spool {
    dir: Arc<Path>,
    file: Option<Arc<File>>,
    length: u64,
}

/// Where content lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Spool {
    pub(super) fn new(dir: Arc<Path>) -> Self {
        Self {
            dir,
            file: None,
            length: 0,
        }
    }

    /// Where the next bytes are put.
    pub(super) fn end(&self) -> u64 {
        self.length
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        let (dir, file, at) = (Arc::clone(&self.dir), self.file.take(), self.length);
        let length = bytes.len() as u64;
        let write = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(dir)?),
            };
            file.write_all_at(&bytes, at)?;
            Ok::<_, io::Error>(file)
        };
        self.file = Some(beside(write).await?);
        self.length += length;
        Ok(())
    }

    /// At most this many bytes of what lies there, from `from` on.
    pub(super) async fn read(&self, place: Place, from: u64, most: usize) -> io::Result<Bytes> {
        let left = usize::try_from(place.length.saturating_sub(from)).unwrap_or(usize::MAX);
        let Some(file) = self.file.clone().filter(|_| left > 0) else {
            return Ok(Bytes::new());
        };
        let read = move || {
            let mut bytes = vec![0; left.min(most)];
            file.read_exact_at(&mut bytes, place.start + from)?;
            Ok::<_, io::Error>(bytes.into())
        };
        beside(read).await
    }
}

async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(io::Error::other("the thread died")))
}
