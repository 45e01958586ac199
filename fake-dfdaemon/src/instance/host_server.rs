//! The sockets of one host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::error::StartError;
use crate::cluster::{Cluster, HostStatus};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::grpc::accepting::Accepting;
use crate::grpc::connection_limit::Room;
use crate::grpc::listener::Server;
use crate::grpc::socket::{SocketFile, listen_at};
use crate::grpc::{Admission, ServedHost, download_services, upload_services};
use crate::store::layout;

/// A host's sockets, and what is needed to bind them again.
#[derive(Debug)]
pub(crate) struct HostServer {
    pub(crate) endpoint: PathBuf,
    pub(crate) upload_endpoint: PathBuf,
    pub(super) served: ServedHost,
    room: Room,
    mode: u32,
    /// Locked while names are bound or removed, and not while connections end.
    running: Mutex<Vec<(Server, Option<SocketFile>)>>,
    tcp: Tcp,
    /// Where the sockets are served.
    pub(super) runtime: Handle,
}

/// The TCP addresses of one host, if it has any: of its download and of its upload service.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    wanted: Option<[SocketAddr; 2]>,
    /// Since the first time that they were bound: a host that starts again has the same ones.
    bound: [OnceLock<SocketAddr>; 2],
}

impl Tcp {
    /// Those of a host by its number: two ports in a row for each, or any two if the port is 0.
    pub(crate) fn of_host(address: SocketAddr, number: HostNumber) -> Option<Self> {
        let port = |offset: usize| match address.port() {
            0 => Some(0),
            first => u16::try_from(usize::from(first) + 2 * number.index() + offset).ok(),
        };
        let at = |offset| Some(SocketAddr::new(address.ip(), port(offset)?));
        let wanted = Some([at(0)?, at(1)?]);
        Some(Self {
            wanted,
            ..Self::default()
        })
    }

    fn address(&self, service: usize) -> Option<SocketAddr> {
        self.bound.get(service)?.get().copied()
    }

    /// Binds the address of one service, if it is to have one.
    fn bind(&self, service: usize) -> Result<Option<Accepting>, StartError> {
        let wanted = self.wanted.as_ref().and_then(|wanted| wanted.get(service));
        let Some(address) = self.address(service).or(wanted.copied()) else {
            return Ok(None);
        };
        let (accepting, bound) =
            Accepting::tcp(address).map_err(|source| StartError::HostTcp { address, source })?;
        if let Some(slot) = self.bound.get(service) {
            slot.get_or_init(|| bound);
        }
        Ok(Some(accepting))
    }
}

impl HostServer {
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        number: HostNumber,
        admission: Admission,
        room: Room,
        endpoint: PathBuf,
        mode: u32,
        tcp: Tcp,
    ) -> Self {
        let upload_endpoint = layout::upload_socket(cluster.state_dir().path(), number);
        let served = ServedHost {
            cluster: Arc::clone(cluster),
            number,
            admission,
            is_for_peers: false,
            up: Arc::default(),
        };
        Self {
            endpoint,
            upload_endpoint,
            served,
            room,
            mode,
            running: Mutex::default(),
            tcp,
            runtime: Handle::current(),
        }
    }

    /// The TCP address of its download service, and of its upload service.
    pub(super) fn tcp(&self) -> [Option<SocketAddr>; 2] {
        [self.tcp.address(0), self.tcp.address(1)]
    }

    /// The connections to all hosts together.
    pub(crate) fn open_connections(&self) -> usize {
        self.room.connections()
    }

    /// Binds the sockets and serves them, unless it does already.
    pub(crate) async fn listen(&self) -> Result<(), StartError> {
        let mut running = self.running.lock().await;
        if !running.is_empty() {
            return Ok(());
        }
        let other = |error: tonic_reflection::server::Error| StartError::Other(error.into());
        let sockets = [
            (
                &self.endpoint,
                download_services(&self.served).map_err(other)?,
            ),
            (
                &self.upload_endpoint,
                upload_services(&self.served).map_err(other)?,
            ),
        ];
        let state = self.served.cluster.state_dir().path();
        let mut started = Vec::new();
        for (service, (path, services)) in sockets.into_iter().enumerate() {
            let (listener, file) = listen_at(path, self.mode, state).await?;
            let listener =
                Accepting::unix(listener).map_err(|error| StartError::Other(error.into()))?;
            if let Some(listener) = self.tcp.bind(service)? {
                let server = Server::start(listener, services.clone(), self.room.clone());
                started.push((server, None));
            }
            let server = Server::start(listener, services, self.room.clone());
            started.push((server, Some(file)));
        }
        *running = started;
        self.served.up.store(true, Ordering::Release);
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
        let mut running = self.running.lock().await;
        self.served.up.store(false, Ordering::Release);
        let (servers, files): (Vec<_>, Vec<_>) = std::mem::take(&mut *running).into_iter().unzip();
        // While the sockets are open: closed ones may be taken for stale, and replaced.
        join_all(files.into_iter().flatten().map(SocketFile::remove)).await;
        servers
    }

    pub(super) async fn become_status(&self, status: HostStatus) -> Result<(), StartError> {
        let (cluster, number) = (&self.served.cluster, self.served.number);
        if status == HostStatus::Running {
            let starts = cluster.scheduler().host_status(number) != HostStatus::Running;
            if starts {
                let begun_anew = cluster.blocking(move |cluster| {
                    cluster.scheduler().forget_uploads(number);
                    if cluster.has_quirk(Quirk::RestartWipes) {
                        cluster.wipe(number)?;
                    }
                    Ok(())
                });
                let begun_anew = begun_anew.await;
                begun_anew.map_err(|error| StartError::Other(error.into()))?;
            }
            self.listen().await?;
            cluster.scheduler().note_host_status(number, status);
            cluster.look_for_missing_replicas().await;
        } else {
            cluster.scheduler().note_host_status(number, status);
            tokio::join!(self.close(), cluster.look_for_missing_replicas());
        }
        Ok(())
    }
}
