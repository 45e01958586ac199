//! The connection of a proxy to the dfdaemon behind it.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::body::Body;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::UnixStream;
use tonic::Status;

use super::windows::{
    CONNECTION_WINDOW, MAX_FRAME, MAX_HEADERS, MAX_SEND_BUFFER, SOCKET_BUFFER, STREAM_WINDOW,
};

/// How long to wait before a daemon is tried again whose backlog is full.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// A connection to the daemon, without a word.
pub(super) async fn open(path: &Path) -> io::Result<UnixStream> {
    let stream = loop {
        match UnixStream::connect(path).await {
            // It is alive, and does not accept at the moment.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            connected => break connected?,
        }
    };
    // With the usual room it works as well.
    let _ = set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
    Ok(stream)
}

/// Connects to the daemon, and speaks to it by HTTP/2. The second one runs the connection, and ends with it.
pub(super) async fn connect<B>(
    path: &Path,
) -> io::Result<(
    SendRequest<B>,
    impl Future<Output = hyper::Result<()>> + Send + use<B>,
)>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    handshake(open(path).await?).await
}

/// Speaks to the daemon by HTTP/2. The second one runs the connection, and ends with it.
pub(super) async fn handshake<B>(
    stream: UnixStream,
) -> io::Result<(
    SendRequest<B>,
    impl Future<Output = hyper::Result<()>> + Send + use<B>,
)>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let handshake = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await;
    handshake.map_err(io::Error::other)
}

/// What clients get while the daemon is not there.
pub(super) fn unreachable(upstream: &Path, error: &io::Error) -> Status {
    Status::unavailable(format!(
        "the proxy cannot reach the dfdaemon at {}: {error}",
        upstream.display()
    ))
}
