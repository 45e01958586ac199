//! One HTTP/2 connection over a Unix socket, as a service for the generated clients.
//!
//! tonic's own channel reconnects and buffers, and opens TCP too; a command needs one connection
//! whose failure is told apart from what a daemon answers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tonic::body::Body;
use tower::Service;

use crate::error::{Error, ErrorKind, Result};
use crate::options::Endpoint;

/// How many bytes a daemon may send ahead of what was read, in a stream and in all. The default
/// of HTTP/2, 64 KiB, would make it wait for us after each fraction of a piece. They bound the
/// memory that a slow disk costs.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The longest frame we take, in bytes: fewer reads than by default, yet short enough that
/// writing one overlaps with receiving the next.
const MAX_FRAME: u32 = 256 << 10;

/// The longest headers we take, in bytes. A status travels in them, and may name a long path
/// several times over, escaped.
const MAX_HEADERS: u32 = 1 << 20;

/// How long to wait before asking again at a socket whose queue of connections is full.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// A connection to a daemon. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
}

/// A connection, and the user that the daemon runs as, if the system tells.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<(Connection, Option<u32>)> {
    let stream = open(endpoint)
        .await
        .map_err(|source| cannot_connect(endpoint, source))?;
    let daemon_user = stream.peer_cred().ok().map(|credentials| credentials.uid());
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| {
            let message = format!("cannot speak to the server at {endpoint}");
            Error::new(ErrorKind::Unavailable, message)
                .because(source)
                .hint("check that it is dfdaemon that listens there, and that it is still running")
        })?;
    // Its errors reach every call that is under way.
    tokio::spawn(connection);
    Ok((Connection { sender }, daemon_user))
}

/// Connecting to a Unix socket does not wait when the server's queue is full, it fails.
async fn open(endpoint: &Endpoint) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(endpoint.path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(FULL_QUEUE_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn cannot_connect(endpoint: &Endpoint, source: io::Error) -> Error {
    let is_socket = std::fs::metadata(endpoint.path()).is_ok_and(|metadata| {
        use std::os::unix::fs::FileTypeExt as _;
        metadata.file_type().is_socket()
    });
    let hint = match source.kind() {
        io::ErrorKind::NotFound => {
            "no socket is there: start dfdaemon, or name its socket with --endpoint or DFCACHE_ENDPOINT"
        }
        io::ErrorKind::ConnectionRefused if is_socket => {
            "nobody listens there: dfdaemon is not running. In a container, mount the directory of the socket rather than the socket, which goes stale when dfdaemon restarts"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not open the socket: change its mode, or run as dfdaemon's user"
        }
        _ if !is_socket => "it is not a socket; name dfdaemon's with --endpoint",
        _ => "check that dfdaemon is running",
    };
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot connect to dfdaemon at {endpoint}"),
    )
    .because(source)
    .hint(hint)
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    /// Always: a closed connection fails the call, where the reason is known.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
