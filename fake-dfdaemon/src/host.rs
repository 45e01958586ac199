//! One host of a running fake: its sockets, and what is done to it from outside.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::builder::StartError;
use crate::cluster::{Cluster, HostStatus};
use crate::dfdaemon::host_name;
use crate::grpc::connection_limit::Room;
use crate::grpc::listener::{Server, asynchronous};
use crate::grpc::socket::{SocketFile, listen_at};
use crate::grpc::{Admission, ServedHost, download_routes, upload_routes};
use crate::own_thread::run_on;

/// A host's sockets, and what is needed to bind them again.
#[derive(Debug)]
pub(crate) struct HostServer {
    pub(crate) endpoint: PathBuf,
    pub(crate) upload_endpoint: PathBuf,
    served: ServedHost,
    room: Room,
    mode: u32,
    running: Mutex<Vec<(Server, SocketFile)>>,
    /// Where the sockets are served.
    runtime: Handle,
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
        let upload = format!("{}.upload.sock", host_name(number));
        let upload_endpoint = cluster.state_dir().path().join(upload);
        let served = ServedHost {
            cluster: Arc::clone(cluster),
            number,
            admission,
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
                download_routes(&self.served).map_err(other)?,
            ),
            (
                &self.upload_endpoint,
                upload_routes(&self.served).map_err(other)?,
            ),
        ];
        let state = self.served.cluster.state_dir().path();
        let mut started = Vec::new();
        for (path, routes) in sockets {
            let (listener, file) = listen_at(path, self.mode, state)?;
            let listener =
                asynchronous(listener).map_err(|error| StartError::Other(error.into()))?;
            let server = Server::start(listener, routes, self.room.clone());
            started.push((server, file));
        }
        *running = started;
        Ok(())
    }

    /// Breaks every connection.
    pub(crate) async fn close(&self) {
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

    async fn become_status(&self, status: HostStatus) -> Result<(), StartError> {
        let (cluster, number) = (&self.served.cluster, self.served.number);
        if status == HostStatus::Running {
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

/// One host of a running fake.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a>(pub(crate) &'a Arc<HostServer>);

impl Host<'_> {
    fn number(&self) -> usize {
        self.0.served.number
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.0.served.cluster
    }

    /// `host-0`, `host-1`, …
    #[must_use]
    pub fn name(&self) -> String {
        host_name(self.number())
    }

    /// The socket that programs on the host call.
    #[must_use]
    pub fn endpoint(&self) -> &Path {
        &self.0.endpoint
    }

    /// The socket that other hosts and the scheduler call.
    #[must_use]
    pub fn upload_endpoint(&self) -> &Path {
        &self.0.upload_endpoint
    }

    /// Whether the host runs, stopped or left.
    #[must_use]
    pub fn status(&self) -> HostStatus {
        self.cluster().host_status(self.number())
    }

    /// Stops the host: its connections break, its sockets go, its disk stays and its replicas
    /// still count.
    pub async fn stop(&self) {
        // Nothing is bound that could not be.
        let _ = self.become_status(HostStatus::Stopped).await;
    }

    /// Stops the host and takes it out of the cluster: its replicas do not count any more, and
    /// persistent ones are made again elsewhere.
    pub async fn leave(&self) {
        let _ = self.become_status(HostStatus::Left).await;
    }

    /// Undoes a stop or a leave. What was made elsewhere stays.
    ///
    /// # Errors
    ///
    /// If a socket cannot be bound again.
    pub async fn start(&self) -> Result<(), StartError> {
        self.become_status(HostStatus::Running).await
    }

    /// Goes on if nobody waits any more.
    pub(crate) async fn become_status(&self, status: HostStatus) -> Result<(), StartError> {
        let server = Arc::clone(self.0);
        let become_so = async move { server.become_status(status).await };
        run_on(&self.0.runtime, become_so).await
    }

    /// The same for a host of a state that is not there yet: what it lacks is put down later.
    pub(crate) async fn restore_status(&self, status: HostStatus) -> Result<(), StartError> {
        match status {
            HostStatus::Running => self.0.listen()?,
            HostStatus::Stopped | HostStatus::Left => self.0.close().await,
        }
        self.cluster().note_host_status(self.number(), status);
        Ok(())
    }

    pub(crate) fn info(&self) -> HostInfo {
        let (tasks, used_bytes) = self.cluster().host_load(self.number());
        HostInfo {
            name: self.name(),
            endpoint: self.endpoint().to_owned(),
            upload_endpoint: self.upload_endpoint().to_owned(),
            state: self.status(),
            tasks,
            used_bytes,
            capacity_bytes: self.cluster().capacity(),
        }
    }
}

/// A host as the control API shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostInfo {
    name: String,
    endpoint: PathBuf,
    upload_endpoint: PathBuf,
    state: HostStatus,
    tasks: usize,
    used_bytes: u64,
    capacity_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use crate::FakeDfdaemon;

    /// A start binds both sockets, whatever connections of theirs are still being closed.
    #[tokio::test]
    async fn a_start_may_come_while_a_stop_closes() {
        let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
        let host = daemon.host(0).unwrap();
        let mut stopping = tokio_test::task::spawn(host.stop());
        // It waits for the connections, which nobody has closed yet.
        tokio_test::assert_pending!(stopping.poll());
        host.start().await.unwrap();
        stopping.await;
        daemon.stop().await;
    }
}
