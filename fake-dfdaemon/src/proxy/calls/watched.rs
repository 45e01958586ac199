//! An answer that passes as it is, and is noted in the journal.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskResponse;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use prost::Message as _;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};

use super::BoxError;
use crate::call::RunningCall;
use crate::call::rpc::Rpc;
use crate::proxy::frames::{Frame as Message, Part, Splitter};
use crate::proxy::tap::Waiting;

/// The answer to a call.
pub(super) struct Watched<B> {
    body: B,
    /// Until it has ended.
    call: Option<RunningCall>,
    splitter: Option<Splitter>,
    rpc: Rpc,
    breaks: Pin<Box<WaitForCancellationFutureOwned>>,
    closes: CancellationToken,
    last: Option<(Waiting, Last)>,
}

/// How an answer ends: no more, or trailers, or an error.
type Last = Option<Result<Frame<Bytes>, BoxError>>;

impl<B> Watched<B> {
    /// `breaks` is cancelled when the daemon's connection broke; `closes` closes the client's.
    pub(super) fn new(
        body: B,
        (call, rpc): (RunningCall, Rpc),
        breaks: CancellationToken,
        closes: CancellationToken,
    ) -> Self {
        let is_read = matches!(rpc, Rpc::Import | Rpc::Export);
        Self {
            body,
            call: Some(call),
            splitter: is_read.then(|| Splitter::new(rpc == Rpc::Export)),
            rpc,
            breaks: Box::pin(breaks.cancelled_owned()),
            closes,
            last: None,
        }
    }

    /// Tells the journal how the call ends; `last` goes out when that is written.
    fn answered(&mut self, status: Option<&Status>, last: Last) {
        let written = self.call.take().map(|call| call.answered(status));
        let waiting: Waiting = Box::pin(written.unwrap_or_default().wait());
        self.last = Some((waiting, last));
    }

    /// Tells the call what the daemon says.
    fn look(&mut self, data: &Bytes) {
        let (Some(call), Some(splitter)) = (&mut self.call, &mut self.splitter) else {
            return;
        };
        let rpc = self.rpc;
        // Nothing in here fails.
        let _ = splitter.push(data, &mut |part| {
            if let Part::Frame(message) = part {
                note(call, rpc, &message);
            }
            Ok(())
        });
    }
}

/// Tells a call of a message that has come.
pub(super) fn note(call: &mut RunningCall, rpc: Rpc, message: &Message) {
    if message.is_compressed() || message.is_long {
        return;
    }
    if rpc == Rpc::Import {
        if let Ok(task) = PersistentCacheTask::decode(message.head.as_slice()) {
            call.note_task(&task.id);
        }
        return;
    }
    if let Some(length) = message.content {
        call.count_piece(length);
        return;
    }
    let message = DownloadPersistentCacheTaskResponse::decode(message.head.as_slice());
    let event = message.ok().and_then(|message| message.response);
    if let Some(Event::DownloadPieceFinishedResponse(_)) = event {
        call.count_piece(0);
    }
}

/// The status that trailers say, or the head of an answer that has no other. `None` if it is OK.
pub(super) fn status_of(trailers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(trailers);
    let status = status.unwrap_or_else(|| Status::unknown("the daemon said no status"));
    (status.code() != Code::Ok).then_some(status)
}

/// How a call ends whose daemon goes away.
pub(super) fn broken() -> Status {
    Status::unavailable("the daemon's connection broke")
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some((waiting, _)) = &mut this.last {
                ready!(waiting.as_mut().poll(context));
                let last = this.last.take().and_then(|(_, last)| last);
                return Poll::Ready(last);
            }
            let frame = match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if this.call.is_some() && this.breaks.as_mut().poll(context).is_ready() {
                        this.call.take().map(|call| call.answered(Some(&broken())));
                        this.closes.cancel();
                    }
                    return Poll::Pending;
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        this.look(data);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    let status = frame.trailers_ref().and_then(status_of);
                    this.answered(status.as_ref(), Some(Ok(frame)));
                }
                Some(Err(error)) => {
                    let error = error.into();
                    let status = reset(error.as_ref());
                    this.answered(Some(&status), Some(Err(error)));
                }
                None => {
                    let status = status_of(&HeaderMap::new());
                    this.answered(status.as_ref(), None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The status of a call that the daemon has reset.
pub(super) fn reset(error: &(dyn std::error::Error + 'static)) -> Status {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let reason = error
            .downcast_ref::<h2::Error>()
            .and_then(h2::Error::reason);
        if let Some(reason) = reason {
            return Status::from_error(Box::new(h2::Error::from(reason)));
        }
        cause = error.source();
    }
    broken()
}
