//! The hosts that a transfer takes its pieces from: which can serve, whose files are open, how many
//! transfers each has.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::sync::Arc;

use crate::cluster::replica_ops::check_length;
use crate::cluster::{Cluster, Error, FetchKey, ReplicaState, not_found};

/// How many parents a scheduler gives a peer at a time.
const MAX_PARENTS: usize = 3;

/// The parents of one transfer. Dropped, they have one transfer less.
pub(in crate::cluster) struct Parents {
    cluster: Arc<Cluster>,
    fetch: FetchKey,
    open: BTreeMap<usize, Parent>,
    /// Hosts that had a piece that was not as it should be.
    bad: Vec<usize>,
    next: usize,
    /// Whether the scheduler has offered any host so far.
    had_any: bool,
    /// In bytes, as the task's record says.
    content_length: u64,
}

/// A host that serves, as the transfer knows it.
pub(in crate::cluster) struct Parent {
    pub(in crate::cluster) file: File,
    /// The CRC-32 of each piece, unless nobody computed them.
    pub(in crate::cluster) crc32: Option<Arc<[u32]>>,
    pub(in crate::cluster) peer_id: String,
}

impl Parents {
    pub(in crate::cluster) fn new(
        cluster: &Arc<Cluster>,
        fetch: &FetchKey,
        content_length: u64,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            fetch: fetch.clone(),
            open: BTreeMap::new(),
            bad: Vec::new(),
            next: 0,
            had_any: false,
            content_length,
        }
    }

    /// The hosts that can serve right now, another one first each time.
    pub(in crate::cluster) fn hosts(&mut self) -> Vec<usize> {
        let mut hosts = self.serving();
        hosts.retain(|host| !self.bad.contains(host) && !self.is_poisoned(*host));
        hosts.truncate(MAX_PARENTS);
        if !hosts.is_empty() {
            let count = hosts.len();
            hosts.rotate_left(self.next % count);
            self.next += 1;
        }
        hosts
    }

    /// Whether a host would serve, did its copy serve anybody.
    pub(in crate::cluster) fn is_any_poisoned(&mut self) -> bool {
        let hosts = self.serving();
        hosts
            .iter()
            .any(|host| !self.bad.contains(host) && self.is_poisoned(*host))
    }

    fn is_poisoned(&self, host: usize) -> bool {
        change(&self.cluster, &self.fetch, host, |replica| replica.poisoned) == Some(true)
    }

    fn serving(&mut self) -> Vec<usize> {
        let (host, id, generation) = &self.fetch;
        let mut state = self.cluster.state();
        let is_there = state.same(id, *generation).is_some();
        let serving = match state.tasks.get(id) {
            Some(entry) if is_there => {
                state.parents(entry, *host, self.cluster.scheduler.forgotten_before())
            }
            // Removed, or replaced by another import once it had expired: what is open is still
            // what it was.
            _ => self.open.keys().copied().collect(),
        };
        drop(state);
        self.had_any |= !serving.is_empty();
        serving
    }

    /// The error of a transfer that has no parent left.
    pub(in crate::cluster) fn none_left(&self) -> Error {
        if self.had_any {
            return Error::NoCandidateParents;
        }
        let peer_id = self.cluster.new_peer_id(self.fetch.0);
        Error::PeerNotFound { peer_id }
    }

    /// Opens a host's content, unless it is open. Blocks on the disk.
    pub(in crate::cluster) fn parent(&mut self, host: usize) -> Result<&Parent, Error> {
        let (cluster, fetch) = (&self.cluster, &self.fetch);
        match self.open.entry(host) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let store = cluster.store(host)?;
                let file = store.open_content_of(&fetch.1, self.content_length)?;
                // After it was opened: still there, it is no other task's with the same id.
                let checked = check_length(&file, &fetch.1, self.content_length);
                let crc32 = change(cluster, fetch, host, |replica| {
                    checked.map(|()| {
                        replica.uploading += 1;
                        replica.record.piece_crc32.clone()
                    })
                });
                let crc32 = crc32.ok_or_else(|| not_found(&fetch.1))??;
                Ok(vacant.insert(Parent {
                    file,
                    crc32,
                    peer_id: cluster.new_peer_id(host),
                }))
            }
        }
    }

    /// Opens one, if there is any: from then on the transfer has what it needs, whatever becomes of
    /// the task. Blocks on the disk.
    pub(in crate::cluster) fn open_first(&mut self) {
        // What is wrong with a host is said when a piece is asked of it.
        let hosts = self.serving();
        let _ = hosts.into_iter().any(|host| self.parent(host).is_ok());
    }

    /// Takes no further piece from a host.
    pub(in crate::cluster) fn forget(&mut self, host: usize) {
        self.bad.push(host);
    }

    /// Counts a piece that a host has read for the transfer.
    pub(in crate::cluster) fn count_piece(&self, host: usize) {
        change(&self.cluster, &self.fetch, host, |replica| {
            replica.uploaded += 1;
        });
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for host in self.open.keys() {
            change(&self.cluster, &self.fetch, *host, |replica| {
                replica.uploading = replica.uploading.saturating_sub(1);
            });
        }
    }
}

/// Changes what is known of a host's copy, if it is still that of the same task.
fn change<T>(
    cluster: &Cluster,
    (_, id, generation): &FetchKey,
    host: usize,
    with: impl FnOnce(&mut ReplicaState) -> T,
) -> Option<T> {
    let mut state = cluster.state();
    let entry = state.same(id, *generation)?;
    entry.replicas.get_mut(host).map(with)
}
