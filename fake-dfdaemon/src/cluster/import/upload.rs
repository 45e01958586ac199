//! A task that was started at the scheduler: it ends Succeeded with what was stored, else Failed.

use std::sync::Arc;

use crate::cluster::scheduler::Started;
use crate::cluster::{Cluster, Error, Reservation, TaskView};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::store::{CancelFlag, Content, ReplicaRecord, TaskRecord, TaskState};

/// Content that is in the store, but in no task yet.
pub(in crate::cluster) struct StoredContent {
    pub(in crate::cluster) content: Content,
    pub(in crate::cluster) crc32: Option<Vec<u32>>,
    pub(in crate::cluster) reservation: Reservation,
}

/// A task that was started at the scheduler. Dropped before it has ended, it is Failed.
pub(in crate::cluster) struct StartedUpload {
    pub(in crate::cluster) cluster: Arc<Cluster>,
    pub(in crate::cluster) host: HostNumber,
    pub(in crate::cluster) task: TaskRecord,
    /// Holds the task, too.
    pub(in crate::cluster) started: Started,
    pub(in crate::cluster) ended: bool,
}

impl StartedUpload {
    /// Ends the task: Succeeded with what was stored, else Failed.
    pub(in crate::cluster) fn end(
        mut self,
        stored: Result<StoredContent, Error>,
        cancel: &CancelFlag,
    ) -> Result<TaskView, Error> {
        let ended = stored.and_then(|stored| {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(before) = self.cluster.scheduler().forgotten_before()
                && self.task.created_at <= before
            {
                let peer_id = self.cluster.node(self.host)?.new_peer_id();
                return Err(Error::ImporterForgotten { peer_id });
            }
            self.succeed(stored)
        });
        self.ended = true;
        ended.inspect_err(|error| {
            let quirk = |quirk| self.cluster.has_quirk(quirk);
            let cancelled = matches!(error, Error::Cancelled);
            let sticks = quirk(Quirk::StuckUploading);
            if cancelled && sticks {
                return;
            }
            let state = match error {
                Error::NoSpace { .. } if sticks => TaskState::Uploading,
                _ if quirk(Quirk::FailedAsSucceeded) => TaskState::Succeeded,
                _ => TaskState::Failed,
            };
            // With the quirks, the host deletes what it has, or has made no record yet.
            let leaves_a_trace = state == TaskState::Failed && !cancelled;
            if let Err(error) = self.fail(state, leaves_a_trace) {
                tracing::warn!(task = %self.task.task_id, %error, "a failed import left its record");
            }
        })
    }

    fn succeed(&self, mut stored: StoredContent) -> Result<TaskView, Error> {
        let cluster = &self.cluster;
        let id = &self.task.task_id;
        let _locked = cluster.scheduler().lock_task(id);
        let now = cluster.scheduler().now_in_seconds();
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
        let store = cluster.node(self.host)?.store();
        store.place(&mut stored.content, &replica)?;
        let ended = cluster.scheduler().succeed(
            task.clone(),
            self.started.generation,
            self.host,
            replica,
            stored.reservation,
        );
        ended.inspect_err(|_| {
            // A replica without its task is nobody's.
            store.discard(id);
        })?;
        let view = TaskView {
            // The importer tells its own time, the scheduler whole seconds.
            task: TaskRecord {
                updated_at: cluster.scheduler().now(),
                ..task
            },
            persistent_replicas: 1,
            replicas: 1,
        };
        cluster.scheduler().evict_if_full(self.host);
        Ok(view)
    }

    /// Ends a failed import: the task gets a state. The host keeps a record of it, unless nothing is to stay.
    fn fail(&self, state: TaskState, leaves_a_trace: bool) -> Result<(), Error> {
        let cluster = &self.cluster;
        let id = &self.task.task_id;
        let _locked = cluster.scheduler().lock_task(id);
        let now = cluster.scheduler().now_in_seconds();
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
        let kept = leaves_a_trace.then(|| replica.clone());
        let generation = self.started.generation;
        cluster
            .scheduler()
            .fail(task, generation, self.host, kept)?;
        if leaves_a_trace {
            cluster.node(self.host)?.store().write_record(&replica)?;
        }
        Ok(())
    }

    fn replica_record(
        &self,
        change: impl FnOnce(ReplicaRecord) -> ReplicaRecord,
    ) -> Result<ReplicaRecord, Error> {
        let (id, generation) = (&self.task.task_id, self.started.generation);
        let record = self
            .cluster
            .scheduler()
            .replica_record(self.host, id, generation);
        record.map(change)
    }
}

impl Drop for StartedUpload {
    fn drop(&mut self) {
        if !self.ended {
            // A panic on the way: there is nobody left to tell.
            let _ = self.fail(TaskState::Failed, true);
        }
    }
}
