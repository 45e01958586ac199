//! Schedules the replication of tasks that lack persistent replicas.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Job;
use crate::call::clock::later;
use crate::cluster::Cluster;
use crate::dfdaemon::quirks::Quirk;
use crate::store::TaskState;

/// How many tasks are looked at while the lock on all of them is held.
const LOOKED_AT_AT_ONCE: usize = 64;

/// Longer than a thread takes to wake up that waits for a lock.
const WAKING_UP: Duration = Duration::from_micros(100);

impl Cluster {
    /// Schedules the missing replicas after a host came or went.
    pub(crate) async fn look_for_missing_replicas(self: &Arc<Self>) {
        let put_down = |cluster: &Arc<Self>| {
            cluster.put_down_missing_replicas();
            Ok(())
        };
        // It goes through all tasks.
        if let Err(error) = self.blocking_while((), put_down).await {
            tracing::error!(%error, "replicas that are missing may not be made");
        }
    }

    /// Puts down replication of every task that has fewer persistent replicas than it could have.
    pub(in crate::cluster) fn put_down_missing_replicas(&self) {
        let now = self.now();
        self.for_each_short_of_replicas(|id, _| self.agenda.add(now, Job::Replicate(id)));
    }

    /// The same when room has come free: whoever waits, for the replication delay or for another
    /// attempt, goes on waiting.
    pub(in crate::cluster) fn put_down_replicas_that_fit_now(&self) {
        let delay = self.adjusted().replication_delay;
        self.for_each_short_of_replicas(|id, updated_at| {
            let due = later(updated_at, delay);
            self.agenda.add_if_absent(due, Job::Replicate(id));
        });
    }

    /// Tells each task that has fewer persistent replicas than it could have, and when it changed. Of
    /// many tasks that takes a while.
    fn for_each_short_of_replicas(&self, tell: impl Fn(Arc<str>, Timestamp)) {
        if self.has_quirk(Quirk::OneTryReplication) {
            return;
        }
        for ids in self.task_ids().chunks(LOOKED_AT_AT_ONCE) {
            let short: Vec<_> = {
                let (state, now) = (self.state(), self.now());
                let is_short = |id: &Arc<str>| {
                    let entry = state.live(id, now)?;
                    let succeeded = entry.task.state == TaskState::Succeeded;
                    let short = succeeded && !self.missing_replicas(&state, entry).is_empty();
                    short.then(|| (Arc::clone(id), entry.task.updated_at))
                };
                ids.iter().filter_map(is_short).collect()
            };
            // Who waits for the lock gets it only if it is free for longer than waking up takes.
            if ids.len() == LOOKED_AT_AT_ONCE {
                std::thread::sleep(WAKING_UP);
            }
            for (id, updated_at) in short {
                tell(id, updated_at);
            }
        }
    }
}
