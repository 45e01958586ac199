//! The bytes of one call, each way, with what they carry in their heads and trailers.
//!
//! Data is asked for when the receiver has room for it, so that the windows of the two connections
//! become one: a receiver that stalls stalls the sender.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Response, Uri, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use super::tap::{CallTap, Ended, Tap, Waiting};
use crate::dfdaemon::mutex::Mutex;

/// How long a request may take to come that is refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands for the authority of a client that names none; a daemon ignores it.
const AUTHORITY: &str = "localhost";

/// Sends requests to the daemon. Clones share the connection.
///
/// Empty once the connection has ended: a request that comes at that very moment waits, with hyper,
/// as long as there is a sender.
#[derive(Clone)]
pub(super) struct Sender(Arc<Mutex<Option<SendRequest<RequestBody>>>>);

impl Sender {
    pub(super) fn new(sender: SendRequest<RequestBody>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    /// Runs the connection, and leaves no sender behind when it has ended. It ends with the last
    /// clone, and is none itself.
    pub(super) fn run(
        &self,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
        ended: DropGuard,
    ) {
        let senders = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            // Its error reaches every call that is under way.
            let _ = connection.await;
            if let Some(senders) = senders.upgrade() {
                senders.lock().take();
            }
            drop(ended);
        });
    }

    /// `None` if the connection has ended.
    fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Option<impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<>> {
        let mut sender = self.0.lock();
        sender.as_mut().map(|sender| sender.send_request(request))
    }
}

/// The one who looks at a call; both directions tell it.
type SharedTap = Option<Arc<Mutex<Box<dyn CallTap>>>>;

/// A call that broke. What broke it is its source, and the reason of a reset is passed on with it.
#[derive(Debug)]
pub(super) struct CallError(hyper::Error);

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Passes a call on and its answer back. When the daemon's connection breaks, `closes` is cancelled
/// and the call waits to be dropped: its client's connection is to break in the same way.
pub(super) async fn call(
    mut head: request::Parts,
    mut body: RequestBody,
    sender: Sender,
    tap: Option<&dyn Tap>,
    closes: CancellationToken,
) -> Result<Response<ResponseBody>, CallError> {
    let tap = tap.and_then(|tap| tap.begin(&head));
    let tap: SharedTap = tap.map(|tap| Arc::new(Mutex::new(tap)));
    head.uri = with_authority(head.uri);
    body.tap = tap.clone();
    // hyper polls no empty body.
    body.tell_end();
    let answer = sender.send(Request::from_parts(head, body));
    drop(sender);
    let answer = match answer {
        Some(answer) => answer.await.map_err(Some),
        None => Err(None),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(error) = error
                && let Some(reason) = reset_reason(&error)
            {
                end(&tap, Ended::Reset(reason));
                return Err(CallError(error));
            }
            end(&tap, Ended::Broken);
            closes.cancel();
            return std::future::pending().await;
        }
    };
    let (head, body) = answer.into_parts();
    let is_whole = body.is_end_stream();
    let waiting = look(&tap).and_then(|mut tap| tap.response_head(&head, is_whole));
    if let Some(waiting) = waiting {
        waiting.await;
    }
    if is_whole {
        end(&tap, Ended::Complete);
        return Ok(Response::from_parts(head, ResponseBody::empty()));
    }
    let body = ResponseBody(Some(Streaming {
        body,
        tap,
        closes,
        held: None,
    }));
    Ok(Response::from_parts(head, body))
}

/// Answers a call that does not get to the daemon. The tap hears of it as of any other call.
pub(super) async fn refuse(
    head: request::Parts,
    mut body: RequestBody,
    status: Status,
    tap: Option<&dyn Tap>,
) -> Response<ResponseBody> {
    let (answer, ()) = status.into_http::<()>().into_parts();
    if let Some(tap) = tap.and_then(|tap| tap.begin(&head)) {
        let tap: SharedTap = Some(Arc::new(Mutex::new(tap)));
        body.tap = tap.clone();
        // A silent client may have sent its whole request, or not.
        let _ = tokio::time::timeout(PATIENCE, body.read()).await;
        let waiting = look(&tap).and_then(|mut tap| tap.response_head(&answer, true));
        if let Some(waiting) = waiting {
            waiting.await;
        }
        end(&tap, Ended::Complete);
    }
    Response::from_parts(answer, ResponseBody::empty())
}

/// Requests over HTTP/2 have an authority, but for those of a few clients.
fn with_authority(uri: Uri) -> Uri {
    if uri.authority().is_some() {
        return uri;
    }
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(Authority::from_static(AUTHORITY));
    parts.scheme = parts.scheme.or(Some(Scheme::HTTP));
    Uri::from_parts(parts).unwrap_or(uri)
}

