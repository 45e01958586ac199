//! One running fake: a cluster, its hosts and what was given at the start.

pub(crate) mod error;
pub(crate) mod host;
pub(crate) mod host_server;
mod host_tcp;
mod open;
pub(crate) mod own_thread;
pub(crate) mod preload;
mod restore;
pub(crate) mod runtime;
pub(crate) mod settings;
pub(crate) mod snapshot;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::runtime::Handle;

use self::error::StartError;
use self::host::Host;
use self::host_server::HostServer;
use self::own_thread::run_on;
use self::preload::{Preloaded, preload};
use self::settings::Settings;
use crate::call::CallContext;
use crate::call::gate::CALLS_END_WITHIN;
use crate::cluster::{Cluster, Jobs};
use crate::store::CancelFlag;

/// What the control API and the library act on.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) hosts: Vec<Arc<HostServer>>,
    /// Clock, faults, journal, gate and the like, which services and jobs share.
    pub(crate) calls: Arc<CallContext>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) started_at: Timestamp,
    /// Held while a snapshot is taken or restored.
    pub(crate) snapshots: tokio::sync::Mutex<()>,
    pub(crate) settings: Settings,
    /// The address of the control API, if it has one.
    pub(crate) control_tcp: OnceLock<SocketAddr>,
    /// Where everything runs.
    pub(crate) runtime: Handle,
}

impl Instance {
    pub(crate) fn break_off(&self) {
        self.cluster.stopping().cancel();
        self.calls.gate.end_all();
    }

    /// What the cluster is to do by itself.
    pub(crate) fn jobs(&self) -> Jobs {
        Jobs::new(&self.cluster, &self.calls)
    }

    pub(crate) fn host(&self, name: &str) -> Option<Host<'_>> {
        self.hosts.iter().map(Host).find(|host| host.name() == name)
    }

    /// Closes the sockets of hosts that a fault leaves stale, and binds those again that none does.
    /// Goes on if nobody waits any more.
    ///
    /// # Errors
    ///
    /// If a socket cannot be bound again. The others are.
    pub(crate) async fn follow_faults(self: &Arc<Self>) -> Result<(), StartError> {
        let instance = Arc::clone(self);
        let follow = async move {
            let hosts = instance.hosts.iter().map(|host| host.follow_faults());
            join_all(hosts).await.into_iter().collect()
        };
        run_on(&self.runtime, follow).await
    }

    pub(crate) async fn collect(&self) -> io::Result<()> {
        let collected = self.cluster.blocking(|cluster| cluster.collect()).await;
        collected.map_err(io::Error::other)
    }

    /// Imports the files that are there from the start.
    pub(crate) async fn import_preloaded(&self) -> Result<Vec<Preloaded>, StartError> {
        let work = |cluster: &Arc<Cluster>, dir: &Path, ttl, cancel: &CancelFlag| {
            preload(cluster, dir, ttl, cancel)
        };
        Ok(self.on_preload(work).await?.unwrap_or_default())
    }

    /// Fails if the files to preload are gone, or their file system hangs.
    pub(crate) async fn look_at_preload(&self) -> Result<(), StartError> {
        let looked = self.on_preload(|_, dir, _, cancel| preload::look(dir, cancel));
        match tokio::time::timeout(CALLS_END_WITHIN, looked).await {
            Ok(looked) => looked.map(|_| ()),
            Err(_) => Err(StartError::Preload {
                path: self.settings.preload.clone().unwrap_or_default(),
                source: "its file system does not answer".into(),
            }),
        }
    }

    /// Does blocking work on the files to preload, if there are any.
    async fn on_preload<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Cluster>, &Path, Duration, &CancelFlag) -> Result<T, StartError>
        + Send
        + 'static,
    ) -> Result<Option<T>, StartError> {
        let ttl = self.settings.cluster.max_ttl;
        let Some(dir) = self.settings.preload.clone() else {
            return Ok(None);
        };
        let flag = CancelFlag::default();
        // Breaks off a preload that nobody waits for any more.
        let _cancels = flag.drop_guard();
        let done = self
            .cluster
            .blocking_on_all(move |cluster| work(cluster, &dir, ttl, &flag));
        let done = done.await;
        let done = done.map_err(|error| StartError::Other(error.into()))?;
        done.map(Some)
    }
}
