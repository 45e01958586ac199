//! The body of an answer: what tonic makes, or content as it comes and then the status as trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::{Code, Status};

use super::chunk::{Chunk, FilePart, Handoff};

/// Parts of the body that are made before the connection has taken them. With the one in the
/// making and what the connection holds, this bounds the memory of an answer, however slow the reader.
const PARTS_AHEAD: usize = 1;

/// Parts of files that are on their way to the socket.
const FILES_AHEAD: u32 = 4;

/// What is sent.
#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    /// A part of a file.
    File(Arc<File>, Range<u64>, OwnedSemaphorePermit),
    /// The end, well or not.
    End(Option<Status>),
}

/// The sending side. Dropped without an end, the body just ends.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    sender: mpsc::Sender<Part>,
    files: Arc<Semaphore>,
}

/// The body. Dropped, nobody reads it any more.
#[derive(Debug)]
pub(super) struct ContentBody(mpsc::Receiver<Part>);

pub(super) fn channel() -> (Parts, ContentBody) {
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    let files = Arc::new(Semaphore::new(FILES_AHEAD as usize));
    (Parts { sender, files }, ContentBody(receiver))
}

impl Parts {
    /// Sends bytes. False if nobody reads them.
    pub(super) async fn send(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.sender.send(Part::Bytes(bytes)).await.is_ok()
    }

    /// Sends a part of a file. False if nobody reads it.
    pub(super) async fn send_file(&self, file: Arc<File>, range: Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let permit = Arc::clone(&self.files).acquire_owned().await;
        match permit {
            Ok(permit) => self
                .sender
                .send(Part::File(file, range, permit))
                .await
                .is_ok(),
            Err(_) => false,
        }
    }

    /// Waits until the socket has all parts of files that were sent, or nobody reads them any more.
    pub(super) async fn files_are_sent(&self) {
        let _all = self.files.acquire_many(FILES_AHEAD).await;
    }

    /// Ends the body. A client that is gone does not miss it.
    pub(super) async fn end(&self, status: Option<Status>) {
        let _ = self.sender.send(Part::End(status)).await;
    }

    /// Ends when nobody reads any more.
    pub(super) async fn unread(&self) {
        self.sender.closed().await;
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum ServedBody {
    Messages(tonic::body::Body),
    Content(ContentBody),
}

impl From<tonic::body::Body> for ServedBody {
    fn from(body: tonic::body::Body) -> Self {
        Self::Messages(body)
    }
}

impl ServedBody {
    /// The body for a connection, whose socket takes parts of files from the handoff.
    pub(super) fn sent_by(self, handoff: Handoff) -> SentBody {
        SentBody {
            body: self,
            handoff,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Messages(body) if body.size_hint().exact() == Some(0))
    }
}

/// A body on its connection.
#[derive(Debug)]
pub(super) struct SentBody {
    body: ServedBody,
    handoff: Handoff,
}

impl Body for SentBody {
    type Data = Chunk;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Status>>> {
        let this = self.get_mut();
        let part = match &mut this.body {
            ServedBody::Messages(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                return Poll::Ready(frame.map(|frame| Ok(frame?.map_data(Chunk::Bytes))));
            }
            ServedBody::Content(body) => ready!(body.0.poll_recv(context)),
        };
        Poll::Ready(part.map(|part| match part {
            Part::Bytes(bytes) => Ok(Frame::data(Chunk::Bytes(bytes))),
            Part::File(file, range, permit) => {
                let part = FilePart::new(file, range, this.handoff.clone(), permit);
                Ok(Frame::data(Chunk::File(part)))
            }
            Part::End(status) => trailers(status).map(Frame::trailers),
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            ServedBody::Messages(body) => body.is_end_stream(),
            ServedBody::Content(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            ServedBody::Messages(body) => body.size_hint(),
            ServedBody::Content(_) => SizeHint::default(),
        }
    }
}

fn trailers(status: Option<Status>) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    status
        .unwrap_or(Status::new(Code::Ok, ""))
        .add_header(&mut trailers)?;
    Ok(trailers)
}
