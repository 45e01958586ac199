//! The hosts and the scheduler together: what is imported and exported, where replicas are made,
//! when they are removed.
//!
//! A [`Cluster`] is made of parts that keep their fields to themselves: the [`Scheduler`], a
//! [`Node`] for each host, and the [`Workers`]. The work that needs
//! several parts is in `import`, `export`, `transfer` and `replica_ops`. [`Jobs`] does what is due: it makes
//! replicas by calls, and is given what calls share, which the cluster itself does not know.
//!
//! The cluster decides and keeps the books; bytes and records are moved by [`crate::store`], and
//! [`crate::grpc`] words the answers to clients. Methods that touch the disk block and say so.

mod error;
mod export;
mod failed_exports;
mod import;
mod jobs;
mod lanes;
mod node;
mod peers;
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

pub(crate) use self::error::Error;
use self::error::not_found;
pub(crate) use self::export::{Export, ExportRequest, OutputRequest};
pub(crate) use self::import::{ImportRequest, RequestedTtl};
pub(crate) use self::jobs::Jobs;
pub use self::jobs::Waiting;
use self::node::Node;
pub(crate) use self::peers::PeerSettings;
pub use self::peers::{DEFAULT_PARENT_TIMEOUT, ParsePeerAddressError, PeerAddress};
#[cfg(feature = "control")]
pub(crate) use self::scheduler::TaskFilter;
pub(crate) use self::scheduler::{Generation, ReplicaState, ServedPiece, TaskView};
pub use self::scheduler::{HostStatus, Replica, Task};
use self::scheduler::{Lease, Reservation, Scheduler, State};
pub use self::settings::DEFAULT_HOSTS;
use self::settings::Rules;
pub(crate) use self::settings::Settings;
use self::threads::Workers;
pub(crate) use self::transfer::Arrival;
use crate::call::clock::Clock;
use crate::call::events::Events;
use crate::call::gate::Gate;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::store::aside::aside_within;
use crate::store::state_dir::StateDir;
use crate::store::{Disk, TaskStore, layout};

/// How long the removal of a temporary state directory may take, which may hold many files.
const TAKEN_AWAY_WITHIN: Duration = Duration::from_secs(30);

/// Hosts and scheduler. The files of this room call its methods and reach for none of its fields. The
/// order of the locks is written on [`Scheduler`].
#[derive(Debug)]
pub(crate) struct Cluster {
    rules: Rules,
    peers: PeerSettings,
    disk: Disk,
    scheduler: Arc<Scheduler>,
    /// By the host's number.
    nodes: Vec<Node>,
    workers: Workers,
    /// Held as long as anybody works in it.
    state_dir: StateDir,
}

impl Cluster {
    /// Opens the state directory: keeps what is whole, sweeps the rest. Blocks on the disk.
    pub(crate) fn open(
        settings: Settings,
        (clock, events, gate): (Clock, Events, Gate),
        disk: Disk,
        state_dir: StateDir,
    ) -> io::Result<Arc<Self>> {
        let dir = state_dir.path();
        let hosts = settings.hosts;
        let peers = settings.peers.clone();
        let rules = Rules::new(settings);
        let adjusted = Arc::clone(rules.adjusted());
        let records = layout::scheduler(dir);
        let records = TaskStore::open(disk.clone(), &records)?;
        let scheduler = Scheduler::new(records, hosts, adjusted, clock, events);
        let open_node = |number: HostNumber| Node::open(disk.clone(), dir, number);
        let nodes = HostNumber::all(hosts).map(open_node);
        let cluster = Self {
            nodes: nodes.collect::<io::Result<Vec<_>>>()?,
            rules,
            workers: Workers::new(gate),
            disk,
            scheduler: Arc::new(scheduler),
            peers,
            state_dir,
        };
        let loaded = cluster.load()?;
        cluster.replace_state(loaded);
        if cluster.has_quirk(Quirk::RestartWipes) {
            let wiped = cluster.hosts().try_for_each(|host| cluster.wipe(host));
            wiped.map_err(io::Error::other)?;
        }
        Ok(Arc::new(cluster))
    }

    /// Reads what lies on the disk, and sweeps what is no part of it. Blocks on the disk.
    pub(crate) fn load(&self) -> io::Result<State> {
        let mut state = self.scheduler.load()?;
        for (number, node) in self.hosts().zip(&self.nodes) {
            node.store().load(|record| state.adopt(number, record))?;
        }
        Ok(state)
    }

    /// Takes what was [loaded](Self::load) in place of what is known. Blocks on the disk.
    pub(crate) fn replace_state(&self, loaded: State) {
        for node in &self.nodes {
            node.store().close_all_kept();
        }
        self.scheduler.replace_state(loaded);
    }

    pub(crate) fn scheduler(&self) -> &Arc<Scheduler> {
        &self.scheduler
    }

    fn workers(&self) -> &Workers {
        &self.workers
    }

    /// What was given at the start, and what of it can change.
    fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The hosts that other processes run.
    fn peers(&self) -> &PeerSettings {
        &self.peers
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

    /// The hosts' numbers.
    fn hosts(&self) -> impl Iterator<Item = HostNumber> {
        HostNumber::all(self.nodes.len())
    }

    fn node(&self, host: HostNumber) -> Result<&Node, Error> {
        let node = self.nodes.get(host.index());
        node.ok_or(Error::NoSuchHost { host })
    }

    /// Breaks off what is running and waits until nothing is, but for what hangs in a file system.
    pub(crate) async fn stop(&self) {
        self.workers.stop().await;
    }

    /// Removes a temporary state directory: a call that hangs may hold on to the cluster, which
    /// would take it along.
    pub(crate) async fn take_state_away(self: &Arc<Self>) {
        let cluster = Arc::clone(self);
        let removed = aside_within(TAKEN_AWAY_WITHIN, move || cluster.state_dir.take_away());
        if removed.await.is_err() {
            tracing::warn!(
                "the state directory is left for a later start to remove: there is too much in it, or its file system hangs"
            );
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.workers.stopping().cancel();
    }
}
