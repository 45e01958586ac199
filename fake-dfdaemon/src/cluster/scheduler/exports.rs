//! What the scheduler knows of exports: where the content of one can come from, what one counts, and
//! what a failed one leaves with the quirk for it.

use std::ops::Range;
use std::sync::Arc;

use dfdaemon_api::piece::PieceLayout;

use super::Scheduler;
use super::leases::Lease;
use super::replicas::ReplicaState;
use super::state::Generation;
use crate::cluster::error::{Error, not_found};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{ReplicaRecord, TaskRecord, TaskState};

/// A task that an export asks for.
#[derive(Debug)]
pub(in crate::cluster) struct Found {
    pub(in crate::cluster) task: TaskRecord,
    pub(in crate::cluster) lease: Lease,
    /// Whether this host has all of it: then the CRC-32 of each piece, unless nobody computed them.
    pub(in crate::cluster) held: Option<Option<Arc<[u32]>>>,
    /// Whether other hosts could serve it.
    pub(in crate::cluster) is_served: bool,
}

/// A piece that a host can send to a peer.
#[derive(Clone, Debug)]
pub(crate) struct ServedPiece {
    pub(crate) number: u32,
    /// In bytes, from the start of the content.
    pub(crate) range: Range<u64>,
    /// Unless nobody computed it.
    pub(crate) crc32: Option<u32>,
    pub(in crate::cluster) content_length: u64,
}

impl Scheduler {
    /// The pieces that a host has and that peers get: of a poisoned replica none.
    pub(crate) fn pieces_to_serve(&self, host: HostNumber, id: &str) -> Option<PieceLayout> {
        let state = self.state();
        let replica = state.tasks.get(id)?.whole_replica(host)?;
        let record = &replica.record;
        let layout = PieceLayout::new(record.content_length, record.piece_length).ok();
        layout.filter(|_| !replica.is_poisoned())
    }

    /// One of them.
    pub(crate) fn piece_to_serve(
        &self,
        host: HostNumber,
        id: &str,
        number: u32,
    ) -> Option<ServedPiece> {
        let range = self.pieces_to_serve(host, id)?.range(number)?;
        let state = self.state();
        let record = &state.tasks.get(id)?.whole_replica(host)?.record;
        let crc32 = record.piece_crc32.as_deref();
        Some(ServedPiece {
            number,
            range,
            crc32: crc32.and_then(|crc32| crc32.get(number as usize).copied()),
            content_length: record.content_length,
        })
    }

