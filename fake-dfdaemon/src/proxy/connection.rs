//! One client, and the connection to the daemon that is its own.
//!
//! A pair shares its fate: what ends one ends the other in the same way. A client that stalls fills
//! the windows of its own pair and stops nobody else, as without a proxy.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls::{AnswerBody, BoxError, ProxiedCalls};
use super::passage;
use super::relay::{CallError, RequestBody, ResponseBody, Sender, call};
use super::server::Serve;
use super::tap::{Tap, Waiting};
use super::upstream;
use super::windows::{
    CONNECTION_WINDOW, MAX_FRAME, MAX_HEADERS, MAX_SEND_BUFFER, SOCKET_BUFFER, STREAM_WINDOW,
};

/// As many as a dfdaemon allows.
const MAX_STREAMS: u32 = 256;

/// A daemon's socket, and what looks at the calls that go there.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) path: PathBuf,
    pub(crate) tap: Option<Arc<dyn Tap>>,
    /// What faults and a journal need; nothing looks into calls without.
    pub(crate) calls: Option<ProxiedCalls>,
}

impl Serve for Arc<Upstream> {
    fn serve(
        &self,
        stream: UnixStream,
        graceful: CancellationToken,
        abrupt: CancellationToken,
    ) -> Waiting {
        Box::pin(serve(stream, Self::clone(self), graceful, abrupt))
    }
}

async fn serve(
    stream: UnixStream,
    shared: Arc<Upstream>,
    graceful: CancellationToken,
    abrupt: CancellationToken,
) {
    // With the usual room it works as well.
    let _ = set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
    let connected = tokio::select! {
        connected = connect(&shared) => connected,
        () = abrupt.cancelled() => return,
        () = graceful.cancelled() => return,
    };
    // The daemon's side has ended, and takes no more calls.
    let drained = CancellationToken::new();
    let sender = match connected {
        Ok(Daemon::Bytes(daemon)) => {
            return passage::pass(stream, daemon, &graceful, &abrupt).await;
        }
        Ok(Daemon::Calls(sender, connection)) => {
            let ended = drained.clone().drop_guard();
            tokio::spawn(async move {
                // Its error reaches every call that is under way.
                let _ = connection.await;
                drop(ended);
            });
            Ok(sender)
        }
        Err(error) => Err(upstream::unreachable(&shared.path, &error)),
    };
    let closes = abrupt.child_token();
    let service = {
        let closes = closes.clone();
        hyper::service::service_fn(move |request: http::Request<Incoming>| {
            answer(request, sender.clone(), Arc::clone(&shared), closes.clone())
        })
    };
    let connection = server().serve_connection(TokioIo::new(stream), service);
    run_until_ended(connection, &closes, &graceful, &drained).await;
}

/// A connection to the daemon.
enum Daemon<C> {
    /// For a client whose calls nobody looks into.
    Bytes(UnixStream),
    /// One that calls are passed to, and what runs it.
    Calls(Sender, C),
}

async fn connect(
    shared: &Upstream,
) -> io::Result<Daemon<impl Future<Output = hyper::Result<()>> + Send + use<>>> {
    let stream = upstream::open(&shared.path).await?;
    if shared.tap.is_none() && shared.calls.is_none() {
        return Ok(Daemon::Bytes(stream));
    }
    let (sender, connection) = upstream::handshake(stream).await?;
    Ok(Daemon::Calls(sender, connection))
}

/// How clients are spoken to.
pub(super) fn server() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Runs a client's connection until it ends or `closes` is cancelled. Once `graceful` or `drained`
/// is, calls that run may end, and others do not begin.
pub(super) async fn run_until_ended<S, B>(
    connection: http2::Connection<TokioIo<UnixStream>, S, TokioExecutor>,
    closes: &CancellationToken,
    graceful: &CancellationToken,
    drained: &CancellationToken,
) where
    S: HttpService<Incoming, ResBody = B> + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closes.cancelled() => return,
        () = drained.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = closes.cancelled() => return,
            }
        }
        () = graceful.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = closes.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection broke");
    }
}

async fn answer(
    request: http::Request<Incoming>,
    sender: Result<Sender, Status>,
    shared: Arc<Upstream>,
    closes: CancellationToken,
) -> Result<http::Response<Either<ResponseBody, AnswerBody>>, BoxError> {
    let (head, body) = request.into_parts();
    let body = RequestBody::new(body);
    let Some(calls) = &shared.calls else {
        let answer = pass_on(head, body, sender, &shared, closes).await?;
        return Ok(answer.map(Either::Left));
    };
    let next = |head, body, breaks| pass_on(head, body, sender, &shared, breaks);
    let answer = calls.pass(head, body, closes, next).await?;
    Ok(answer.map(Either::Right))
}

async fn pass_on(
    head: http::request::Parts,
    body: RequestBody,
    sender: Result<Sender, Status>,
    shared: &Upstream,
    closes: CancellationToken,
) -> Result<http::Response<ResponseBody>, CallError> {
    match sender {
        Ok(sender) => call(head, body, sender, shared.tap.as_deref(), closes).await,
        Err(status) => Ok(status.into_http::<()>().map(|()| ResponseBody::empty())),
    }
}
