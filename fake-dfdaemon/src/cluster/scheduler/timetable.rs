//! Which jobs are scheduled, and when: the scheduler's side of [`Schedule`](super::schedule::Schedule).

use std::collections::HashSet;

use futures_util::future::OptionFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use super::job::Job;
use super::schedule::Blocked;
use crate::call::clock::later;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;

/// Above this share of its capacity a host evicts, in percent.
const EVICT_ABOVE: u64 = 80;

/// Down to this share it does, in percent.
const EVICT_DOWN_TO: u64 = 60;

impl Scheduler {
    /// Replaces the schedule with the jobs that the state needs.
    pub(crate) fn reschedule_all(&self) {
        self.reschedule_upkeep();
        self.schedule_missing_replicas(&HashSet::new());
    }

    /// Replaces the schedule with the jobs that any state needs, and the replication of some tasks.
    pub(super) fn reschedule(&self, short: Vec<TaskId>) {
        self.reschedule_upkeep();
        let now = self.now();
        for id in short {
            self.schedule.add(now, Job::Replicate(id));
        }
    }

    fn reschedule_upkeep(&self) {
        let now = self.now();
        self.schedule.clear();
        self.schedule.add(now, Job::Collect);
        self.schedule.add(now, Job::EmptyTrash);
    }

    /// Empties the schedule, before another state comes.
    pub(crate) fn forget_jobs(&self) {
        self.schedule.clear();
    }

    /// Schedules the removal of what was moved out of the way.
    pub(crate) fn empty_trash_soon(&self) {
        self.schedule.add(self.now(), Job::EmptyTrash);
    }

    /// Schedules a task's replication, after the delay that is set. The lock of the state is held since the task
    /// lacks a replica: a collection that saw it first would schedule it by the time of its record.
    pub(super) fn replicate_later(&self, id: &TaskId) {
        let due = later(self.now(), self.adjusted().replication_delay);
        self.schedule.add(due, Job::Replicate(id.clone()));
    }

    /// Schedules another attempt of a job, after the collector's interval.
    pub(in crate::cluster) fn retry_later(&self, job: Job) {
        let again = later(self.now(), self.adjusted().gc_interval);
        self.schedule.add(again, job);
    }

    /// Sees to it that the collector is not waited for longer than its interval, as it would be
    /// when time was set back.
    pub(in crate::cluster) fn collect_within_an_interval(&self) {
        self.retry_later(Job::Collect);
    }

    /// When a collector that begins now is to begin again.
    pub(in crate::cluster) fn next_collection(&self) -> Timestamp {
        later(self.now(), self.adjusted().gc_interval)
    }

    /// Schedules the collector.
    pub(in crate::cluster) fn collect_at(&self, at: Timestamp) {
        self.schedule.add(at, Job::Collect);
    }

    /// Schedules eviction if a host holds more than it should.
    pub(in crate::cluster) fn evict_if_full(&self, host: HostNumber) {
        if self.is_over(host, EVICT_ABOVE) {
            self.schedule.add(self.now(), Job::Evict(host));
        }
    }

    /// Whether a host that evicts has to go on.
    pub(in crate::cluster) fn is_too_full(&self, host: HostNumber) -> bool {
        self.is_over(host, EVICT_DOWN_TO)
    }

    fn is_over(&self, host: HostNumber, percent: u64) -> bool {
        let Some(capacity) = self.adjusted().capacity else {
            return false;
        };
        let used = self
            .state()
            .hosts
            .get(host.index())
            .map_or(0, |host| host.used);
        u128::from(used) * 100 > u128::from(capacity) * u128::from(percent)
    }

    /// Waits for the next job that is due. It counts as running until it has [ended](Self::ended).
    /// `None` when the daemon stops.
    pub(in crate::cluster) async fn next_job(&self, stopping: &CancellationToken) -> Option<Job> {
        let mut changed = self.schedule.subscribe();
        let mut moves = self.clock.moves();
        while !stopping.is_cancelled() {
            self.collect_within_an_interval();
            if let Some(job) = self.schedule.start_due(self.now()) {
                return Some(job);
            }
            let next = self.schedule.next_due().unwrap_or(Timestamp::MAX);
            tokio::select! {
                () = stopping.cancelled() => {}
                _ = changed.changed() => {}
                Some(_) = OptionFuture::from(moves.as_mut().map(watch::Receiver::changed)) => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
        None
    }

    /// Says that a job has ended.
    pub(in crate::cluster) fn ended(&self, job: &Job) {
        self.schedule.ended(job);
    }

    /// Says that a running job waits.
    pub(in crate::cluster) fn block(&self, job: &Job, blocked: Blocked) {
        self.schedule.block(job, blocked);
    }

    /// Says that a running job does not wait any more.
    pub(in crate::cluster) fn unblock(&self, job: &Job) {
        self.schedule.unblock(job);
    }

    /// Waits until nothing is running and nothing is due, and tells what is left for later times;
    /// `None` when the daemon stops.
    pub(in crate::cluster) async fn settle(
        &self,
        stopping: &CancellationToken,
    ) -> Option<Vec<(Job, Option<Timestamp>)>> {
        let mut changed = self.schedule.subscribe();
        let mut moves = self.clock.moves();
        loop {
            self.collect_within_an_interval();
            if let Some(waiting) = self.schedule.settled(self.now()) {
                return Some(waiting);
            }
            tokio::select! {
                () = stopping.cancelled() => return None,
                _ = changed.changed() => {}
                // Set back, it takes away what was due.
                Some(_) = OptionFuture::from(moves.as_mut().map(watch::Receiver::changed)) => {}
            }
        }
    }
}
