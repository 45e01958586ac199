//! The hosts and the scheduler together: what is imported and exported, where replicas are made,
//! when they are removed.
//!
//! The cluster decides and keeps the books; bytes and records are moved by [`crate::store`], and
//! [`crate::grpc`] words the answers to clients. Methods that touch the disk block and say so.

mod error;
mod export;
mod failed_exports;
mod import;
mod jobs;
mod node;
mod replica_ops;
mod scheduler;
mod settings;
mod status;
mod threads;
mod transfer;
mod turns;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::error::Error;
use self::error::not_found;
pub(crate) use self::export::{Export, ExportRequest, OutputRequest};
pub(crate) use self::import::{ImportRequest, RequestedTtl};
pub use self::jobs::Waiting;
use self::node::Node;
pub(crate) use self::scheduler::{Generation, ReplicaState, ServedPiece, State, TaskView};
pub use self::scheduler::{HostStatus, Replica, Task};
use self::scheduler::{Lease, Reservation, Scheduler};
pub(crate) use self::settings::Settings;
use self::threads::ClientFileThreads;
pub(crate) use self::transfer::Arrival;
use self::turns::REPLICATIONS;
use crate::call::Calls;
use crate::call::gate::CALLS_END_WITHIN;
use crate::dfdaemon::adjustable::Adjusted;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;
use crate::store::aside::aside_within;
use crate::store::state_dir::StateDir;
use crate::store::{Disk, layout};

/// How long the removal of a temporary state directory may take, which may hold many files.
const TAKEN_AWAY_WITHIN: Duration = Duration::from_secs(30);

/// Hosts and scheduler. The order of locks is told by [`Scheduler`].
#[derive(Debug)]
pub(crate) struct Cluster {
    release: Release,
    min_ttl: Option<Duration>,
    max_ttl: Duration,
    adjusted: Arc<Adjusted>,
    calls: Calls,
    disk: Disk,
    scheduler: Arc<Scheduler>,
    nodes: Vec<Node>,
    /// The replicas that may be made at once.
    replications: Semaphore,
    client_file_threads: ClientFileThreads,
    stopping: CancellationToken,
    running: TaskTracker,
    /// Held as long as anybody works in it.
    state_dir: StateDir,
}

impl Cluster {
    /// Opens the state directory: keeps what is whole, sweeps the rest. Blocks on the disk.
    pub(crate) fn open(
        settings: Settings,
        calls: Calls,
        disk: Disk,
        state_dir: StateDir,
    ) -> io::Result<Arc<Self>> {
        let dir = state_dir.path();
        let adjusted = Arc::new(Adjusted::new(settings.adjustable));
        let (records, known) = (layout::scheduler(dir), Arc::clone(&adjusted));
        let scheduler = Scheduler::open(disk.clone(), &records, settings.hosts, known, &calls)?;
        let open_node = |number: usize| Node::open(disk.clone(), dir, number);
        let nodes = (0..settings.hosts).map(open_node);
        let nodes = nodes.collect::<io::Result<Vec<_>>>()?;
        let cluster = Self {
            calls,
            disk,
            scheduler: Arc::new(scheduler),
            nodes,
            replications: Semaphore::new(REPLICATIONS),
            client_file_threads: ClientFileThreads::new(),
            stopping: CancellationToken::new(),
            running: TaskTracker::new(),
            release: settings.release,
            min_ttl: settings.min_ttl,
            max_ttl: settings.max_ttl,
            adjusted,
            state_dir,
        };
        let loaded = cluster.load()?;
        cluster.adopt(loaded);
        if cluster.has_quirk(Quirk::RestartWipes) {
            let wiped = (0..cluster.nodes.len()).try_for_each(|host| cluster.wipe(host));
            wiped.map_err(io::Error::other)?;
        }
        Ok(Arc::new(cluster))
    }

    /// Reads what lies on the disk, and sweeps what is no part of it. Blocks on the disk.
    pub(crate) fn load(&self) -> io::Result<State> {
        let mut state = self.scheduler.load()?;
        for (number, node) in self.nodes.iter().enumerate() {
            let records = node.store().load(|record| state.has_use_for(record))?;
            for record in records.into_iter().flatten() {
                state.insert_replica(number, record);
            }
        }
        Ok(state)
    }

    /// Takes what was [loaded](Self::load) in place of what is known.
    pub(crate) fn adopt(&self, loaded: State) {
        self.scheduler.adopt(loaded);
    }

    pub(crate) fn scheduler(&self) -> &Arc<Scheduler> {
        &self.scheduler
    }

    pub(crate) fn release(&self) -> Release {
        self.release
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn has_quirk(&self, quirk: Quirk) -> bool {
        self.adjusted().quirks.has(quirk)
    }

    /// Ends when the daemon is told to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The directories that hold all that a snapshot has to.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        layout::roots(self.state_dir.path(), self.nodes.len())
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn state_dir(&self) -> &StateDir {
        &self.state_dir
    }

    pub(crate) fn node(&self, number: usize) -> Result<&Node, Error> {
        let node = self.nodes.get(number);
        node.ok_or(Error::NoSuchHost { number })
    }

    /// Breaks off what is running and waits until nothing is, but for what hangs in a file system.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.stopping.cancel();
        self.calls.gate.end_all();
        self.running.close();
        let ended = tokio::time::timeout(CALLS_END_WITHIN, self.running.wait());
        if ended.await.is_err() {
            tracing::warn!("a call hangs in a file system, and is left behind");
        }
    }

    /// Removes a temporary state directory: a call that hangs may hold on to the cluster, which
    /// would take it along.
    pub(crate) async fn take_state_away(self: &Arc<Self>) {
        let cluster = Arc::clone(self);
        let removed = aside_within(TAKEN_AWAY_WITHIN, move || cluster.state_dir.take_away());
        if removed.await.is_err() {
            tracing::warn!("the state directory is left behind: its file system hangs");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
