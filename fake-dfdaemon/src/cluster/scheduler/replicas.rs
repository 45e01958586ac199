//! The replicas of one task by the host that has them.
//!
//! Hosts are few and tasks are many: the smallest node of a `BTreeMap` has space for eleven replicas, ten
//! times what a task needs.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::dfdaemon::HostNumber;
use crate::store::ReplicaRecord;

/// A host's replica of a task, whole or not.
#[derive(Debug)]
pub(crate) struct ReplicaState {
    pub(crate) record: ReplicaRecord,
    /// Transfers to other hosts that are running.
    pub(crate) uploading: u64,
    /// Pieces that were read for somebody: another host, or a client that wants the content.
    pub(crate) uploaded: u64,
    /// Whether the scheduler takes it for a persistent one, if the scheduler did not learn of a change of
    /// that, with the quirks for it.
    pub(crate) told_persistent: Option<bool>,
    /// Whether its content is gone and only the scheduler still counts it, with the quirk for it.
    pub(crate) lost: bool,
    /// Whether the scheduler never heard of it, with the quirk for it: nothing of it was asked for.
    pub(crate) untold: bool,
    /// What transfers wait for while it is not finished, if any do.
    awaited: Option<Awaited>,
}

/// Cancelled when another replica is in its place, or none.
#[derive(Debug, Default)]
struct Awaited(CancellationToken);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The replicas of one task, ordered by the host's number.
#[derive(Debug, Default)]
pub(crate) struct Replicas(Vec<(HostNumber, ReplicaState)>);

impl ReplicaState {
    pub(crate) fn new(record: ReplicaRecord) -> Self {
        Self {
            record,
            uploading: 0,
            uploaded: 0,
            told_persistent: None,
            lost: false,
            untold: false,
            awaited: None,
        }
    }

    /// As the events tell of it.
    pub(super) fn to_event(&self, host: HostNumber) -> Value {
        json!({
            "task_id": self.record.task_id,
            "host": host.name(),
            "persistent": self.record.persistent,
            "complete": self.is_whole(),
        })
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_finished() && !self.lost
    }

    /// Whether its host has had all of it.
    pub(crate) fn is_finished(&self) -> bool {
        self.record.finished_at.is_some()
    }

    /// Whether it is whole and serves nobody: it failed since, as by an export that its client left, with
    /// the quirk for it.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_whole() && self.record.failed_at.is_some()
    }

    /// Whether it has neither finished nor failed: an export that asks for its pieces waits.
    pub(crate) fn stalls(&self) -> bool {
        !self.is_finished() && self.record.failed_at.is_none()
    }

    /// What those wait for.
    pub(super) fn awaited(&mut self) -> CancellationToken {
        self.awaited.get_or_insert_default().0.clone()
    }

    /// Whether the scheduler counts it.
    pub(crate) fn counts(&self) -> bool {
        self.is_finished() && !self.untold
    }

    /// Whether a scheduler that forgets what did not change since then still knows it.
    pub(crate) fn is_known(&self, forgotten_before: Option<Timestamp>) -> bool {
        forgotten_before.is_none_or(|before| self.record.updated_at > before)
    }

    /// Whether it is one of the task's persistent replicas, as far as the scheduler knows, or as far as the
    /// host does if the scheduler never heard of it.
    pub(crate) fn is_persistent(&self) -> bool {
        let told = self.told_persistent.filter(|_| !self.untold);
        told.unwrap_or(self.record.persistent)
    }

    /// What its host has with it: tasks, and bytes of content.
    pub(super) fn load(&self) -> (usize, u64) {
        if self.is_whole() {
            (1, self.record.content_length)
        } else {
            (0, 0)
        }
    }
}

impl Replicas {
    pub(crate) fn get(&self, host: HostNumber) -> Option<&ReplicaState> {
        let index = self.index(host).ok()?;
        self.0.get(index).map(|(_, replica)| replica)
    }

    pub(crate) fn get_mut(&mut self, host: HostNumber) -> Option<&mut ReplicaState> {
        let index = self.index(host).ok()?;
        self.0.get_mut(index).map(|(_, replica)| replica)
    }

    /// Puts a replica in, and returns the one that the host had.
    pub(crate) fn insert(
        &mut self,
        host: HostNumber,
        replica: ReplicaState,
    ) -> Option<ReplicaState> {
        if let Some(there) = self.get_mut(host) {
            return Some(std::mem::replace(there, replica));
        }
        let (Ok(index) | Err(index)) = self.index(host);
        self.0.reserve_exact(1);
        self.0.insert(index, (host, replica));
        None
    }

    pub(crate) fn remove(&mut self, host: HostNumber) -> Option<ReplicaState> {
        let index = self.index(host).ok()?;
        Some(self.0.remove(index).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (HostNumber, &ReplicaState)> {
        self.0.iter().map(|(host, replica)| (*host, replica))
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = HostNumber> {
        self.iter().map(|(host, _)| host)
    }

    /// Where a host's replica is, or would be.
    fn index(&self, host: HostNumber) -> Result<usize, usize> {
        self.0.binary_search_by_key(&host, |(host, _)| *host)
    }
}

impl IntoIterator for Replicas {
    type Item = (HostNumber, ReplicaState);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
