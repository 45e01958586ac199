//! Lists of tasks: all, or selected ones.

use std::time::{Duration, Instant};

use super::Scheduler;
use super::state::{State, TaskEntry, Walk};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;

/// How long tasks are looked at while the lock on all of them is held.
const LOOKS_FOR: Duration = Duration::from_micros(200);

/// How many are looked at between two looks at the time, each of which takes as long as that at a task.
const LOOKS: usize = 64;

/// Longer than a thread takes to wake up that waits for a lock.
const WAKING_UP: Duration = Duration::from_micros(100);

/// Which tasks are meant: those that all of it is true of.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskFilter {
    /// Fewer persistent replicas than their importers asked for.
    pub(crate) lacking: bool,
    /// In the id, the tag or the application.
    pub(crate) text: Option<String>,
    /// The host has a replica, or a part of one.
    pub(crate) host: Option<HostNumber>,
}

impl TaskFilter {
    fn is_all(&self) -> bool {
        !self.lacking && self.text.is_none() && self.host.is_none()
    }

    fn is_text_in(&self, entry: &TaskEntry) -> bool {
        let Some(text) = self.text.as_deref() else {
            return true;
        };
        let task = &entry.task;
        let fields = [
            Some(&*task.task_id),
            task.tag.as_deref(),
            task.application.as_deref(),
        ];
        fields
            .into_iter()
            .flatten()
            .any(|field| field.contains(text))
    }
}

impl Scheduler {
    /// The ids of all tasks, ordered.
    pub(crate) fn task_ids(&self) -> Vec<TaskId> {
        let mut ids: Vec<_> = self
            .state()
            .tasks
            .iter()
            .map(|entry| entry.task.task_id.clone())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// How many tasks the scheduler knows.
    pub(crate) fn task_count(&self) -> usize {
        self.state().tasks.len()
    }

    /// The ids of the tasks that are meant, ordered. Of many tasks that takes a while.
    pub(crate) fn task_ids_of(&self, filter: &TaskFilter) -> Vec<TaskId> {
        if filter.is_all() {
            return self.task_ids();
        }
        let (now, forgotten_before) = (self.now(), self.forgotten_before());
        let look = |state: &State, entry: &TaskEntry| {
            let lacks = || {
                let there = state.persistent_replicas(entry, forgotten_before);
                there < entry.task.persistent_replica_count
            };
            let is_meant = !entry.is_expired(now)
                && filter.is_text_in(entry)
                && filter
                    .host
                    .is_none_or(|host| entry.replicas.get(host).is_some())
                && (!filter.lacking || lacks());
            is_meant.then(|| entry.task.task_id.clone())
        };
        let mut meant = self.look_at_each(look);
        meant.sort_unstable();
        meant
    }

    /// Looks at every task, in no order, and returns what is found in each: to order the ids of very many takes
    /// longer than to look. The lock on all of them is held for a short while at a time; a task that comes or goes
    /// meanwhile is seen or not.
    pub(super) fn look_at_each<T>(&self, look: impl Fn(&State, &TaskEntry) -> Option<T>) -> Vec<T> {
        let (mut walk, mut found) = (Walk::default(), Vec::new());
        loop {
            let state = self.state();
            if state.tasks.begins_again(&mut walk) {
                found.clear();
            }
            let until = Instant::now() + LOOKS_FOR;
            while Instant::now() < until {
                for _ in 0..LOOKS {
                    match state.tasks.next_of(&mut walk) {
                        Some(entry) => found.extend(look(&state, entry)),
                        None => return found,
                    }
                }
            }
            drop(state);
            // A waiting thread gets the lock only if it is free for longer than waking up takes.
            std::thread::sleep(WAKING_UP);
        }
    }
}
