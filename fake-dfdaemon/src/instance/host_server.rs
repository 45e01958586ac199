//! The sockets of one host.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::runtime::Handle;

use super::error::StartError;
use crate::cluster::{Cluster, HostStatus};
use crate::dfdaemon::quirks::Quirk;
use crate::grpc::connection_limit::Room;
use crate::grpc::listener::{Server, asynchronous};
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
    running: Mutex<Vec<(Server, SocketFile)>>,
    /// Where the sockets are served.
    pub(super) runtime: Handle,
}

impl HostServer {
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        number: usize,
        admission: Admission,
        room: Room,
        endpoint: PathBuf,
        mode: u32,
    ) -> Self {
        let upload_endpoint = layout::upload_socket(cluster.state_dir().path(), number);
        let served = ServedHost {
            cluster: Arc::clone(cluster),
            number,
            admission,
            up: Arc::default(),
        };
        Self {
            endpoint,
            upload_endpoint,
            served,
            room,
            mode,
            running: Mutex::default(),
            runtime: Handle::current(),
        }
    }

    /// The connections to all hosts together.
    pub(crate) fn open_connections(&self) -> usize {
        self.room.connections()
    }

    /// Binds the sockets and serves them, unless it does already.
    pub(crate) fn listen(&self) -> Result<(), StartError> {
        let mut running = self.running();
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
        for (path, services) in sockets {
            let (listener, file) = listen_at(path, self.mode, state)?;
            let listener =
                asynchronous(listener).map_err(|error| StartError::Other(error.into()))?;
            let server = Server::start(listener, services, self.room.clone());
            started.push((server, file));
        }
        *running = started;
        self.served.up.store(true, Ordering::Release);
        Ok(())
    }

    /// Breaks every connection.
    pub(crate) async fn close(&self) {
        self.served.up.store(false, Ordering::Release);
        let running = std::mem::take(&mut *self.running());
        let (servers, files): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        // All of them before anything is waited for: a start that comes meanwhile binds them anew.
        drop::<Vec<SocketFile>>(files);
        join_all(servers.into_iter().map(Server::close)).await;
    }

    /// Lets running calls end for a moment.
    pub(crate) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running());
        let (servers, files): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        // While the sockets are open: closed ones may be taken for stale, and replaced.
        drop::<Vec<SocketFile>>(files);
        join_all(servers.into_iter().map(Server::stop)).await;
    }

    fn running(&self) -> MutexGuard<'_, Vec<(Server, SocketFile)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn become_status(&self, status: HostStatus) -> Result<(), StartError> {
        let (cluster, number) = (&self.served.cluster, self.served.number);
        if status == HostStatus::Running {
            let starts = cluster.host_status(number) != HostStatus::Running;
            if starts {
                let begun_anew = cluster.blocking(move |cluster| {
                    cluster.forget_uploads(number);
                    if cluster.has_quirk(Quirk::RestartWipes) {
                        cluster.wipe(number)?;
                    }
                    Ok(())
                });
                let begun_anew = begun_anew.await;
                begun_anew.map_err(|error| StartError::Other(error.into()))?;
            }
            self.listen()?;
            cluster.note_host_status(number, status);
            cluster.look_for_missing_replicas().await;
        } else {
            cluster.note_host_status(number, status);
            tokio::join!(self.close(), cluster.look_for_missing_replicas());
        }
        Ok(())
    }
}
