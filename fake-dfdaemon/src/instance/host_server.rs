//! The sockets of one host.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::error::StartError;
use super::host_tcp::{Service, Tcp};
use crate::call::CallContext;
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::cluster::{Cluster, HostStatus};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::grpc::accepting::Accepting;
use crate::grpc::connection_limit::ConnectionLimit;
use crate::grpc::listener::{Protocol, Server};
use crate::grpc::socket::{SocketFile, listen_at};
use crate::grpc::{Admission, ServedHost, download_services, piece_packets, upload_services};
use crate::store::layout;

/// A host's sockets, and what is needed to bind them again.
#[derive(Debug)]
pub(crate) struct HostServer {
    pub(crate) endpoint: PathBuf,
    pub(crate) upload_endpoint: PathBuf,
    pub(super) served: ServedHost,
    limit: ConnectionLimit,
    mode: u32,
    /// Locked while names are bound or removed, and not while connections end.
    sockets: Mutex<Vec<Socket>>,
    tcp: Tcp,
    /// Where the sockets are served.
    pub(super) runtime: Handle,
}

/// A service on one of the host's sockets.
#[derive(Debug)]
struct Socket {
    server: Server,
    place: SocketPlace,
    /// The name, of a Unix socket. It stays when a fault has closed the socket.
    file: Option<SocketFile>,
}

#[derive(Clone, Copy, Debug)]
enum SocketPlace {
    Unix(Service),
    Tcp(Service),
}

impl Socket {
    /// Closes the socket and leaves its name. Connections go on.
    async fn close_listener(&mut self) {
        self.server.close_listener().await;
    }

    /// Removes the name, and leaves the server to be ended.
    async fn into_server(mut self) -> Server {
        // While the socket is open: a closed one may be taken for stale, and replaced.
        if let Some(file) = self.file.take() {
            file.remove().await;
        }
        self.server
    }
}

impl HostServer {
    pub(crate) fn new(
        (cluster, calls): (&Arc<Cluster>, &Arc<CallContext>),
        number: HostNumber,
        admission: Admission,
        limit: ConnectionLimit,
        endpoint: PathBuf,
        mode: u32,
        tcp: Tcp,
    ) -> Self {
        let upload_endpoint = layout::upload_socket(cluster.state_dir().path(), number);
        let served = ServedHost {
            calls: Arc::clone(calls),
            cluster: Arc::clone(cluster),
            number,
            admission,
            is_for_peers: false,
            up: Arc::default(),
            piece_tcp: tcp.pieces(),
        };
        Self {
            endpoint,
            upload_endpoint,
            served,
            limit,
            mode,
            sockets: Mutex::default(),
            tcp,
            runtime: Handle::current(),
        }
    }

    /// The TCP address of a service, if it has one.
    pub(super) fn tcp(&self, service: Service) -> Option<SocketAddr> {
        self.tcp.address(service)
    }

    /// The connections to all hosts together.
    pub(crate) fn open_connections(&self) -> usize {
        self.limit.connections()
    }

    /// Binds the sockets and serves them, unless it does already.
    pub(crate) async fn listen(&self) -> Result<(), StartError> {
        let mut sockets = self.sockets.lock().await;
        if sockets.is_empty() {
            *sockets = self.bind_all().await?;
            self.served.up.store(true, Ordering::Release);
        }
        self.close_or_open(&mut sockets).await
    }

    async fn bind_all(&self) -> Result<Vec<Socket>, StartError> {
        let other =
            |error: &'static tonic_reflection::server::Error| StartError::Other(error.into());
        let download = Protocol::Grpc(download_services(&self.served).map_err(other)?);
        let upload = Protocol::Grpc(upload_services(&self.served).map_err(other)?);
        // First: the upload service tells where it is.
        let served = [
            (
                SocketPlace::Tcp(Service::Pieces),
                piece_packets(&self.served),
            ),
            (SocketPlace::Unix(Service::Download), download.clone()),
            (SocketPlace::Tcp(Service::Download), download),
            (SocketPlace::Unix(Service::Upload), upload.clone()),
            (SocketPlace::Tcp(Service::Upload), upload),
        ];
        let mut sockets = Vec::new();
        for (place, protocol) in served {
            if let Some((listener, file)) = self.bind(place).await? {
                sockets.push(Socket {
                    server: Server::start(listener, protocol, self.limit.clone()),
                    place,
                    file,
                });
            }
        }
        Ok(sockets)
    }

