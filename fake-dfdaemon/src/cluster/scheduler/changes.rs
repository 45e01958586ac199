//! How the books change: what the scheduler knows of a task and its replicas.
//!
//! Callers hold the task's lock, and change what lies on the disk of it themselves.

use super::Scheduler;
use super::replicas::ReplicaState;
use super::state::{Generation, State, TaskEntry};
use crate::cluster::error::Error;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::ReplicaRecord;

impl Scheduler {
    /// Takes a task out, its record first, and returns the hosts that have something of it. After an
    /// error it is still there. Blocks on the disk.
    pub(in crate::cluster) fn remove_task(&self, id: &TaskId) -> Result<Vec<HostNumber>, Error> {
        // The task first, which decides: a replica without its task is nobody's.
        self.records.remove(id)?;
        Ok(self.state().remove_task(id))
    }

    /// Whether there is a task with this id, expired or not.
    pub(in crate::cluster) fn has_task(&self, id: &str) -> bool {
        self.state().tasks.contains(id)
    }

    /// Takes a host's replica out of the books, unless its content was lost: the host knows nothing
    /// of such a replica. Another one is made if it was persistent.
    pub(in crate::cluster) fn take_replica(
        &self,
        host: HostNumber,
        id: &str,
    ) -> Option<ReplicaState> {
        let mut state = self.state();
        let replica = state.tasks.get(id)?.replicas.get(host)?;
        if replica.lost {
            return None;
        }
        self.take_and_replace(&mut state, host, id)
    }

    /// Takes a host's replica of this very task out of the books. Another one is made if it was persistent.
    pub(in crate::cluster) fn take_replica_of(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Option<ReplicaState> {
        let mut state = self.state();
        state.current(id, generation)?;
        self.take_and_replace(&mut state, host, id)
    }

    fn take_and_replace(
        &self,
        state: &mut State,
        host: HostNumber,
        id: &str,
    ) -> Option<ReplicaState> {
        let removed = state.remove_replica(id, host)?;
        if removed.is_persistent() {
            self.replicate_later(&removed.record.task_id);
        }
        Some(removed)
    }

    /// Takes a host's replica out of the books if it can be evicted.
    pub(in crate::cluster) fn take_evictable(
        &self,
        host: HostNumber,
        id: &str,
    ) -> Option<ReplicaState> {
        let mut state = self.state();
        let entry = state.tasks.get(id).filter(|entry| entry.leases == 0)?;
        let replica = entry.whole_replica(host)?;
        if replica.record.persistent {
            return None;
        }
        state.remove_replica(id, host)
    }

    /// Takes a replica back whose files could not be removed.
    pub(in crate::cluster) fn put_back(&self, host: HostNumber, id: &str, replica: ReplicaState) {
        self.state().put_back(id, host, replica);
    }

    /// Notes that a host has lost its content of a task: it goes on counting, if it counts and the
    /// host has not left. Whether it had something of the task.
    pub(in crate::cluster) fn wipe_replica(
        &self,
        host: HostNumber,
        id: &str,
        had_left: bool,
    ) -> bool {
        let mut state = self.state();
        let entry = state.tasks.get(id);
        let counts = entry.and_then(|entry| entry.replicas.get(host).map(ReplicaState::counts));
        match counts {
            None => return false,
            Some(true) if !had_left => state.lose_replica(id, host),
            Some(_) => drop(state.remove_replica(id, host)),
        }
        true
    }

    /// The record of a host's whole replica, or of what a failed export left there, made persistent or
    /// evictable.
    pub(in crate::cluster) fn with_persistent(
        &self,
        host: HostNumber,
        id: &str,
        persistent: bool,
    ) -> Result<ReplicaRecord, Error> {
        let state = self.state();
        let entry = state.tasks.get(id);
        let replica = entry.and_then(|entry| entry.replicas.get(host));
        let replica = replica.filter(|replica| self.is_something(replica));
        let replica = replica.ok_or_else(|| Error::LocalTaskNotFound { id: id.to_owned() })?;
        Ok(ReplicaRecord {
            persistent,
            updated_at: self.now_in_seconds(),
            ..replica.record.clone()
        })
    }

    /// Takes the record that a host has written of its replica. If the scheduler does not hear of it, it goes on
    /// taking the replica for what it was, persistent or not.
    pub(in crate::cluster) fn replace_record(
        &self,
        host: HostNumber,
        record: ReplicaRecord,
        is_told: bool,
    ) {
        let mut state = self.state();
        let entry = state.tasks.get_mut(&record.task_id);
        if let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) {
            replica.told_persistent = (!is_told).then(|| replica.is_persistent());
            replica.record = record;
        }
    }

    /// Takes an evictable replica that a host has lost for a persistent one.
    pub(in crate::cluster) fn promote_lost(&self, host: HostNumber, id: &str) {
        if let Some(entry) = self.state().tasks.get_mut(id) {
            entry.counted_peers.promote_lost(host);
        }
    }

    /// Forgets what a host counted in memory, as a dfdaemon does that is started again.
    pub(crate) fn forget_uploads(&self, host: HostNumber) {
        for id in self.task_ids() {
            let mut state = self.state();
            let entry = state.tasks.get_mut(&id);
            if let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) {
                replica.uploaded = 0;
            }
        }
    }

    /// The tasks that have expired and that nobody holds.
    pub(in crate::cluster) fn collectable(&self) -> Vec<TaskId> {
        let (mut state, now) = (self.state(), self.now());
        state.tasks.expired(now, |entry| !self.is_held(entry))
    }

    /// Whether a task has expired and nobody holds it.
    pub(in crate::cluster) fn is_collectable(&self, id: &str) -> bool {
        let (state, now) = (self.state(), self.now());
        let entry = state.tasks.get(id);
        entry.is_some_and(|entry| entry.is_expired(now) && !self.is_held(entry))
    }

    fn is_held(&self, entry: &TaskEntry) -> bool {
        entry.leases > 0 && !self.has_quirk(Quirk::ExpiryUnderExports)
    }

    /// The replicas that a host may evict, the one first that was updated longest ago.
    pub(in crate::cluster) fn evictable(&self, host: HostNumber) -> Vec<TaskId> {
        self.state().evictable(host)
    }
}
