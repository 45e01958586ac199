//! The replicas that tasks lack, and when they are made.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Scheduler;
use super::job::Job;
use super::placement::{Step, draw, plan};
use super::replicas::ReplicaState;
use super::state::{State, TaskEntry};
use crate::call::clock::later;
use crate::call::random::Random;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::TaskState;

impl Scheduler {
    /// The tasks that have a persistent replica on a host, as far as the scheduler knows. Of many tasks that
    /// takes a while.
    pub(crate) fn kept_by(&self, host: HostNumber) -> HashSet<TaskId> {
        let state = self.state();
        let kept = state.tasks.iter().filter(|entry| {
            let replica = entry.replicas.get(host);
            let replica = replica.filter(|replica| replica.counts());
            let lost = entry.counted_peers.has_lost_persistent(host);
            replica.is_some_and(ReplicaState::is_persistent) || lost
        });
        kept.map(|entry| entry.task.task_id.clone()).collect()
    }

    /// Schedules the replication of every task that has fewer persistent replicas than it could have. A
    /// scheduler that tries once does so for those alone that a host kept which has left.
    pub(in crate::cluster) fn schedule_missing_replicas(&self, kept: &HashSet<TaskId>) {
        let (now, tries_once) = (self.now(), self.has_quirk(Quirk::OneTryReplication));
        let is_meant = |entry: &TaskEntry| !tries_once || kept.contains(&entry.task.task_id);
        for (id, _) in self.short_of_replicas(is_meant) {
            self.schedule.add(now, Job::Replicate(id));
        }
    }

    /// The tasks for which [`Self::schedule_missing_replicas`] would make jobs, of a state that nobody else has yet.
    pub(super) fn short_in(&self, state: &State) -> Vec<TaskId> {
        if self.has_quirk(Quirk::OneTryReplication) {
            // No host has left just now.
            return Vec::new();
        }
        let now = self.now();
        let short = state.tasks.iter();
        let short = short.filter(|entry| !entry.is_expired(now) && self.is_short(state, entry));
        let mut short: Vec<_> = short.map(|entry| entry.task.task_id.clone()).collect();
        short.sort_unstable();
        short
    }

    /// Schedules the replication of tasks whose replicas have room now. A job that is scheduled already
    /// keeps its time.
    pub(in crate::cluster) fn schedule_replicas_that_fit_now(&self) {
        if self.has_quirk(Quirk::OneTryReplication) {
            return;
        }
        let delay = self.adjusted().replication_delay;
        for (id, updated_at) in self.short_of_replicas(|_| true) {
            let due = later(updated_at, delay);
            self.schedule.add_if_absent(due, Job::Replicate(id));
        }
    }

    /// Each task that is meant and has fewer persistent replicas than it could have, and when it changed, in
    /// the order of their ids. Of many tasks that takes a while.
    fn short_of_replicas(&self, is_meant: impl Fn(&TaskEntry) -> bool) -> Vec<(TaskId, Timestamp)> {
        let now = self.now();
        let look = |state: &State, entry: &TaskEntry| {
            let short = !entry.is_expired(now) && is_meant(entry) && self.is_short(state, entry);
            short.then(|| (entry.task.task_id.clone(), entry.task.updated_at))
        };
        let mut short = self.look_at_each(look);
        short.sort_unstable();
        short
    }

    fn is_short(&self, state: &State, entry: &TaskEntry) -> bool {
        let succeeded = entry.task.state == TaskState::Succeeded;
        succeeded && !self.missing_replicas(state, entry).is_empty()
    }

    /// What makes a task's persistent replicas as many as were asked for: nothing, if no host has
    /// its content any more, unless the scheduler asks hosts all the same.
    fn missing_replicas(&self, state: &State, entry: &TaskEntry) -> Vec<Step> {
        let missing = state.missing_persistent(entry);
        let is_in_vain = || entry.whole_replica_count() == 0;
        // Of most tasks that is all there is to see; what every host has is seen of the others alone.
        if missing == 0 || (!self.has_quirk(Quirk::OneTryReplication) && is_in_vain()) {
            return Vec::new();
        }
        plan(missing, &state.candidates(entry, self.adjusted().capacity))
    }

    /// The next step towards the replicas that a task lacks.
    pub(in crate::cluster) fn next_replica(&self, id: &str) -> Option<Step> {
        let state = self.state();
        let entry = state.unexpired(id, self.now())?;
        let succeeded = entry.task.state == TaskState::Succeeded;
        succeeded
            .then(|| self.missing_replicas(&state, entry))
            .and_then(|steps| steps.first().copied())
    }

    /// The one attempt of a scheduler that draws hosts before it looks at their room, also when no host has
    /// the content any more.
    pub(in crate::cluster) fn only_try(&self, id: &str) -> Vec<Step> {
        let (state, now) = (self.state(), self.now());
        let entry = state.unexpired(id, now);
        let Some(entry) = entry.filter(|entry| entry.task.state == TaskState::Succeeded) else {
            return Vec::new();
        };
        let candidates = state.candidates(entry, self.adjusted().capacity);
        let seed = (entry.generation.seed(), now.as_second().unsigned_abs());
        let parts: Vec<_> = id.bytes().map(u64::from).chain([seed.0, seed.1]).collect();
        let missing = state.missing_persistent(entry);
        draw(missing, &candidates, &mut Random::of(&parts))
    }
}
