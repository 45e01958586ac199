//! The listener of a proxy, recorder or replay: accepts clients, and ends them when it stops. What a client is served
//! is the business of [`Serve`].

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tap::Waiting;
use crate::grpc::connection_limit::descriptors;

/// How long calls may take to end when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The share of file descriptors that clients may take: each has two, and a pipe of two more where
/// nobody looks into its calls; recording takes some.
const CLIENTS_OF: usize = 5;

/// What becomes of a client.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Serves a client until either side ends it, or `abrupt` is cancelled. With `graceful`, calls
    /// that run may end.
    fn serve(
        &self,
        stream: UnixStream,
        graceful: CancellationToken,
        abrupt: CancellationToken,
    ) -> Waiting;
}

/// A running proxy. Dropped, it closes every connection.
#[derive(Debug)]
pub(crate) struct ProxyServer {
    graceful: CancellationToken,
    abrupt: CancellationToken,
    connections: TaskTracker,
}

impl ProxyServer {
    /// Serves the clients of `listener`.
    pub(crate) fn start(listener: UnixListener, clients: impl Serve) -> Self {
        let server = Self {
            graceful: CancellationToken::new(),
            abrupt: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let (graceful, abrupt) = (server.graceful.clone(), server.abrupt.clone());
        let connections = server.connections.clone();
        server.connections.spawn(async move {
            let accepting = accept(listener, &clients, connections, &graceful, &abrupt);
            tokio::select! {
                () = accepting => {}
                () = graceful.cancelled() => {}
                () = abrupt.cancelled() => {}
            }
        });
        server
    }

    /// Closes every connection.
    pub(crate) async fn break_up(self) {
        self.abrupt.cancel();
        self.connections.close();
        self.connections.wait().await;
    }

    /// Accepts no more, lets running calls end for a moment, then closes every connection.
    pub(crate) async fn stop(self) {
        self.graceful.cancel();
        self.connections.close();
        let ended = tokio::time::timeout(GRACE, self.connections.wait()).await;
        if ended.is_err() {
            self.abrupt.cancel();
            self.connections.wait().await;
        }
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        self.abrupt.cancel();
    }
}

async fn accept(
    listener: UnixListener,
    clients: &impl Serve,
    connections: TaskTracker,
    graceful: &CancellationToken,
    abrupt: &CancellationToken,
) {
    // More clients wait to be accepted: with no descriptor left, the others could not be served.
    let room = Arc::new(Semaphore::new((descriptors() / CLIENTS_OF).max(1)));
    let mut is_starved = false;
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Once, not at every attempt until it is over.
                if !std::mem::replace(&mut is_starved, true) {
                    tracing::warn!(%error, "cannot accept connections for now");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        is_starved = false;
        let serving = clients.serve(stream, graceful.clone(), abrupt.clone());
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
}
