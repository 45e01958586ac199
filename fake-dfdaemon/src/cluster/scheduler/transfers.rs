//! What the scheduler knows of transfers between hosts: who can serve, who serves, what has come.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Scheduler;
use super::leases::{Lease, Reservation};
use super::replicas::ReplicaState;
use super::state::Generation;
use crate::cluster::error::{Error, not_found};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{ReplicaRecord, TaskRecord};

impl Scheduler {
    /// Looks a task up that has not expired, and holds it.
    pub(in crate::cluster) fn hold(
        self: &Arc<Self>,
        id: &TaskId,
    ) -> Result<(TaskRecord, Lease), Error> {
        let now = self.now();
        let mut state = self.state();
        let entry = state.tasks.get_mut(id);
        let entry = entry.filter(|entry| !entry.is_expired(now));
        let entry = entry.ok_or_else(|| not_found(id))?;
        Ok((entry.task.clone(), self.lease(id, entry)))
    }

    /// Notes that a transfer to a host has started, unless the host has the task. What a failed export has
    /// left is no failure any more.
    pub(in crate::cluster) fn mark_transfer(
        &self,
        host: HostNumber,
        record: ReplicaRecord,
        generation: Generation,
    ) {
        let mut state = self.state();
        let Some(entry) = state.current(&record.task_id, generation) else {
            return;
        };
        match entry.replicas.get_mut(host) {
            None => state.insert_replica(host, record),
            Some(left) if !left.is_finished() => left.record = record,
            Some(_) => {}
        }
    }

    /// Forgets what has come of a task to a host, unless the host has it from elsewhere.
    pub(in crate::cluster) fn unmark_transfer(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) {
        let mut state = self.state();
        let Some(entry) = state.current(id, generation) else {
            return;
        };
        let partial =
            |replica: &ReplicaState| !replica.is_finished() && replica.record.failed_at.is_none();
        if entry.replicas.get(host).is_some_and(partial) {
            entry.replicas.remove(host);
        }
    }

    /// The generation of the task with this id.
    pub(in crate::cluster) fn generation(&self, id: &str) -> Option<Generation> {
        self.state().tasks.get(id).map(|entry| entry.generation)
    }

    /// Takes a replica whose files are in place, and gives it the room that was kept for it.
    pub(in crate::cluster) fn complete_transfer(
        &self,
        host: HostNumber,
        record: ReplicaRecord,
        reservation: Reservation,
    ) {
        let mut state = self.state();
        reservation.hand_over(&mut state);
        let id = record.task_id.clone();
        let untold = record.content_length == 0 && self.has_quirk(Quirk::UntoldEmptyCopies);
        state.insert_replica(host, record);
        let entry = state.tasks.get_mut(&id);
        if let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) {
            replica.untold = untold;
        }
    }

    /// The hosts that can serve this very task to a host; `None` if it was removed or replaced.
    pub(in crate::cluster) fn parents(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Option<Vec<HostNumber>> {
        let mut state = self.state();
        state.current(id, generation)?;
        let entry = state.tasks.get(id)?;
        Some(state.parents(entry, host, self.forgotten_before()))
    }

    /// What a transfer waits for whose parent has a replica that is neither finished nor failed.
    pub(in crate::cluster) fn awaited(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Option<CancellationToken> {
        self.change_replica(host, id, generation, ReplicaState::awaited)
    }

    /// Notes that a host serves a transfer of this very task, and returns the CRC-32 of each piece
    /// unless nobody computed them.
    pub(in crate::cluster) fn begin_upload(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Result<Option<Arc<[u32]>>, Error> {
        let begun = self.change_replica(host, id, generation, |replica| {
            replica.uploading += 1;
            replica.record.piece_crc32.clone()
        });
        begun.ok_or_else(|| not_found(id))
    }

    /// Notes that a host serves one transfer less.
    pub(in crate::cluster) fn end_upload(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) {
        self.change_replica(host, id, generation, |replica| {
            replica.uploading = replica.uploading.saturating_sub(1);
        });
    }
}
