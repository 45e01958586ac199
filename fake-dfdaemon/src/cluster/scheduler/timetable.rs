//! What is put down to be done, and when: the scheduler's side of [`Agenda`](super::agenda::Agenda).

use std::sync::Arc;

use futures_util::future::OptionFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use super::agenda::Parked;
use super::job::Job;
use crate::call::clock::later;
use crate::dfdaemon::HostNumber;

/// Above this share of its capacity a host evicts, in percent.
const EVICT_ABOVE: u64 = 80;

/// Down to this share it does, in percent.
const EVICT_DOWN_TO: u64 = 60;

impl Scheduler {
    /// Replaces what was put down with the jobs that the state needs.
    pub(crate) fn schedule_all_anew(&self) {
        let now = self.now();
        self.agenda.clear();
        self.agenda.add(now, Job::Collect);
        self.agenda.add(now, Job::EmptyTrash);
        self.schedule_missing_replicas(None);
    }

    /// Forgets what was put down, before another state comes.
    pub(crate) fn forget_jobs(&self) {
        self.agenda.clear();
    }

    /// Puts the removal down of what was put out of the way.
    pub(crate) fn empty_trash_soon(&self) {
        self.agenda.add(self.now(), Job::EmptyTrash);
    }

    /// Puts a task's replication down for when the scheduler gets to it.
    pub(in crate::cluster) fn replicate_later(&self, id: &Arc<str>) {
        let due = later(self.now(), self.adjusted().replication_delay);
        self.agenda.add(due, Job::Replicate(Arc::clone(id)));
    }

    /// Puts a job down for another attempt, after the collector's interval.
    pub(in crate::cluster) fn retry_later(&self, job: Job) {
        let again = later(self.now(), self.adjusted().gc_interval);
        self.agenda.add(again, job);
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

    /// Puts the collector down.
    pub(in crate::cluster) fn collect_at(&self, at: Timestamp) {
        self.agenda.add(at, Job::Collect);
    }

    /// Puts eviction down if a host holds more than it should.
    pub(in crate::cluster) fn evict_if_full(&self, host: HostNumber) {
        if self.is_over(host, EVICT_ABOVE) {
            self.agenda.add(self.now(), Job::Evict(host));
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
        let mut changed = self.agenda.subscribe();
        let mut moves = self.clock.moves();
        while !stopping.is_cancelled() {
            self.collect_within_an_interval();
            if let Some(job) = self.agenda.start_due(self.now()) {
                return Some(job);
            }
            let next = self.agenda.next_due().unwrap_or(Timestamp::MAX);
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
        self.agenda.ended(job);
    }

    /// Says that a running job waits.
    pub(in crate::cluster) fn park(&self, job: &Job, parked: Parked) {
        self.agenda.park(job, parked);
    }

    /// Says that a running job does not wait any more.
    pub(in crate::cluster) fn unpark(&self, job: &Job) {
        self.agenda.unpark(job);
    }

    #[cfg(test)]
    pub(in crate::cluster) fn is_running(&self, job: &Job) -> bool {
        self.agenda.is_running(job)
    }

    /// Waits until nothing is running and nothing is due, and tells what is left for later times;
    /// `None` when the daemon stops.
    pub(in crate::cluster) async fn settle(
        &self,
        stopping: &CancellationToken,
    ) -> Option<Vec<(Job, Option<Timestamp>)>> {
        let mut changed = self.agenda.subscribe();
        let mut moves = self.clock.moves();
        loop {
            self.collect_within_an_interval();
            if let Some(waiting) = self.agenda.settled(self.now()) {
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
