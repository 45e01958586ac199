//! Content on its way from the stream to where it goes: written, verified and hashed.
//!
//! A piece comes in parts, which are written as they come; it is verified when it has ended.
//!
//! A second thread does that while the next bytes are received. The queue between the two threads is
//! bounded in bytes, so that memory does not depend on the length of pieces. Nothing waits for the second
//! thread without a deadline: it may hang in a write, and then ends with the process. A caller whose own thread may hang has no second
//! thread: the bytes are still in the core's cache, and no thread has to be woken. A write that hangs answers no pings then: dfdaemon gives a connection up that was silent for 320 s.

mod content_check;
pub(crate) mod coverage;
mod destination;
mod id_check;
pub(crate) mod lanes;
mod piece;
mod reader;
pub(crate) mod thread;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::content::thread::{finished, on_thread, thread_died};
use crate::types::error::{Error, ErrorKind, Result};

pub(crate) use content_check::ContentCheck;
pub(crate) use destination::{Destination, OrderedWriter, PositionedWriter, stream_failed};
pub(crate) use id_check::IdCheck;
pub(crate) use piece::Piece;
pub(crate) use reader::ContentReader;

/// What may wait to be written, in bytes, beside what the connection's window lets a daemon send ahead.
const QUEUE_BYTES: usize = 2 << 20;

/// What a step counts at least, in bytes: the queue is no place for millions of tiny ones either.
const STEP_BYTES: usize = 256;

/// Shorter parts are copied before they wait, in bytes: a part keeps the whole frame that it came in.
const SHORT_PART: usize = 64 << 10;

/// A piece comes as a `Start`, its `Content` in any number of parts, and an `End`.
#[derive(Debug)]
pub(crate) enum Step {
    Start {
        number: u32,
        offset: u64,
        /// Whether its place is filled already: then it is only verified.
        repeated: bool,
    },
    Content(Bytes),
    End {
        /// As the daemon sent it; empty if it promises nothing.
        digest: String,
    },
}

/// Writes pieces.
#[derive(Debug)]
pub(crate) enum ContentWriter<D> {
    /// At once, on the thread that hands them over.
    Inline { piece: Piece, destination: D },
    /// On a thread of its own.
    OnThread(Queue),
}

impl<D: Destination> ContentWriter<D> {
    /// A writer that may block its caller.
    pub(crate) fn inline(destination: D) -> Self {
        Self::Inline {
            piece: Piece::default(),
            destination,
        }
    }

    /// A writer that blocks nobody.
    pub(crate) fn on_thread(destination: D) -> Result<Self> {
        Queue::start(destination).map(Self::OnThread)
    }

    /// Takes a step; waits while there is no room for it.
    pub(crate) async fn write(&mut self, step: Step) -> Result<()> {
        match self {
            Self::Inline { piece, destination } => piece.take(step, destination),
            Self::OnThread(queue) => queue.write(step).await,
        }
    }

    /// Waits for it to fail, which it may do while nothing is received.
    pub(crate) async fn failed(&mut self) -> Error {
        match self {
            Self::Inline { .. } => std::future::pending().await,
            Self::OnThread(queue) => queue.failed().await,
        }
    }

    /// Waits until all pieces are written and the whole is verified.
    pub(crate) async fn finish(self) -> Result<()> {
        match self {
            Self::Inline { destination, .. } => destination.finish(),
            Self::OnThread(queue) => queue.finish().await,
        }
    }
}

/// A message to the thread that writes.
#[derive(Debug)]
enum Message {
    Step(Step, OwnedSemaphorePermit),
    /// All is there: the thread verifies the whole, and syncs it where that is asked for.
    Finish,
}

/// The sending half: hands pieces to the thread. Dropped before [`Queue::finish`], it leaves the content
/// unfinished.
#[derive(Debug)]
pub(crate) struct Queue {
    queue: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    end: oneshot::Receiver<Result<()>>,
}

impl Queue {
    /// Starts the thread.
    fn start(mut destination: impl Destination) -> Result<Self> {
        let (queue, mut messages) = mpsc::unbounded_channel();
        let end = on_thread("content", move || {
            let mut piece = Piece::default();
            while let Some(message) = messages.blocking_recv() {
                match message {
                    Message::Step(step, _room) => piece.take(step, &mut destination)?,
                    Message::Finish => return destination.finish(),
                }
            }
            // Nobody hears this.
            Err(Error::new(ErrorKind::Failure, "the export was dropped"))
        })?;
        Ok(Self {
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            end,
        })
    }

    /// Hands over a step; waits while the queue is full.
    async fn write(&mut self, mut step: Step) -> Result<()> {
        let length = match &mut step {
            Step::Content(content) => {
                if content.len() < SHORT_PART {
                    *content = Bytes::copy_from_slice(content);
                }
                content.len()
            }
            _ => 0,
        };
        let length = u32::try_from(length.clamp(STEP_BYTES, QUEUE_BYTES)).unwrap_or(u32::MAX);
        // When the thread fails, what waits is dropped, and there is room.
        let room = Arc::clone(&self.room).acquire_many_owned(length).await;
        if let Ok(room) = room
            && self.queue.send(Message::Step(step, room)).is_ok()
        {
            return Ok(());
        }
        Err(self.failed().await)
    }

    /// Waits for the thread to fail.
    async fn failed(&mut self) -> Error {
        // As long as the queue is open, the thread only ends when it has failed.
        match (&mut self.end).await {
            Ok(Err(error)) => error,
            _ => thread_died(),
        }
    }

    async fn finish(self) -> Result<()> {
        // A thread that has failed does not hear it.
        let _ = self.queue.send(Message::Finish);
        finished(self.end).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    /// Says whether it was finished when it goes.
    struct Noted {
        is_finished: bool,
        gone: Sender<bool>,
    }

    impl Destination for Noted {
        fn write(&mut self, _offset: u64, _content: Bytes) -> Result<()> {
            Ok(())
        }

        fn verified(&mut self) -> Result<()> {
            Ok(())
        }

        fn finish(mut self) -> Result<()> {
            self.is_finished = true;
            Ok(())
        }
    }

    impl Drop for Noted {
        fn drop(&mut self) {
            let _ = self.gone.send(self.is_finished);
        }
    }

    #[tokio::test]
    async fn content_is_finished_only_when_that_is_asked_for() {
        for finishes in [true, false] {
            let (gone, is_gone) = std::sync::mpsc::channel();
            let is_finished = false;
            let mut writer = ContentWriter::on_thread(Noted { is_finished, gone }).unwrap();
            writer.write(Step::Content(Bytes::new())).await.unwrap();
            if finishes {
                writer.finish().await.unwrap();
            } else {
                drop(writer);
            }
            assert_eq!(is_gone.recv(), Ok(finishes));
        }
    }
}
