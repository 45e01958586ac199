//! A task's life at the scheduler: its import begins, and ends well or not.
//!
//! Callers hold the task's lock, and move what lies on the disk of the host themselves.

use std::sync::Arc;

use super::Scheduler;
use super::leases::{Lease, Reservation};
use super::state::{Generation, State, is_replaceable};
use crate::cluster::error::{Error, not_found};
use crate::dfdaemon::HostNumber;
use crate::store::{ReplicaRecord, TaskRecord, TaskState};

/// A task that was started.
#[derive(Debug)]
pub(in crate::cluster) struct Started {
    pub(in crate::cluster) generation: Generation,
    /// No collector takes the task away under its import.
    pub(super) _lease: Option<Lease>,
    /// The hosts that have something left of an earlier task with the id.
    pub(in crate::cluster) old_holders: Vec<HostNumber>,
}

impl Scheduler {
    /// Starts a task that a host imports, in place of an expired or a failed one with its id. Blocks
    /// on the disk.
    pub(in crate::cluster) fn start_task(
        self: &Arc<Self>,
        task: &TaskRecord,
        host: HostNumber,
        replica: ReplicaRecord,
    ) -> Result<Started, Error> {
        let id = &task.task_id;
        let known = {
            let state = self.state();
            if let Some(entry) = state.unexpired(id, self.now())
                && !is_replaceable(entry.task.state)
            {
                return Err(Error::TaskExists {
                    id: id.to_string(),
                    state: entry.task.state,
                });
            }
            state.tasks.contains(id)
        };
        self.records.write(task).inspect_err(|_| {
            if !known {
                // It may be in place nevertheless, and no collector would come across it.
                self.records.discard(id);
            }
        })?;
        let mut state = self.state();
        let old_holders = state.remove_task(id);
        let generation = state.insert_task(task.clone());
        state.insert_replica(host, replica);
        let lease = state
            .current(id, generation)
            .map(|entry| self.lease(id, entry));
        Ok(Started {
            generation,
            _lease: lease,
            old_holders,
        })
    }

    /// Takes a task in that another scheduler knows, unless there is one with its id. The hosts that
    /// have something left of an earlier one. Blocks on the disk.
    pub(in crate::cluster) fn learn_task(
        &self,
        task: &TaskRecord,
    ) -> Result<Vec<HostNumber>, Error> {
        let id = &task.task_id;
        if self.knows(id) {
            return Ok(Vec::new());
        }
        self.records.write(task)?;
        let mut state = self.state();
        let old_holders = state.remove_task(id);
        state.insert_task(task.clone());
        Ok(old_holders)
    }

    /// The record of a host's replica of this very task, whole or not.
    pub(in crate::cluster) fn replica_record(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Result<ReplicaRecord, Error> {
        let mut state = self.state();
        let entry = state.current(id, generation).ok_or_else(|| not_found(id))?;
        let replica = entry.replicas.get(host).ok_or_else(|| not_found(id))?;
        Ok(replica.record.clone())
    }

    /// Ends a task's import well: the host has its content and its record of it, and the other replicas are
    /// made after the delay that is set. After an error of the disk the task is as it was. Blocks on the disk.
    pub(in crate::cluster) fn succeed(
        &self,
        task: TaskRecord,
        generation: Generation,
        host: HostNumber,
        replica: ReplicaRecord,
        reservation: Reservation,
    ) -> Result<(), Error> {
        self.records.write(&task)?;
        let id = task.task_id.clone();
        let mut state = self.state();
        reservation.hand_over(&mut state);
        state.insert_replica(host, replica);
        state.replace_task(task, generation)?;
        self.replicate_later(&id);
        Ok(())
    }

    /// Ends a task's import that failed. The host keeps a record of it, or nothing. Blocks on the disk.
    pub(in crate::cluster) fn fail(
        &self,
        task: TaskRecord,
        generation: Generation,
        host: HostNumber,
        replica: Option<ReplicaRecord>,
    ) -> Result<(), Error> {
        let id = task.task_id.clone();
        let written = self.records.write(&task);
        let counts = task.state != TaskState::Failed;
        let mut state = self.state();
        state.replace_task(task, generation)?;
        if let Some(entry) = state.current(&id, generation).filter(|_| counts) {
            // To a scheduler that takes it for a success, or for one that goes on, the importer is a replica.
            entry.counted_peers.add_failed(host, true);
        }
        match replica {
            Some(replica) => state.insert_replica(host, replica),
            None => drop(state.remove_replica(&id, host)),
        }
        drop(state);
        Ok(written?)
    }
}

impl State {
    /// Takes a record of this very task in place of the one before.
    fn replace_task(&mut self, task: TaskRecord, generation: Generation) -> Result<(), Error> {
        let id = task.task_id.clone();
        let entry = self
            .current(&id, generation)
            .ok_or_else(|| not_found(&id))?;
        entry.task = task;
        let expires_at = entry.expires_at();
        self.tasks.expire_at(expires_at);
        self.tell_of_task(&id);
        Ok(())
    }
}