    /// Binds one socket, if the host has it.
    async fn bind(
        &self,
        place: SocketPlace,
    ) -> Result<Option<(Accepting, Option<SocketFile>)>, StartError> {
        let path = match place {
            SocketPlace::Tcp(service) => {
                return Ok(self.tcp.bind(service)?.map(|listener| (listener, None)));
            }
            SocketPlace::Unix(Service::Download) => &self.endpoint,
            SocketPlace::Unix(Service::Upload) => &self.upload_endpoint,
            // There peers take pieces by calls.
            SocketPlace::Unix(Service::Pieces) => return Ok(None),
        };
        let state = self.served.cluster.state_dir().path();
        let (listener, file) = listen_at(path, self.mode, state).await?;
        let listener =
            Accepting::unix(listener).map_err(|error| StartError::Other(error.into()))?;
        Ok(Some((listener, Some(file))))
    }

    /// Closes the sockets while a fault leaves them stale, and binds them again after it.
    ///
    /// # Errors
    ///
    /// If a socket cannot be bound again. The others are.
    pub(crate) async fn follow_faults(&self) -> Result<(), StartError> {
        let mut sockets = self.sockets.lock().await;
        self.close_or_open(&mut sockets).await
    }

    async fn close_or_open(&self, sockets: &mut [Socket]) -> Result<(), StartError> {
        if sockets.is_empty() {
            return Ok(());
        }
        let (calls, name) = (&self.served.calls, self.served.number.name());
        let (is_stale, armed) = calls.faults.arm_stale(&name);
        let mut done = Ok(());
        for socket in sockets {
            if is_stale {
                socket.close_listener().await;
            } else if !socket.server.is_listening() {
                done = done.and(self.open_again(socket).await);
            }
        }
        for armed in armed {
            if armed.fire() {
                calls.note_firing(&armed, Call::arriving(Rpc::Connect, &name, json!({})));
            }
        }
        done
    }

    async fn open_again(&self, socket: &mut Socket) -> Result<(), StartError> {
        if let Some(file) = socket.file.take() {
            file.remove().await;
        }
        if let Some((listener, file)) = self.bind(socket.place).await? {
            socket.file = file;
            socket.server.listen(listener);
        }
        Ok(())
    }

    /// Breaks every connection.
    pub(crate) async fn close(&self) {
        join_all(self.take_servers().await.into_iter().map(Server::close)).await;
    }

    /// Lets running calls end for a moment.
    pub(crate) async fn stop(&self) {
        join_all(self.take_servers().await.into_iter().map(Server::stop)).await;
    }

    /// Removes the sockets' names. A start that comes while the servers end binds them anew.
    async fn take_servers(&self) -> Vec<Server> {
        let mut sockets = self.sockets.lock().await;
        self.served.up.store(false, Ordering::Release);
        let sockets = std::mem::take(&mut *sockets).into_iter();
        join_all(sockets.map(Socket::into_server)).await
    }

    pub(super) async fn become_status(&self, status: HostStatus) -> Result<(), StartError> {
        let (cluster, number) = (&self.served.cluster, self.served.number);
        if status == HostStatus::Running {
            let starts = cluster.scheduler().host_status(number) != HostStatus::Running;
            if starts {
                let begin_anew = move |cluster: &Arc<Cluster>| cluster.begin_anew(number);
                let begun_anew = cluster.blocking(begin_anew).await;
                begun_anew.map_err(|error| StartError::Other(error.into()))?;
            }
            self.listen().await?;
            cluster.scheduler().note_host_status(number, status);
            cluster.look_for_missing_replicas(HashSet::new()).await;
        } else {
            let leaves = status == HostStatus::Left
                && cluster.scheduler().host_status(number) != HostStatus::Left;
            // Only a scheduler that tries once asks for them.
            let asks = leaves && cluster.has_quirk(Quirk::OneTryReplication);
            let kept = asks.then(|| cluster.scheduler().kept_by(number));
            let kept = kept.unwrap_or_default();
            cluster.scheduler().note_host_status(number, status);
            tokio::join!(self.close(), cluster.look_for_missing_replicas(kept));
        }
        Ok(())
    }
}
