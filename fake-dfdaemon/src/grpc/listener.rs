//! Connections: accepts them on a socket, speaks HTTP/2 on each or the packets of pieces, and ends them
//! when they are to end. A connection over the limit is answered with RESOURCE_EXHAUSTED.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accepting::{Accepting, Reached, Stream};
use super::chunk::Handoff;
use super::connect_faults;
use super::connection_limit::{Admitted, ConnectionLimit, Slot};
use super::content_body::ServedBody;
use super::piece_packets;
use super::request_head::{metadata, time_limit};
use super::sending_socket::SendingSocket;
use super::service::ServedHost;
use super::services::Services;
use crate::call::connection::{Connection, SCHEDULER_ANSWERS_AFTER};
use crate::dfdaemon::statuses::{overloaded, timed_out};

/// What a peer may send before it hears that it was read, in bytes: a stream, and all of them.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The longest frame, in bytes.
const MAX_FRAME: u32 = 1 << 20;

/// How many calls a connection may have at a time: each holds what its client has not taken.
const MAX_STREAMS: u32 = 256;

/// How long a connection may be silent before it is pinged, and how long the answer may take: those
/// of a dfdaemon.
const PING_AFTER: Duration = Duration::from_secs(300);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How many bytes of a stream are kept for a peer that does not take them.
const MAX_SEND_BUFFER: usize = 512 << 10;

/// How long calls may take to see that the daemon stops before their connections are closed.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How long a connection over the limit may take to ask for something and be refused.
const REFUSAL: Duration = Duration::from_secs(2);

/// How long an answer may take that asks nobody.
const OWN_ANSWER: Duration = Duration::from_millis(100);

/// What is spoken on the connections to a socket.
#[derive(Clone, Debug)]
pub(crate) enum Protocol {
    /// Calls of gRPC.
    Grpc(Services),
    /// The packets of pieces.
    Pieces(ServedHost),
}

impl Protocol {
    fn host(&self) -> Option<&ServedHost> {
        match self {
            Self::Grpc(services) => services.host(),
            Self::Pieces(host) => Some(host),
        }
    }
}

/// A running server of one socket. Dropped, it closes every connection.
#[derive(Debug)]
pub(crate) struct Server {
    protocol: Protocol,
    limit: ConnectionLimit,
    /// Unless the socket is closed.
    accepting: Option<AcceptLoop>,
    /// Ends accepting, and asks the connections to end.
    graceful: CancellationToken,
    /// Closes the connections.
    abrupt: CancellationToken,
    connections: TaskTracker,
}

