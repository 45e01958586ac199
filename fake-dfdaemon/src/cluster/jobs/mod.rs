//! What the cluster does by itself, when it is due: replication, collection, eviction.

mod collection;
mod replication;

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::scheduler::{Job, Scheduler, describe};
use super::{Cluster, Error};
use crate::call::CallContext;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::trash;

/// Work that waits for the clock, or for the end of a fault or an export.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::{FakeDfdaemon, block_on};
///
/// let models = tempfile::tempdir()?;
/// std::fs::write(models.path().join("model.bin"), "content")?;
/// let daemon = FakeDfdaemon::builder()
///     .manual_clock()
///     .replication_delay(Duration::from_secs(3600))
///     .preload(models.path())
///     .start_blocking()?;
/// let waiting = block_on(daemon.settle());
/// let due = waiting.iter().filter_map(|waiting| waiting.due).min();
/// assert!(due > Some(daemon.clock().now()), "{waiting:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// What will be done, in words.
    pub what: String,
    /// When it is due, by the daemon's clock; `None` if it waits for the end of a fault or an export.
    pub due: Option<Timestamp>,
}

/// Does what a cluster is to do by itself. The replicas that it makes are calls, as those of clients are.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    cluster: Arc<Cluster>,
    calls: Arc<CallContext>,
}

impl Jobs {
    pub(crate) fn new(cluster: &Arc<Cluster>, calls: &Arc<CallContext>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            calls: Arc::clone(calls),
        }
    }

    fn scheduler(&self) -> &Arc<Scheduler> {
        self.cluster.scheduler()
    }

    /// Does what is due when it is due, until the daemon stops.
    pub(crate) async fn run(self) {
        while let Some(job) = self.scheduler().next_job(self.cluster.stopping()).await {
            let jobs = self.clone();
            self.cluster.spawn(async move {
                jobs.run_job(&job).await;
                jobs.scheduler().ended(&job);
            });
        }
    }

    async fn run_job(&self, job: &Job) {
        let cluster = &self.cluster;
        let done = match job {
            Job::Replicate(id) => {
                let replicated = self.replicate(id).await;
                if replicated.is_err() && !cluster.has_quirk(Quirk::OneTryReplication) {
                    self.scheduler().retry_later(job.clone());
                }
                replicated
            }
            Job::Collect => {
                let next = self.scheduler().next_collection();
                let held = self.calls.gate.enter().await;
                let collected = cluster
                    .blocking_holding(held, |cluster| cluster.collect())
                    .await;
                self.scheduler().collect_at(next);
                collected
            }
            Job::Evict(host) => {
                let host = *host;
                let held = self.calls.gate.enter().await;
                cluster
                    .blocking_holding(held, move |cluster| cluster.evict(host))
                    .await
            }
            Job::EmptyTrash => {
                let emptied = cluster.blocking_holding((), Cluster::empty_trash).await;
                if emptied.is_err() {
                    self.scheduler().retry_later(Job::EmptyTrash);
                }
                emptied
            }
        };
        // A job that a stop breaks off has not failed.
        if let Err(error) = done
            && !cluster.stopping().is_cancelled()
        {
            tracing::warn!(?job, %error, "a job failed");
        }
    }

    /// Waits until nothing is running and nothing is due, and tells what is left for later times.
    pub(crate) async fn settle(&self) -> Vec<Waiting> {
        let Some(jobs) = self.scheduler().settle(self.cluster.stopping()).await else {
            return Vec::new();
        };
        let jobs = jobs.into_iter().map(|(job, due)| (describe(&job), due));
        let waits = self.calls.waits.beyond(self.scheduler().now()).into_iter();
        jobs.chain(waits.map(|(what, due)| (what, Some(due))))
            .map(|(what, due)| Waiting { what, due })
            .collect()
    }
}

impl Cluster {
    /// Schedules the missing replicas after a host came or went; one that has left just now kept these tasks.
    pub(crate) async fn look_for_missing_replicas(self: &Arc<Self>, kept: HashSet<TaskId>) {
        let schedule = move |cluster: &Arc<Self>| {
            cluster.scheduler().schedule_missing_replicas(&kept);
            Ok(())
        };
        // It goes through all tasks.
        if let Err(error) = self.blocking_holding((), schedule).await {
            tracing::error!(%error, "replicas that are missing may not be made");
        }
    }

    fn empty_trash(self: &Arc<Self>) -> Result<(), Error> {
        Ok(trash::empty(self.disk(), self.state_dir().path())?)
    }
}

#[cfg(test)]
mod tests;