    /// Counts a piece that a host sends to a peer.
    pub(in crate::cluster) fn count_served(&self, host: HostNumber, id: &str) {
        let mut state = self.state();
        let entry = state.tasks.get_mut(id);
        if let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) {
            replica.uploaded += 1;
        }
    }

    /// Looks a task up for an export on a host, and holds it.
    pub(in crate::cluster) fn find(
        self: &Arc<Self>,
        host: HostNumber,
        id: &TaskId,
    ) -> Result<Found, Error> {
        let now = self.now();
        let mut state = self.state();
        let entry = state.unexpired(id, now).ok_or_else(|| not_found(id))?;
        let succeeded = entry.task.state == TaskState::Succeeded;
        let held = entry.whole_replica(host).filter(|_| succeeded);
        let held = held.map(|replica| replica.record.piece_crc32.clone());
        let is_served = succeeded && self.offers_any(&state, entry, host);
        let task = entry.task.clone();
        let entry = state.tasks.get_mut(id).ok_or_else(|| not_found(id))?;
        Ok(Found {
            task,
            lease: self.lease(id, entry),
            held,
            is_served,
        })
    }

    /// Counts a piece that is read for a client that wants the content.
    pub(in crate::cluster) fn count_uploaded(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) {
        self.change_replica(host, id, generation, |replica| replica.uploaded += 1);
    }

    /// Marks a host's whole replica of this very task as failed: it serves nobody from now on.
    pub(crate) fn poison(&self, host: HostNumber, id: &str, generation: Generation) {
        let now = self.now_in_seconds();
        self.change_replica(host, id, generation, |replica| {
            if replica.is_whole() {
                (replica.record.failed_at, replica.record.updated_at) = (Some(now), now);
            }
        });
    }

    /// An export has begun, or ended well, on a host: its replica of this very task serves others again.
    pub(in crate::cluster) fn cure(&self, host: HostNumber, id: &str, generation: Generation) {
        let now = self.now_in_seconds();
        self.change_replica(host, id, generation, |replica| {
            if replica.is_poisoned() {
                (replica.record.failed_at, replica.record.updated_at) = (None, now);
            }
        });
    }

    /// Changes what is known of a host's replica, if it is still that of the same task.
    pub(super) fn change_replica<T>(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
        change: impl FnOnce(&mut ReplicaState) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let entry = state.current(id, generation)?;
        entry.replicas.get_mut(host).map(change)
    }

    /// Counts an export that has parents, on a host without the task: it is a parent itself.
    pub(in crate::cluster) fn count_export(
        &self,
        (id, generation): (&str, Generation),
        host: HostNumber,
        persistent: bool,
    ) {
        if self.has_quirk(Quirk::FailedExportsCount)
            && let Some(entry) = self.state().current(id, generation)
        {
            entry.counted_peers.add_running(host, persistent);
        }
    }

    /// Counts an export that ended well, or did not begin after all, no more.
    pub(in crate::cluster) fn uncount_export(
        &self,
        (id, generation): (&str, Generation),
        host: HostNumber,
        persistent: bool,
    ) {
        if let Some(entry) = self.state().current(id, generation) {
            entry.counted_peers.remove(host, persistent);
        }
    }

    /// Notes that an export has failed: it stays counted, and is no parent any more.
    pub(in crate::cluster) fn fail_export(
        &self,
        (id, generation): (&str, Generation),
        host: HostNumber,
        persistent: bool,
    ) {
        if let Some(entry) = self.state().current(id, generation) {
            entry.counted_peers.fail(host, persistent);
        }
    }

    /// Whether there is this very task, and a host does not have the whole of it.
    pub(in crate::cluster) fn lacks_replica_of(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> bool {
        self.holds_this(host, id, generation) == Some(false)
    }

    /// Whether a host has a task, or what a failed export left of it, with the quirk for it.
    pub(in crate::cluster) fn has_something(&self, host: HostNumber, id: &str) -> bool {
        let state = self.state();
        let entry = state.tasks.get(id);
        let replica = entry.and_then(|entry| entry.replicas.get(host));
        replica.is_some_and(|replica| self.is_something(replica))
    }

    pub(super) fn is_something(&self, replica: &ReplicaState) -> bool {
        let is_left = !replica.is_finished() && self.has_quirk(Quirk::FailedExportsCount);
        replica.is_whole() || is_left
    }

    /// Whether a host has something of this very task, and not the whole.
    pub(in crate::cluster) fn has_part_of(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> bool {
        let part = self.change_replica(host, id, generation, |replica| !replica.is_finished());
        part == Some(true)
    }

    /// Whether there is this very task, and a host has no record of it but one of a failure or of a
    /// link that was refused. While a transfer runs it has.
    pub(in crate::cluster) fn lacks_record_of(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
        is_fetching: bool,
    ) -> bool {
        let mut state = self.state();
        let Some(entry) = state.current(id, generation) else {
            return false;
        };
        let replica = entry.replicas.get(host);
        replica.is_none_or(|replica| !replica.is_whole() && !is_fetching)
    }

    /// Takes the record that a host has written of a replica.
    pub(in crate::cluster) fn insert_replica(&self, host: HostNumber, record: ReplicaRecord) {
        self.state().insert_replica(host, record);
    }
}
