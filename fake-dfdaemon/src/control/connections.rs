//! The connections of the control API. Their number is limited, and idle ones are closed: each takes a
//! file descriptor that calls and files then lack.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer as _;

use super::answer::{ApiError, PATIENCE};
use crate::grpc::connection_limit::{Admitted, ConnectionLimit, Slot};

/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Where connections come from.
pub(super) trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

/// Closes the connection that a request came by.
#[derive(Clone, Debug)]
pub(super) struct Closes(pub(super) CancellationToken);

/// What ends the connections, and how far they are.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) limit: ConnectionLimit,
    pub(super) patience: Duration,
    /// Lets each answer what it has been asked.
    pub(super) graceful: CancellationToken,
    /// Closes them.
    pub(super) abrupt: CancellationToken,
    pub(super) running: TaskTracker,
}

impl Connections {
    pub(super) fn new(limit: ConnectionLimit) -> Self {
        Self {
            limit,
            patience: PATIENCE,
            graceful: CancellationToken::new(),
            abrupt: CancellationToken::new(),
            running: TaskTracker::new(),
        }
    }

    /// Serves what comes, until stopped.
    pub(super) fn serve(&self, listener: impl Listener, router: Router) {
        let connections = self.clone();
        self.running.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.next() => accepted,
                    () = connections.graceful.cancelled() => return,
                    () = connections.abrupt.cancelled() => return,
                };
                match accepted {
                    Ok(stream) => connections.begin(stream, &router),
                    Err(error) => {
                        tracing::debug!(%error, "cannot accept a control connection for now");
                        // A client is better refused than left waiting.
                        let closing = tokio::time::timeout(ACCEPT_PAUSE, listener.next());
                        drop(connections.limit.with_spare(closing).await);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    fn begin<S>(&self, stream: S, router: &Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (place, router) = match self.limit.take() {
            Admitted::Served(place) => (place, router.clone()),
            Admitted::Refused(place) => (place, Router::new().fallback(too_many)),
            Admitted::None => {
                tracing::debug!("closed a control connection: there are too many");
                return;
            }
        };
        let connections = self.clone();
        self.running
            .spawn(async move { connections.run(stream, router, place).await });
    }

    async fn run<S>(self, stream: S, router: Router, _place: Slot)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let closes = CancellationToken::new();
        let service = axum::Extension(Closes(closes.clone())).layer(router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.abrupt.cancelled() => return,
            () = closes.cancelled() => return,
            () = self.graceful.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = self.abrupt.cancelled() => return,
                    () = closes.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a control connection broke");
        }
    }

    /// Accepts no more, lets requests be answered for a while, and then closes the connections.
    pub(super) async fn stop(&self, grace: Duration) {
        self.graceful.cancel();
        self.running.close();
        if tokio::time::timeout(grace, self.running.wait())
            .await
            .is_err()
        {
            self.abrupt.cancel();
            self.running.wait().await;
        }
    }
}

/// The answer to a connection over the limit, which is then closed.
async fn too_many() -> impl axum::response::IntoResponse {
    let close = [(http::header::CONNECTION, "close")];
    let error = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many control connections, please retry later",
    );
    (close, error).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ASKS: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    struct Listening {
        connections: Connections,
        socket: std::path::PathBuf,
        _dir: tempfile::TempDir,
    }

    impl Listening {
        fn new(descriptors: usize, patience: Duration) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let socket = dir.path().join("control.sock");
            let connections = Connections {
                patience,
                ..Connections::new(ConnectionLimit::of_control(descriptors))
            };
            let router = Router::new().route("/", get(|| async { "well" }));
            connections.serve(UnixListener::bind(&socket).unwrap(), router);
            Self {
                connections,
                socket,
                _dir: dir,
            }
        }

        async fn connect(&self) -> UnixStream {
            UnixStream::connect(&self.socket).await.unwrap()
        }

        /// What a new connection gets.
        async fn asks(&self) -> String {
            let mut stream = self.connect().await;
            let mut received = vec![0; 1 << 10];
            // It may have been closed already.
            let _ = stream.write_all(ASKS).await;
            let read = stream.read(&mut received).await.unwrap_or(0);
            String::from_utf8(received[..read].to_vec()).unwrap()
        }
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_happens_is_closed() {
        let listening = Listening::new(1024, Duration::from_millis(50));
        let mut silent = listening.connect().await;
        let mut half = listening.connect().await;
        half.write_all(&ASKS[..20]).await.unwrap();
        let mut asked = listening.connect().await;
        asked.write_all(ASKS).await.unwrap();
        let mut received = [Vec::new(), Vec::new(), Vec::new()];
        for (stream, received) in [&mut silent, &mut half, &mut asked]
            .into_iter()
            .zip(&mut received)
        {
            stream.read_to_end(received).await.unwrap();
        }
        assert!(received[2].ends_with(b"well"));
    }

    #[tokio::test]
    async fn connections_count_and_one_too_many_is_told_so() {
        let listening = Listening::new(64, PATIENCE);
        let mut silent = Vec::new();
        for _ in 0..8 {
            silent.push(listening.connect().await);
        }
        let received = listening.asks().await;
        assert!(received.starts_with("HTTP/1.1 503"), "{received}");
        assert!(
            received.contains("too many control connections"),
            "{received}"
        );
        silent.clear();
        while !listening.asks().await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_stop_closes_every_connection() {
        let listening = Listening::new(64, PATIENCE);
        let mut silent = listening.connect().await;
        listening.asks().await;
        listening.connections.stop(Duration::ZERO).await;
        assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
