//! A task that was started at the scheduler: it ends Succeeded with what was stored, else Failed.

use std::sync::Arc;

use crate::cluster::{Cluster, Error, Generation, Lease, Reservation, TaskView, not_found};
use crate::dfdaemon::quirks::Quirk;
use crate::store::{CancelFlag, Content, ReplicaRecord, TaskRecord, TaskState};

/// Content that is in the store, but in no task yet.
pub(in crate::cluster) struct Stored {
    pub(in crate::cluster) content: Content,
    pub(in crate::cluster) crc32: Option<Vec<u32>>,
    pub(in crate::cluster) reservation: Reservation,
}

/// A task that was started at the scheduler. Dropped before it has ended, it is Failed.
pub(in crate::cluster) struct Begun {
    pub(in crate::cluster) cluster: Arc<Cluster>,
    pub(in crate::cluster) host: usize,
    pub(in crate::cluster) task: TaskRecord,
    pub(in crate::cluster) generation: Generation,
    pub(in crate::cluster) ended: bool,
    /// No collector takes the task away under its import.
    pub(in crate::cluster) _lease: Option<Lease>,
}

impl Begun {
    /// Ends the task: Succeeded with what was stored, else Failed.
    pub(in crate::cluster) fn end(
        mut self,
        stored: Result<Stored, Error>,
        cancel: &CancelFlag,
    ) -> Result<TaskView, Error> {
        let ended = stored.and_then(|stored| {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(before) = self.cluster.forgotten_before()
                && self.task.created_at <= before
            {
                let peer_id = self.cluster.new_peer_id(self.host);
                return Err(Error::ImporterForgotten { peer_id });
            }
            self.succeed(stored)
        });
        self.ended = true;
        ended.inspect_err(|error| {
            let quirk = |quirk| self.cluster.has_quirk(quirk);
            let leaves_a_trace = !matches!(error, Error::Cancelled);
            let sticks = matches!(error, Error::Cancelled | Error::NoSpace { .. });
            if sticks && quirk(Quirk::StuckUploading) {
                return;
            }
            if let Err(error) = self.fail(leaves_a_trace) {
                tracing::warn!(task = self.task.task_id, %error, "a failed import left its record");
            }
        })
    }

    fn succeed(&self, mut stored: Stored) -> Result<TaskView, Error> {
        let cluster = &self.cluster;
        let id = &self.task.task_id;
        let _locked = cluster.task_lock(id);
        let now = cluster.now_in_seconds();
        let task = TaskRecord {
            state: TaskState::Succeeded,
            updated_at: now,
            ..self.task.clone()
        };
        let replica = self.replica_record(|record| ReplicaRecord {
            piece_crc32: stored.crc32.take().map(Arc::from),
            updated_at: now,
            finished_at: Some(now),
            ..record
        })?;
        let store = cluster.store(self.host)?;
        store.place(&mut stored.content, &replica)?;
        cluster.scheduler.write(&task).inspect_err(|_| {
            // A copy without its task is nobody's.
            store.discard(id);
        })?;
        let view = {
            let mut state = cluster.state();
            stored.reservation.hand_over(&mut state);
            state.insert_replica(self.host, replica);
            let entry = state
                .same(id, self.generation)
                .ok_or_else(|| not_found(id))?;
            entry.task = task.clone();
            state.tell_of_task(id);
            TaskView {
                // The importer tells its own time, the scheduler whole seconds.
                task: TaskRecord {
                    updated_at: cluster.now(),
                    ..task
                },
                persistent_replicas: 1,
                replicas: 1,
            }
        };
        if cluster.has_quirk(Quirk::LinkedLinks)
            && store.content_link(id).is_some()
            && store.open_content_of(id, self.task.content_length).is_err()
        {
            // A link that leads nowhere from the store: other hosts wait for a piece for ever.
            cluster.set_poisoned(self.host, id, self.generation, true);
        }
        cluster.replicate_later(&Arc::from(id.as_str()));
        cluster.evict_if_full(self.host);
        Ok(view)
    }

    /// Marks the task Failed. The host keeps a record of it, unless nothing shall be left.
    fn fail(&self, leaves_a_trace: bool) -> Result<(), Error> {
        let cluster = &self.cluster;
        let id = &self.task.task_id;
        let _locked = cluster.task_lock(id);
        let now = cluster.now_in_seconds();
        let state = if cluster.has_quirk(Quirk::FailedAsSucceeded) {
            TaskState::Succeeded
        } else {
            TaskState::Failed
        };
        let task = TaskRecord {
            state,
            updated_at: now,
            ..self.task.clone()
        };
        let replica = self.replica_record(|record| ReplicaRecord {
            updated_at: now,
            failed_at: Some(now),
            ..record
        })?;
        let written = cluster.scheduler.write(&task);
        let mut state = cluster.state();
        let entry = state
            .same(id, self.generation)
            .ok_or_else(|| not_found(id))?;
        entry.task = task;
        state.tell_of_task(id);
        if leaves_a_trace {
            state.insert_replica(self.host, replica.clone());
        } else {
            state.remove_replica(id, self.host);
        }
        drop(state);
        written?;
        if leaves_a_trace {
            cluster.store(self.host)?.write_record(&replica)?;
        }
        Ok(())
    }

    fn replica_record(
        &self,
        change: impl FnOnce(ReplicaRecord) -> ReplicaRecord,
    ) -> Result<ReplicaRecord, Error> {
        let id = &self.task.task_id;
        let mut state = self.cluster.state();
        let entry = state
            .same(id, self.generation)
            .ok_or_else(|| not_found(id))?;
        let replica = entry.replicas.get(self.host).ok_or_else(|| not_found(id))?;
        Ok(change(replica.record.clone()))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.ended {
            // A panic on the way: there is nobody left to tell.
            let _ = self.fail(true);
        }
    }
}
