//! Queries of the scheduler: tasks, replicas and hosts by their ids. They change nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Scheduler;
use super::replicas::ReplicaState;
use super::state::{Generation, HostStatus, TaskView};
use super::task::{Replica, Task};
use crate::call::faults::registry::TagAndApplication;
use crate::cluster::error::{Error, not_found};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;

/// How long schedulers remember a replica that have the quirk.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(8);

impl Scheduler {
    /// The scheduler's view of a task.
    pub(crate) fn stat(&self, id: &str) -> Result<TaskView, Error> {
        let id = &given(id)?;
        let state = self.state();
        let entry = state
            .unexpired(id, self.now())
            .ok_or_else(|| not_found(id))?;
        Ok(state.view(entry, self.forgotten_before()))
    }

    /// Whether there is a task with this id that has not expired.
    pub(in crate::cluster) fn knows(&self, id: &str) -> bool {
        self.state().unexpired(id, self.now()).is_some()
    }

    /// A task that has not expired, and its replicas.
    pub(crate) fn task(&self, id: &str) -> Option<Task> {
        let state = self.state();
        let entry = state.unexpired(id, self.now())?;
        let replicas = entry.replicas.iter().map(|(host, replica)| Replica {
            host: host.name(),
            persistent: replica.record.persistent,
            complete: replica.is_whole(),
        });
        Some(Task::new(
            state.view(entry, self.forgotten_before()),
            replicas.collect(),
        ))
    }

    /// Tag and application of a task, if there is such a task and it has them.
    pub(crate) fn tag_and_application(&self, id: &str) -> TagAndApplication {
        let state = self.state();
        let task = state.tasks.get(id).map(|entry| &entry.task);
        let of_task = task.map(|task| TagAndApplication {
            tag: task.tag.as_deref().map(Into::into),
            application: task.application.as_deref().map(Into::into),
        });
        of_task.unwrap_or_default()
    }

    /// Whether a host has the whole of a task.
    pub(crate) fn has_replica(&self, host: HostNumber, id: &str) -> bool {
        let state = self.state();
        let entry = state.tasks.get(id);
        entry.is_some_and(|entry| entry.whole_replica(host).is_some())
    }

    /// Whether a host has the whole of this very task.
    pub(in crate::cluster) fn has_replica_of(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> bool {
        self.holds_this(host, id, generation) == Some(true)
    }

    /// The same; `None` if there is no such task any more.
    pub(super) fn holds_this(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Option<bool> {
        let mut state = self.state();
        let entry = state.current(id, generation)?;
        Some(entry.whole_replica(host).is_some())
    }

    /// Whether another task has taken the id.
    pub(in crate::cluster) fn is_replaced(&self, id: &str, generation: Generation) -> bool {
        let state = self.state();
        let entry = state.tasks.get(id);
        entry.is_some_and(|entry| entry.generation != generation)
    }

    /// A host's own records, ordered by id; of the one task, if one is asked for.
    pub(crate) fn local<T>(
        &self,
        host: HostNumber,
        id: Option<&str>,
        view: impl Fn(&ReplicaState) -> T,
    ) -> Vec<T> {
        let ids = id.map_or_else(
            || self.task_ids(),
            |id| TaskId::parse(id).into_iter().collect(),
        );
        // One by one: nobody waits for all of them.
        let viewed = |id: &TaskId| {
            let state = self.state();
            let replica = state.tasks.get(id)?.replicas.get(host);
            replica.filter(|replica| !replica.lost).map(&view)
        };
        ids.iter().filter_map(viewed).collect()
    }

    /// Waits until no export, import or transfer holds a task.
    #[cfg(test)]
    pub(crate) async fn holds_none(&self) {
        let mut changed = self.schedule.subscribe();
        let held = || self.state().tasks.iter().any(|entry| entry.leases > 0);
        while held() {
            // The sender is a part of the schedule: this cannot fail.
            let _ = changed.changed().await;
        }
    }

    pub(crate) fn host_status(&self, host: HostNumber) -> HostStatus {
        self.state().status(host)
    }

    /// Says that a host runs, stopped or left.
    pub(crate) fn note_host_status(&self, host: HostNumber, status: HostStatus) {
        let mut state = self.state();
        if let Some(host) = state.hosts.get_mut(host.index()) {
            host.status = status;
        }
        if status == HostStatus::Left {
            let entries = state.tasks.iter_mut();
            entries.for_each(|entry| entry.counted_peers.remove_host(host));
        }
        drop(state);
        let name = host.name();
        let data = || json!({"name": name, "state": status});
        self.events.tell("host", data);
    }

    /// How many tasks a host has, and their content in bytes.
    pub(crate) fn host_load(&self, host: HostNumber) -> (usize, u64) {
        let state = self.state();
        let host = state.hosts.get(host.index());
        host.map_or((0, 0), |host| (host.tasks, host.used))
    }

    /// The scheduler forgets what did not change since then, with the quirk for it.
    pub(in crate::cluster) fn forgotten_before(&self) -> Option<Timestamp> {
        let forgets = self.has_quirk(Quirk::ForgottenReplicas);
        forgets.then(|| {
            let now = self.now();
            now.checked_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN)
        })
    }
}

/// The id that a client gives. The scheduler refuses an empty one before it looks for a task, and knows
/// no task by what is no id.
pub(in crate::cluster) fn given(id: &str) -> Result<TaskId, Error> {
    if id.is_empty() {
        return Err(Error::EmptyTaskId);
    }
    TaskId::parse(id).ok_or_else(|| not_found(id))
}
