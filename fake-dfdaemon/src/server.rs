//! Connections: accepts them on a socket, speaks HTTP/2 on each, and ends them when told to. Where
//! there is no room for one, it is told so.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::call::Connection;
use crate::limits::overloaded;
use crate::room::{Place, Room, Taken};

/// What a peer may send before it is told that it was read, in bytes: a stream, and all of them.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The longest frame, in bytes.
const MAX_FRAME: u32 = 1 << 20;

/// What is kept of a response that the peer does not take, a stream, in bytes.
const MAX_SEND_BUFFER: usize = 512 << 10;

/// What the kernel keeps of what the peer has not read yet, in bytes; it takes twice as much. A
/// writer that has more room is woken less often.
const SOCKET_BUFFER: usize = 208 << 10;

/// How long calls may take to see that the daemon stops before their connections are closed.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How long a connection that is one too many may take to ask for something and be refused.
const REFUSAL: Duration = Duration::from_secs(2);

/// A running server. Dropped, it closes every connection.
#[derive(Debug)]
pub(crate) struct Server {
    /// Ends accepting, and asks the connections to end.
    graceful: CancellationToken,
    /// Closes the connections.
    abrupt: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Serves `routes` on connections to `listener`, until stopped or dropped.
    pub(crate) fn start(listener: UnixListener, routes: Routes, room: Room) -> Self {
        let server = Self {
            graceful: CancellationToken::new(),
            abrupt: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let (graceful, abrupt) = (server.graceful.clone(), server.abrupt.clone());
        let connections = server.connections.clone();
        server.connections.spawn(async move {
            let mut is_starved = false;
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = graceful.cancelled() => return,
                    () = abrupt.cancelled() => return,
                };
                let stream = match accepted {
                    Ok((stream, _)) => {
                        is_starved = false;
                        stream
                    }
                    Err(error) => {
                        // Once, not at every attempt until it is over.
                        if !std::mem::replace(&mut is_starved, true) {
                            tracing::warn!(%error, "cannot accept connections for now");
                        }
                        // Whoever it is shall not wait: accepted without a look, it is closed.
                        let closing = tokio::time::timeout(ACCEPT_PAUSE, listener.accept());
                        drop(room.with_spare(closing).await);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                // With the usual room it works as well.
                let _ = set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
                let executor = Tracked(connections.clone());
                let (graceful, abrupt) = (graceful.clone(), abrupt.clone());
                match room.take() {
                    Place::Served(place) => {
                        let serving = serve(stream, routes.clone(), executor, graceful, abrupt);
                        connections.spawn(holding(place, serving));
                    }
                    Place::Refused(place) => {
                        let refusing = refuse(stream, executor, abrupt);
                        connections.spawn(holding(place, refusing));
                    }
                    Place::None => tracing::debug!("closed a connection: there are too many"),
                }
            }
        });
        server
    }

    /// Accepts no more, lets running calls end for a moment, then closes every connection.
    pub(crate) async fn stop(self) {
        self.graceful.cancel();
        self.connections.close();
        if tokio::time::timeout(GRACE, self.connections.wait())
            .await
            .is_err()
        {
            self.abrupt.cancel();
            self.connections.wait().await;
        }
    }

    /// Closes every connection now, as a daemon does that is killed.
    pub(crate) async fn close(self) {
        self.abrupt.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.abrupt.cancel();
    }
}

/// Runs a connection's streams so that the server knows when the last of them has ended.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

async fn holding(_place: Taken, connection: impl Future<Output = ()>) {
    connection.await;
}

/// Answers what a connection that is one too many asks first, and ends it.
async fn refuse(stream: UnixStream, executor: Tracked, abrupt: CancellationToken) {
    let asked = CancellationToken::new();
    let refused = asked.clone();
    let service = hyper::service::service_fn(move |_: http::Request<Incoming>| {
        refused.cancel();
        let answer = overloaded("too many connections").into_http::<tonic::body::Body>();
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let connection = http2::Builder::new(executor).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = async {
        tokio::select! {
            _ = &mut connection => return,
            () = asked.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    };
    tokio::select! {
        () = ended => {}
        () = abrupt.cancelled() => {}
        () = tokio::time::sleep(REFUSAL) => {}
    }
}

async fn serve(
    stream: UnixStream,
    routes: Routes,
    executor: Tracked,
    graceful: CancellationToken,
    abrupt: CancellationToken,
) {
    let reset = abrupt.child_token();
    let closes = reset.clone();
    let service = tower::service_fn(move |request: http::Request<Incoming>| {
        let (mut routes, connection) = (routes.clone(), Connection(reset.clone()));
        async move {
            let mut request = request.map(tonic::body::Body::new);
            request.extensions_mut().insert(connection);
            Ok::<_, Infallible>(
                tower::Service::call(&mut routes, request)
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_concurrent_streams(None)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closes.cancelled() => return,
        () = graceful.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = closes.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Hands a bound socket to the runtime.
pub(crate) fn asynchronous(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