/// Has the socket, and closes it when it ends.
#[derive(Debug)]
struct AcceptLoop {
    ends: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Speaks `protocol` on connections to `listener`, until stopped or dropped.
    pub(crate) fn start(listener: Accepting, protocol: Protocol, limit: ConnectionLimit) -> Self {
        let mut server = Self {
            protocol,
            limit,
            accepting: None,
            graceful: CancellationToken::new(),
            abrupt: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        server.listen(listener);
        server
    }

    /// Serves connections to `listener`, after those to an earlier one.
    pub(crate) fn listen(&mut self, listener: Accepting) {
        let ends = self.graceful.child_token();
        let connecting = Connecting {
            protocol: self.protocol.clone(),
            limit: self.limit.clone(),
            graceful: self.graceful.clone(),
            abrupt: self.abrupt.clone(),
            connections: self.connections.clone(),
        };
        let task = connecting.accept_all(listener, ends.clone());
        let task = self.connections.spawn(task);
        self.accepting = Some(AcceptLoop { ends, task });
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.accepting.is_some()
    }

    /// Closes the socket. Connections that it has accepted go on.
    pub(crate) async fn close_listener(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.ends.cancel();
            let _ = accepting.task.await;
        }
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

/// What connections to one socket need.
struct Connecting {
    protocol: Protocol,
    limit: ConnectionLimit,
    graceful: CancellationToken,
    abrupt: CancellationToken,
    connections: TaskTracker,
}

impl Connecting {
    /// Accepts connections, each with a task of its own, until it is to end.
    async fn accept_all(self, listener: Accepting, ends: CancellationToken) {
        let mut is_starved = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ends.cancelled() => return,
                () = self.abrupt.cancelled() => return,
            };
            let stream = match accepted {
                Ok(stream) => {
                    is_starved = false;
                    stream
                }
                Err(error) => {
                    // Once, not at every attempt until it is over.
                    if !std::mem::replace(&mut is_starved, true) {
                        tracing::warn!(%error, "cannot accept connections for now");
                    }
                    // The client does not wait: its connection is accepted and closed at once.
                    let closing = tokio::time::timeout(ACCEPT_PAUSE, listener.accept());
                    drop(self.limit.with_spare(closing).await);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.take(stream);
        }
    }

    /// Serves a connection, or refuses it where there is no room.
    fn take(&self, stream: Stream) {
        let executor = Tracked(self.connections.clone());
        let (graceful, abrupt) = (self.graceful.clone(), self.abrupt.clone());
        match self.limit.take() {
            Admitted::Served(place) => {
                let (protocol, ends) = (self.protocol.clone(), abrupt.clone());
                let faults = connect_faults::arm(protocol.host());
                let serving = async move {
                    let served = tokio::select! {
                        served = connect_faults::apply(protocol.host(), faults) => served,
                        () = graceful.cancelled() => false,
                        () = ends.cancelled() => false,
                    };
                    match protocol {
                        _ if !served => {}
                        Protocol::Grpc(services) => {
                            serve(stream, services, executor, graceful, abrupt).await;
                        }
                        Protocol::Pieces(host) => {
                            piece_packets::serve(stream, host, graceful, abrupt).await;
                        }
                    }
                };
                self.connections.spawn(holding(place, serving));
            }
            Admitted::Refused(_) if matches!(self.protocol, Protocol::Pieces(_)) => {
                tracing::debug!("closed a connection for pieces: there are too many");
            }
            Admitted::Refused(place) => {
                let refusing = refuse(stream, executor, abrupt);
                self.connections.spawn(holding(place, refusing));
            }
            Admitted::None => tracing::debug!("closed a connection: there are too many"),
        }
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

async fn holding(_place: Slot, connection: impl Future<Output = ()>) {
    connection.await;
}

/// Answers the first request of a connection over the limit, and ends it.
async fn refuse(stream: Stream, executor: Tracked, abrupt: CancellationToken) {
    let asked = CancellationToken::new();
    let refused = asked.clone();
    let service = hyper::service::service_fn(move |_: http::Request<Incoming>| {
        refused.cancel();
        let answer = overloaded("too many connections").into_http::<tonic::body::Body>();
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let sending = SendingSocket::new(stream, Handoff::default());
    let connection = http2::Builder::new(executor).serve_connection(TokioIo::new(sending), service);
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
    stream: Stream,
    services: Services,
    executor: Tracked,
    graceful: CancellationToken,
    abrupt: CancellationToken,
) {
    let reset = abrupt.child_token();
    let closes = reset.clone();
    let reached = Reached::by(&stream);
    let handoff = Handoff::default();
    let sending = SendingSocket::new(stream, handoff.clone());
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        if let Some(reached) = reached {
            request.extensions_mut().insert(reached);
        }
        let services = services.clone();
        let connection = Connection {
            closes: reset.clone(),
            is_late: Arc::default(),
            limit: time_limit(request.headers()),
            metadata: Arc::new(metadata(request.headers())),
        };
        let handoff = handoff.clone();
        async move {
            let answer = answer(services, request, connection).await;
            Ok::<_, Infallible>(answer.map(|body| body.sent_by(handoff)))
        }
    });
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .serve_connection(TokioIo::new(sending), service);
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

/// Answers a call within the time that its client gives it: up to the head of a stream.
async fn answer(
    services: Services,
    request: http::Request<Incoming>,
    connection: Connection,
) -> http::Response<ServedBody> {
    let is_late = Arc::clone(&connection.is_late);
    let limit = connection.limit;
    let mut request = request.map(tonic::body::Body::new);
    request.extensions_mut().insert(connection);
    let mut answering = Box::pin(services.answer(request));
    let late = async {
        match limit {
            // What a dfdaemon answers by itself it answers before it looks at the time. Ours waits for its
            // journal first.
            Some(limit) if limit <= SCHEDULER_ANSWERS_AFTER => {
                tokio::time::sleep(limit + OWN_ANSWER).await;
            }
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        answer = &mut answering => answer,
        () = late => {
            is_late.store(true, Ordering::Relaxed);
            // First the journal, then the answer.
            drop(answering);
            timed_out().into_http::<tonic::body::Body>().map(Into::into)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    /// The type of the next frame of a connection; `None` at its end.
    async fn next_frame(connection: &mut UnixStream) -> Option<(u8, u8)> {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        connection.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_pinged_and_closed_when_it_does_not_answer() {
        const PING: (u8, u8) = (6, 0);
        let (ours, mut client) = UnixStream::pair().unwrap();
        let token = CancellationToken::new;
        let tracked = Tracked(TaskTracker::new());
        tokio::spawn(serve(
            Stream::Left(ours),
            Services::silent(),
            tracked,
            token(),
            token(),
        ));
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        client.write_all(&settings).await.unwrap();
        let connected = tokio::time::Instant::now();
        while next_frame(&mut client).await.expect("it was not pinged") != PING {}
        let pinged = connected.elapsed();
        assert!(
            pinged >= PING_AFTER && pinged < 2 * PING_AFTER,
            "{pinged:?}"
        );
        while next_frame(&mut client).await.is_some() {}
        let closed = connected.elapsed() - pinged;
        assert!(
            closed >= PONG_WITHIN && closed < 2 * PONG_WITHIN,
            "{closed:?}"
        );
    }
}
