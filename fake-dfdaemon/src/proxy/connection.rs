//! One client, and the connection to the daemon that is its own.
//!
//! A pair shares its fate: what ends one ends the other in the same way. A client that stalls fills
//! the windows of its own pair and stops nobody else, as without a proxy.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls::{AnswerBody, BoxError, ProxiedCalls};
use super::outlet::{Fullness, Outlet};
use super::passage;
use super::relay::{CallError, RequestBody, ResponseBody, Sender, call, refuse};
use super::server::Serve;
use super::tap::{Tap, Waiting};
use super::upstream;
use super::windows::{
    CONNECTION_WINDOW, MAX_FRAME, MAX_HEADERS, MAX_SEND_BUFFER, SOCKET_BUFFER, STREAM_WINDOW,
};

/// How long a client may take to read what was sent before its connection is closed.
const LINGER: Duration = Duration::from_secs(1);

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
            let sender = Sender::new(sender);
            sender.run(connection, drained.clone().drop_guard());
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
    let (outlet, fullness) = Outlet::new(stream);
    let connection = server().serve_connection(TokioIo::new(outlet), service);
    run_until_ended((connection, fullness), &closes, &graceful, &drained).await;
}

/// A connection to the daemon.
enum Daemon<C> {
    /// For a client whose calls nobody looks into.
    Bytes(UnixStream),
    /// One that calls are passed to, and what runs it.
    Calls(SendRequest<RequestBody>, C),
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
    (connection, fullness): (
        http2::Connection<TokioIo<Outlet>, S, TokioExecutor>,
        Fullness,
    ),
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
        ended = &mut connection => Some(ended),
        () = closes.cancelled() => None,
        () = async {
            tokio::select! {
                () = graceful.cancelled() => {}
                () = drained.cancelled() => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => Some(ended),
                () = closes.cancelled() => None,
            }
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a client's connection broke"),
        None => {
            // What the daemon has said before still gets to the client.
            let written = std::future::poll_fn(|context| {
                match connection.as_mut().poll(context).is_ready() || !fullness.is_full() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            let _ = tokio::time::timeout(LINGER, written).await;
        }
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
        Err(status) => Ok(refuse(head, body, status, shared.tap.as_deref()).await),
    }
}
