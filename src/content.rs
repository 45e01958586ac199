//! Content on its way from the stream to where it goes: a thread of its own verifies, writes and
//! hashes while the next pieces are received.
//!
//! The queue between the two is short, so that memory is bounded by a few pieces. The thread is
//! never waited for without a deadline: it may hang in a write, and then dies with the process.

mod destination;

use std::sync::Arc;

use bytes::Bytes;
use dfdaemon_api::digest::{crc32, parse_piece_digest, piece_digest};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};

pub(crate) use destination::{Destination, FileDestination, StreamDestination, stream_failed};

/// Pieces that wait to be written, besides the one that is being written.
const QUEUE_LENGTH: usize = 2;

/// A piece with content, whose place was checked.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) content: Bytes,
    /// As the daemon sent it; empty if it promises nothing.
    pub(crate) digest: String,
}

/// The sending half: hands chunks to the thread.
#[derive(Debug)]
pub(crate) struct ContentWriter {
    queue: mpsc::Sender<Chunk>,
    end: oneshot::Receiver<Result<()>>,
}

impl ContentWriter {
    /// Starts the thread.
    pub(crate) fn start(mut destination: impl Destination) -> Result<Self> {
        let (queue, mut chunks) = mpsc::channel::<Chunk>(QUEUE_LENGTH);
        let end = on_thread("content", move || {
            while let Some(chunk) = chunks.blocking_recv() {
                verify(&chunk)?;
                destination.write(chunk.offset, chunk.content)?;
            }
            destination.finish()
        })?;
        Ok(Self { queue, end })
    }

    /// Hands over a chunk; waits while the queue is full.
    pub(crate) async fn write(&mut self, chunk: Chunk) -> Result<()> {
        if self.queue.send(chunk).await.is_ok() {
            return Ok(());
        }
        Err(self.failed().await)
    }

    /// Waits for the thread to fail, which it may do while nothing is received.
    pub(crate) async fn failed(&mut self) -> Error {
        // As long as the queue is open, the thread only ends when it has failed.
        match (&mut self.end).await {
            Ok(Err(error)) => error,
            _ => thread_died(),
        }
    }

    /// Waits until all chunks are written and the whole is verified.
    pub(crate) async fn finish(self) -> Result<()> {
        drop(self.queue);
        finished(self.end).await
    }
}

/// Runs `work` on a thread of its own, so that it neither blocks the receiving side nor outlives
/// the process.
pub(crate) fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody listens any more if the operation was broken off.
            let _ = sender.send(work());
        })
        .map_err(|source| {
            Error::new(ErrorKind::Failure, "cannot start a thread").because(source)
        })?;
    Ok(receiver)
}

/// What work on a thread came to.
pub(crate) async fn finished<T>(end: oneshot::Receiver<Result<T>>) -> Result<T> {
    end.await.map_err(|_| thread_died())?
}

fn thread_died() -> Error {
    Error::new(ErrorKind::Failure, "the writing thread died")
}

fn verify(chunk: &Chunk) -> Result<()> {
    if chunk.digest.is_empty() {
        return Ok(());
    }
    let number = chunk.number;
    let expected = parse_piece_digest(&chunk.digest).map_err(|source| {
        Error::integrity(format!(
            "piece {number} has a digest that cannot be checked"
        ))
        .because(source)
    })?;
    let actual = crc32(&chunk.content);
    if actual == expected {
        return Ok(());
    }
    Err(Error::integrity(format!(
        "piece {number} is damaged: its digest is {}, not {}",
        piece_digest(actual),
        chunk.digest
    )))
}

/// A digest of the whole content, and what it is compared to.
#[derive(Debug)]
pub(crate) struct ContentCheck {
    expected: Arc<dfdaemon_api::digest::Digest>,
    hasher: dfdaemon_api::digest::DigestHasher,
}

impl ContentCheck {
    pub(crate) fn new(expected: Arc<dfdaemon_api::digest::Digest>) -> Self {
        let hasher = expected.hasher();
        Self { expected, hasher }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    pub(crate) fn finish(self) -> Result<()> {
        let actual = self.hasher.finish();
        if self.expected.matches(&actual) {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "the content's digest is {actual}, not {}",
            self.expected
        )))
    }
}
