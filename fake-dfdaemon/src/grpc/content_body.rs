//! The body of an answer with content: bytes as they come, then the status as trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use tonic::{Code, Status};

/// Parts of the body that are made before the connection has taken them. With the one in the
/// making and what the connection holds, this bounds the memory of an answer, however slow the reader.
const PARTS_AHEAD: usize = 1;

/// What is sent.
#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    /// The end, well or not.
    End(Option<Status>),
}

/// The sending side. Dropped without an end, the body just ends.
#[derive(Clone, Debug)]
pub(super) struct Parts(mpsc::Sender<Part>);

/// The body. Dropped, nobody reads it any more.
#[derive(Debug)]
pub(super) struct ContentBody(mpsc::Receiver<Part>);

pub(super) fn channel() -> (Parts, ContentBody) {
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    (Parts(sender), ContentBody(receiver))
}

impl Parts {
    /// Sends bytes. False if nobody reads them.
    pub(super) async fn send(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.0.send(Part::Bytes(bytes)).await.is_ok()
    }

    /// Ends the body. A client that is gone does not miss it.
    pub(super) async fn end(&self, status: Option<Status>) {
        let _ = self.0.send(Part::End(status)).await;
    }

    /// Ends when nobody reads any more.
    pub(super) async fn unread(&self) {
        self.0.closed().await;
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let part = ready!(self.0.poll_recv(context));
        Poll::Ready(part.map(|part| match part {
            Part::Bytes(bytes) => Ok(Frame::data(bytes)),
            Part::End(status) => trailers(status).map(Frame::trailers),
        }))
    }
}

fn trailers(status: Option<Status>) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    status
        .unwrap_or(Status::new(Code::Ok, ""))
        .add_header(&mut trailers)?;
    Ok(trailers)
}
