//! The hosts that a transfer takes its pieces from: which can serve, whose files are open, how many
//! transfers each has.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::Arc;

use dfdaemon_api::piece::PieceLayout;

use tokio_util::sync::CancellationToken;

use super::TransferKey;
use crate::cluster::peers::RemoteParent;
use crate::cluster::{Cluster, Error, HostStatus};
use crate::dfdaemon::{HostNumber, host_id};
use crate::store::FoundData;

/// How many parents a scheduler gives a peer at a time.
const MAX_PARENTS: usize = 3;

/// The parents of one transfer. Dropped, they have one transfer less.
pub(super) struct Parents {
    cluster: Arc<Cluster>,
    transfer: TransferKey,
    open: BTreeMap<HostNumber, Parent>,
    /// Hosts that had a piece that was not as it should be, or refused from the start.
    bad: Vec<HostNumber>,
    /// Hosts that are offered and have nothing yet.
    stalled: Vec<HostNumber>,
    /// Whether no others are asked any more.
    only_stalled: bool,
    next: usize,
    /// Whether the scheduler has offered any host so far.
    had_any: bool,
    /// In bytes, as the task's record says.
    content_length: u64,
    /// Hosts of other processes, the next one first.
    remote: VecDeque<RemoteParent>,
}

/// A host that serves, as the transfer knows it.
pub(super) struct Parent {
    pub(super) file: File,
    pub(super) found: FoundData,
    /// The CRC-32 of each piece, unless nobody computed them.
    pub(super) crc32: Option<Arc<[u32]>>,
    pub(super) peer_id: String,
    /// Whether a piece was read of it.
    was_read: bool,
}

impl Parents {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        transfer: &TransferKey,
        content_length: u64,
        layout: PieceLayout,
    ) -> Self {
        let peers = cluster.peers();
        let TransferKey {
            host,
            id,
            generation,
        } = transfer;
        let scheduler = cluster.scheduler();
        let offers = scheduler.offers(*host, id, *generation);
        let remote = peers.parents.iter().take(MAX_PARENTS).map(|address| {
            RemoteParent::new(
                address.clone(),
                host_id(&transfer.host.name()),
                transfer.id.to_string(),
                layout,
                peers.timeout,
            )
        });
        Self {
            remote: remote.collect(),
            cluster: Arc::clone(cluster),
            transfer: transfer.clone(),
            open: BTreeMap::new(),
            bad: offers.refusing,
            stalled: offers.stalled,
            only_stalled: false,
            next: 0,
            had_any: offers.any || !peers.parents.is_empty(),
            content_length,
        }
    }

    /// The hosts that can serve right now, another one first each time.
    pub(super) fn hosts(&mut self) -> Vec<HostNumber> {
        let mut hosts = self.serving();
        let is_asked = |host: &HostNumber| !self.only_stalled || self.stalled.contains(host);
        hosts.retain(|host| !self.bad.contains(host) && is_asked(host));
        hosts.truncate(MAX_PARENTS);
        if !hosts.is_empty() {
            let count = hosts.len();
            hosts.rotate_left(self.next % count);
            self.next += 1;
        }
        hosts
    }

    /// Whether there is nobody to take a piece from but hosts that have nothing yet. Then no others are
    /// asked later: a dfdaemon has asked them once, and they had nothing either.
    pub(super) fn only_stalled(&mut self) -> bool {
        self.only_stalled =
            !self.stalled.is_empty() && self.remote.is_empty() && self.hosts().is_empty();
        self.only_stalled
    }

    /// What it waits for, as long as a host that had nothing still has nothing and runs: whatever becomes
    /// of its record, a dfdaemon goes on looking for pieces.
    pub(super) fn awaited(&mut self) -> Option<CancellationToken> {
        let scheduler = self.cluster.scheduler();
        let runs = |host: &HostNumber| scheduler.host_status(*host) == HostStatus::Running;
        self.stalled.retain(runs);
        let first = *self.stalled.first()?;
        if !self.hosts().is_empty() {
            return None;
        }
        let TransferKey { id, generation, .. } = &self.transfer;
        let awaited = self.cluster.scheduler().awaited(first, id, *generation);
        Some(awaited.unwrap_or_default())
    }

    fn serving(&mut self) -> Vec<HostNumber> {
        let TransferKey {
            host,
            id,
            generation,
        } = &self.transfer;
        let serving = self.cluster.scheduler().parents(*host, id, *generation);
        // Removed, or replaced by another import once it had expired: what is open is still what it
        // was.
        let serving = serving.unwrap_or_else(|| self.open.keys().copied().collect());
        self.had_any |= !serving.is_empty();
        serving
    }

    /// Whether the scheduler has offered any host so far.
    pub(super) fn had_any(&self) -> bool {
        self.had_any
    }

    /// The error of a transfer that has no parent left.
    pub(super) fn none_left(&self) -> Error {
        if self.had_any {
            return Error::NoCandidateParents;
        }
        match self.cluster.node(self.transfer.host) {
            Ok(node) => Error::PeerNotFound {
                peer_id: node.new_peer_id(),
            },
            Err(error) => error,
        }
    }

    /// Opens a host's content, unless it is open. Blocks on the disk.
    pub(super) fn parent(&mut self, host: HostNumber) -> Result<&Parent, Error> {
        let TransferKey { id, generation, .. } = &self.transfer;
        match self.open.entry(host) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let (node, scheduler) = (self.cluster.node(host)?, self.cluster.scheduler());
                // A link that no export here has made a target for leads nowhere.
                let file = self.cluster.open_to_read(host, id)?;
                let checked = self.cluster.check_whole(&file, id, self.content_length);
                // After it was opened: still there, it is no other task's with the same id.
                scheduler.replica_record(host, id, *generation)?;
                checked?;
                let crc32 = scheduler.begin_upload(host, id, *generation)?;
                Ok(vacant.insert(Parent {
                    file,
                    found: FoundData::default(),
                    crc32,
                    peer_id: node.new_peer_id(),
                    was_read: false,
                }))
            }
        }
    }

    /// Opens one, if there is any: from then on the transfer has what it needs, whatever becomes of
    /// the task. Blocks on the disk.
    pub(super) fn open_first(&mut self) {
        // Errors of a host are reported when a piece is asked of it.
        let mut hosts = self.serving();
        hosts.retain(|host| !self.bad.contains(host));
        let _ = hosts.into_iter().any(|host| self.parent(host).is_ok());
    }

    /// A host of another process, to be put back unless it has failed.
    pub(super) fn take_remote(&mut self) -> Option<RemoteParent> {
        self.remote.pop_front()
    }

    pub(super) fn put_back_remote(&mut self, parent: RemoteParent) {
        self.remote.push_back(parent);
    }

    /// Takes no further piece from a host.
    pub(super) fn forget(&mut self, host: HostNumber) {
        self.bad.push(host);
    }

    /// Counts a piece that a host has read for the transfer. Blocks on the disk.
    pub(super) fn count_piece(&mut self, host: HostNumber) {
        let TransferKey { id, generation, .. } = &self.transfer;
        if let Some(parent) = self.open.get_mut(&host).filter(|parent| !parent.was_read) {
            parent.was_read = true;
            // What cannot be kept open is opened again.
            let _ = self.cluster.to_read(host, id, &parent.file);
        }
        self.cluster
            .scheduler()
            .count_uploaded(host, id, *generation);
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        let TransferKey { id, generation, .. } = &self.transfer;
        for host in self.open.keys() {
            self.cluster.scheduler().end_upload(*host, id, *generation);
        }
    }
}
