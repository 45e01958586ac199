//! One client, and the connection to the daemon that is its own.
//!
//! A pair shares its fate: what ends one ends the other in the same way. A client that stalls fills
//! the windows of its own pair and stops nobody else, as without a proxy.

use std::path::Path;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::relay::{CallError, ResponseBody, call};
use super::server::Shared;
use super::upstream::{self, Sender};

/// What a sender may send before it is told that it was read, in bytes: a stream, and all of them.
/// The proxy holds no more of a call than this, each way.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 8 << 20;

/// The longest frame, in bytes.
pub(super) const MAX_FRAME: u32 = 256 << 10;

/// What is kept of a stream that its receiver does not take, in bytes.
pub(super) const MAX_SEND_BUFFER: usize = 512 << 10;

/// How long the head of a call or of an answer may be. Statuses and their details are in it.
pub(super) const MAX_HEADERS: u32 = 4 << 20;

/// What the kernel keeps of what the receiver has not read yet, in bytes; it takes twice as much.
pub(super) const SOCKET_BUFFER: usize = 208 << 10;

/// As many as a dfdaemon allows.
const MAX_STREAMS: u32 = 256;

/// Serves a client until either side ends it, or `abrupt` is cancelled.
pub(super) async fn serve(
    stream: UnixStream,
    shared: Arc<Shared>,
    graceful: CancellationToken,
    abrupt: CancellationToken,
) {
    // With the usual room it works as well.
    let _ = set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
    let connected = tokio::select! {
        connected = upstream::connect(&shared.upstream) => connected,
        () = abrupt.cancelled() => return,
        () = graceful.cancelled() => return,
    };
    // The daemon's side has ended, and takes no more calls.
    let drained = CancellationToken::new();
    let sender = match connected {
        Ok((sender, connection)) => {
            let ended = drained.clone().drop_guard();
            tokio::spawn(async move {
                // Its error reaches every call that is under way.
                let _ = connection.await;
                drop(ended);
            });
            Ok(sender)
        }
        Err(error) => Err(unreachable(&shared.upstream, &error)),
    };
    let closes = abrupt.child_token();
    let service = {
        let closes = closes.clone();
        hyper::service::service_fn(move |request: http::Request<Incoming>| {
            answer(request, sender.clone(), Arc::clone(&shared), closes.clone())
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(TokioIo::new(stream), service);
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
    shared: Arc<Shared>,
    closes: CancellationToken,
) -> Result<http::Response<ResponseBody>, CallError> {
    match sender {
        Ok(sender) => call(request, sender, shared.tap.as_deref(), closes).await,
        Err(status) => Ok(status.into_http::<()>().map(|()| ResponseBody::empty())),
    }
}

fn unreachable(upstream: &Path, error: &std::io::Error) -> Status {
    Status::unavailable(format!(
        "the proxy cannot reach the dfdaemon at {}: {error}",
        upstream.display()
    ))
}
