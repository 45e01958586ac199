//! One host of a running fake, and what is done to it from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::error::StartError;
use super::host_server::HostServer;
use super::host_tcp::Service;
use super::own_thread::run_on;
use crate::cluster::{Cluster, HostStatus};
use crate::dfdaemon::HostNumber;

/// One host of a running fake.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let host = daemon.host(1).expect("there are three");
/// assert_eq!(host.name(), "host-1");
/// block_on(host.leave());
/// assert!(!host.endpoint().exists());
/// block_on(host.start())?;
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Host<'a>(pub(crate) &'a Arc<HostServer>);

impl Host<'_> {
    pub(crate) fn number(&self) -> HostNumber {
        self.0.served.number
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.0.served.cluster
    }

    /// `host-0`, `host-1`, …
    #[must_use]
    pub fn name(&self) -> String {
        self.number().name()
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

    /// The TCP address that programs elsewhere call, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.0.tcp(Service::Download)
    }

    /// The TCP address that other hosts and the scheduler call, if there is one.
    #[must_use]
    pub fn upload_tcp(&self) -> Option<SocketAddr> {
        self.0.tcp(Service::Upload)
    }

    /// The TCP address where other hosts of 1.5 take pieces by packets, if there is one.
    #[must_use]
    pub fn piece_tcp(&self) -> Option<SocketAddr> {
        self.0.tcp(Service::Pieces)
    }

    /// Whether the host runs, stopped or left.
    #[must_use]
    pub fn status(&self) -> HostStatus {
        self.cluster().scheduler().host_status(self.number())
    }

    /// Stops the host: its connections break, its sockets go, its disk stays and its replicas
    /// still count.
    pub async fn stop(&self) {
        // Nothing is bound that could not be.
        let _ = self.become_status(HostStatus::Stopped).await;
    }

    /// Stops the host and removes it from the scheduler: its replicas no longer count, and persistent
    /// ones are made again on other hosts.
    pub async fn leave(&self) {
        let _ = self.become_status(HostStatus::Left).await;
    }

    /// Undoes a stop or a leave. Replicas that were made on other hosts stay.
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

    /// The same for a host of a state that is restored next: its missing replicas are scheduled later.
    pub(crate) async fn restore_status(&self, status: HostStatus) -> Result<(), StartError> {
        match status {
            HostStatus::Running => self.0.listen().await?,
            HostStatus::Stopped | HostStatus::Left => self.0.close().await,
        }
        self.cluster()
            .scheduler()
            .note_host_status(self.number(), status);
        Ok(())
    }

    pub(crate) fn info(&self) -> HostInfo {
        let (tasks, used_bytes) = self.cluster().scheduler().host_load(self.number());
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
    pub(crate) name: String,
    endpoint: PathBuf,
    upload_endpoint: PathBuf,
    pub(crate) state: HostStatus,
    pub(crate) tasks: usize,
    pub(crate) used_bytes: u64,
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
        for _ in 0..20 {
            // In this order: the stop begins first, on the thread of the fake.
            let ((), started) = tokio::join!(host.stop(), host.start());
            started.unwrap();
            for endpoint in [host.endpoint(), host.upload_endpoint()] {
                std::os::unix::net::UnixStream::connect(endpoint).unwrap();
            }
        }
        daemon.stop().await;
    }

    /// Between the first listener and the last one a dfdaemon knows its server, and not its service.
    #[tokio::test]
    async fn the_service_is_registered_when_all_listeners_are_up() {
        use tonic_health::pb::HealthCheckRequest;
        use tonic_health::pb::health_server::Health as _;

        let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
        let host = daemon.host(0).unwrap();
        let health = crate::grpc::download_health(&host.0.served);
        let check = async |service: &str| {
            let service = service.to_owned();
            let asked = health.check(tonic::Request::new(HealthCheckRequest { service }));
            asked.await.err().map(|status| status.code())
        };
        let service = "dfdaemon.v2.DfdaemonDownload";
        assert_eq!((check("").await, check(service).await), (None, None));
        host.stop().await;
        let not_found = Some(tonic::Code::NotFound);
        assert_eq!((check("").await, check(service).await), (None, not_found));
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let watched = health.watch(tonic::Request::new(request)).await;
        assert_eq!(watched.err().map(|status| status.code()), not_found);
        host.start().await.unwrap();
        assert_eq!(check(service).await, None);
        daemon.stop().await;
    }
}