/// The error code, if the other side has reset the stream; `None` if the connection broke.
pub(super) fn reset_reason(error: &hyper::Error) -> Option<u32> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error
                .reason()
                .filter(|_| error.is_reset() && error.is_remote())
                .map(u32::from);
        }
        source = error.source();
    }
    None
}

fn look(tap: &SharedTap) -> Option<MutexGuard<'_, Box<dyn CallTap>>> {
    let tap = tap.as_ref()?;
    Some(tap.lock())
}

fn end(tap: &SharedTap, how: Ended) {
    if let Some(mut tap) = look(tap) {
        tap.ended(how);
    }
}

fn poll_room(tap: &SharedTap, context: &mut Context<'_>) -> Poll<()> {
    look(tap).map_or(Poll::Ready(()), |mut tap| tap.poll_room(context))
}

/// What was read of a request, to be sent on.
#[derive(Debug, Default)]
pub(super) struct Front {
    pub(super) data: Bytes,
    /// They stand behind all data.
    pub(super) trailers: Option<HeaderMap>,
}

impl Front {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        if self.data.is_empty() {
            return self.trailers.take().map(Frame::trailers);
        }
        Some(Frame::data(std::mem::take(&mut self.data)))
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}

/// What a client sends.
pub(super) struct RequestBody {
    /// What was read of it before.
    front: Front,
    body: Incoming,
    tap: SharedTap,
    /// Data, and what they wait for.
    held: Option<(Waiting, Bytes)>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            front: Front::default(),
            body,
            tap: None,
            held: None,
        }
    }

    /// Reads to the end of what the client sends.
    async fn read(&mut self) {
        while let Some(Ok(_)) = self.frame().await {}
    }

    /// Tells the tap that the request is complete, if it is. HTTP/2 may mark the last data as the end.
    fn tell_end(&self) {
        if self.is_end_stream()
            && let Some(mut tap) = look(&self.tap)
        {
            tap.request_ended();
        }
    }

    /// Puts back what was read.
    pub(super) fn put_back(&mut self, front: Front) {
        self.front = front;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some((waiting, _)) = &mut self.held {
            ready!(waiting.as_mut().poll(context));
            let held = self.held.take();
            self.tell_end();
            return Poll::Ready(held.map(|(_, data)| Ok(Frame::data(data))));
        }
        ready!(poll_room(&self.tap, context));
        let frame = match self.front.next() {
            Some(frame) => frame,
            None => match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => {
                    self.tell_end();
                    return Poll::Ready(end);
                }
            },
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => {
                self.tell_end();
                return Poll::Ready(Some(Ok(trailers)));
            }
        };
        let waiting = look(&self.tap).and_then(|mut tap| tap.request_data(&data));
        let Some(waiting) = waiting else {
            self.tell_end();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        };
        self.held = Some((waiting, data));
        self.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.front.is_empty() && self.body.is_end_stream()
    }
}

/// What the client gets behind the head of an answer.
pub(super) struct ResponseBody(Option<Streaming>);

struct Streaming {
    body: Incoming,
    tap: SharedTap,
    closes: CancellationToken,
    /// Trailers, and what they wait for.
    held: Option<(Waiting, HeaderMap)>,
}

impl ResponseBody {
    /// Nothing: the stream ends with its head.
    pub(super) fn empty() -> Self {
        Self(None)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match &mut self.0 {
            Some(streaming) => streaming.poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl Streaming {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        if let Some((waiting, _)) = &mut self.held {
            ready!(waiting.as_mut().poll(context));
            let held = self.held.take();
            return self.trailers(held.map(|(_, trailers)| trailers).unwrap_or_default());
        }
        ready!(poll_room(&self.tap, context));
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return self.broke(error),
            None => {
                end(&self.tap, Ended::Complete);
                return Poll::Ready(None);
            }
        };
        let trailers = match frame.into_data() {
            Ok(data) => {
                if let Some(mut tap) = look(&self.tap) {
                    tap.response_data(&data);
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Err(frame) => frame.into_trailers().unwrap_or_default(),
        };
        let waiting = look(&self.tap).and_then(|mut tap| tap.response_trailers(&trailers));
        let Some(waiting) = waiting else {
            return self.trailers(trailers);
        };
        self.held = Some((waiting, trailers));
        self.poll_frame(context)
    }

    fn trailers(&mut self, trailers: HeaderMap) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        end(&self.tap, Ended::Complete);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn broke(&mut self, error: hyper::Error) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let Some(reason) = reset_reason(&error) else {
            end(&self.tap, Ended::Broken);
            self.closes.cancel();
            // The connection is dropped, and this with it.
            return Poll::Pending;
        };
        end(&self.tap, Ended::Reset(reason));
        Poll::Ready(Some(Err(CallError(error))))
    }
}
