//! What the cluster knows in memory: tasks, their replicas, the hosts. Pure: it knows no disk, and
//! no clock: callers pass the time.

mod tasks;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::counted_peers::CountedPeers;
use super::placement::{Candidate, Retention};
use super::replicas::{ReplicaState, Replicas};
use crate::call::clock::later;
use crate::call::events::Events;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{ReplicaRecord, TaskRecord, TaskState};
use tasks::Tasks;
pub(in crate::cluster) use tasks::Walk;

/// Tasks and hosts.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tasks: Tasks,
    pub(crate) hosts: Vec<HostState>,
    last_generation: Generation,
    /// Receives every change, once this is the state that is served.
    pub(crate) events: Option<Events>,
}

/// Tells a task from earlier and later ones with the same id, while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Generation(u64);

impl Generation {
    /// As a part of what seeds a drawing of lots.
    pub(crate) fn seed(self) -> u64 {
        self.0
    }
}

/// A task, as the scheduler and the hosts know it.
#[derive(Debug)]
pub(crate) struct TaskEntry {
    pub(crate) task: TaskRecord,
    /// Tells this task from earlier and later ones with the same id.
    pub(crate) generation: Generation,
    pub(crate) replicas: Replicas,
    /// Exports and transfers that are running: nothing is collected or evicted under them.
    pub(crate) leases: usize,
    /// What the scheduler counts beside the replicas.
    pub(crate) counted_peers: CountedPeers,
}

/// Whether a host takes part.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, HostStatus, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let host = daemon.host(1).expect("there are three");
/// block_on(host.stop());
/// assert_eq!(host.status(), HostStatus::Stopped);
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostStatus {
    /// Its sockets accept.
    Running,
    /// Its sockets are closed; its replicas still count.
    Stopped,
    /// Its sockets are closed and its replicas do not count.
    Left,
}

/// Tasks, and bytes of their content.
type Load = (usize, u64);

/// What is known of a host.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) status: HostStatus,
    /// Whole replicas.
    pub(crate) tasks: usize,
    /// Their content, in bytes.
    pub(crate) used: u64,
    /// Content that is on its way, in bytes.
    pub(crate) reserved: u64,
}

/// The scheduler's view of a task at one moment.
#[derive(Clone, Debug)]
pub(crate) struct TaskView {
    pub(crate) task: TaskRecord,
    pub(crate) persistent_replicas: u64,
    pub(crate) replicas: u64,
}

impl TaskEntry {
    /// When the task is gone.
    pub(crate) fn expires_at(&self) -> Timestamp {
        later(self.task.created_at, self.task.ttl)
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at()
    }

    pub(crate) fn whole_replica_count(&self) -> usize {
        let replicas = self.replicas.iter();
        replicas.filter(|(_, replica)| replica.is_whole()).count()
    }

    /// Whether a host's record is kept at a restart: the replica has finished or failed as the task has.
    fn has_use_for(&self, record: &ReplicaRecord) -> bool {
        let task = &self.task;
        // Exports go by the task's lengths: of other content they would be a part.
        let lengths = (task.content_length, task.piece_length);
        let as_long = (record.content_length, record.piece_length) == lengths;
        record.task_created_at == task.created_at
            && match task.state {
                TaskState::Succeeded => as_long && record.finished_at.is_some(),
                TaskState::Failed => record.failed_at.is_some(),
                TaskState::Uploading => false,
            }
    }

    /// Puts a replica in, and returns what its host has with it, and what it had before.
    fn insert_replica(
        &mut self,
        host: HostNumber,
        mut record: ReplicaRecord,
        events: Option<&Events>,
    ) -> (Load, Load) {
        // One text for all records of a task.
        record.task_id = self.task.task_id.clone();
        let mut replica = ReplicaState::new(record);
        if let Some(there) = self.replicas.get(host) {
            (replica.uploading, replica.uploaded) = (there.uploading, there.uploaded);
            if there.lost && there.counts() {
                self.counted_peers.add_lost(host, there.is_persistent());
            }
        }
        let comes = replica.load();
        if let Some(events) = events {
            events.tell("replica", || replica.to_event(host));
        }
        let replaced = self.replicas.insert(host, replica);
        (comes, replaced.map_or((0, 0), |replica| replica.load()))
    }

    /// What is taken for a host's whole replica when hosts are chosen: also one that was lost, or that
    /// does not count since it is empty. Such a host is not asked again and again.
    pub(crate) fn finished_replica(&self, host: HostNumber) -> Option<&ReplicaState> {
        let replica = self.replicas.get(host);
        replica.filter(|replica| replica.is_finished())
    }

    pub(crate) fn whole_replica(&self, host: HostNumber) -> Option<&ReplicaState> {
        self.replicas.get(host).filter(|replica| replica.is_whole())
    }
}

impl State {
    pub(crate) fn new(hosts: usize) -> Self {
        let host = || HostState {
            status: HostStatus::Running,
            tasks: 0,
            used: 0,
            reserved: 0,
        };
        let hosts = std::iter::repeat_with(host).take(hosts).collect();
        Self {
            tasks: Tasks::default(),
            hosts,
            last_generation: Generation(0),
            events: None,
        }
    }

    /// Takes over which hosts take part, and tells whether that is anything new.
    pub(super) fn take_statuses(&mut self, known: &Self) -> bool {
        let mut is_new = false;
        for (host, known) in self.hosts.iter_mut().zip(&known.hosts) {
            is_new |= host.status != known.status;
            host.status = known.status;
        }
        is_new
    }

    /// The task with this id, unless it has expired.
    pub(crate) fn unexpired(&self, id: &str, now: Timestamp) -> Option<&TaskEntry> {
        let entry = self.tasks.get(id);
        entry.filter(|entry| !entry.is_expired(now))
    }

    /// The same task as before, not a later one of the same id.
    pub(crate) fn current(&mut self, id: &str, generation: Generation) -> Option<&mut TaskEntry> {
        let entry = self.tasks.get_mut(id);
        entry.filter(|entry| entry.generation == generation)
    }

    /// Takes a host's record in at a restart, if there is use for it, and tells whether there is.
    pub(in crate::cluster) fn adopt(&mut self, host: HostNumber, record: ReplicaRecord) -> bool {
        let Some(entry) = self.tasks.get_mut(&record.task_id) else {
            return false;
        };
        let is_wanted = entry.has_use_for(&record);
        if is_wanted {
            let (comes, goes) = entry.insert_replica(host, record, self.events.as_ref());
            self.change_load(host, comes, goes);
        }
        is_wanted
    }

    /// Puts a task in, in place of an earlier one with its id, and returns its generation.
    pub(crate) fn insert_task(&mut self, task: TaskRecord) -> Generation {
        self.last_generation.0 += 1;
        let id = task.task_id.clone();
        let generation = self.last_generation;
        let entry = TaskEntry {
            task,
            generation,
            replicas: Replicas::default(),
            leases: 0,
            counted_peers: CountedPeers::default(),
        };
        if let Some(replaced) = self.tasks.insert(entry) {
            self.forget(replaced);
        }
        self.tell_of_task(&id);
        generation
    }

    /// Takes a task out, and returns the hosts that have something of it.
    pub(crate) fn remove_task(&mut self, id: &str) -> Vec<HostNumber> {
        let removed = self.tasks.remove(id);
        removed.map_or_else(Vec::new, |entry| self.forget(entry))
    }

    fn forget(&mut self, entry: TaskEntry) -> Vec<HostNumber> {
        if let Some(events) = &self.events {
            let id = &entry.task.task_id;
            events.tell("task-removed", || json!({ "task_id": id }));
        }
        let holders = entry.replicas.hosts().collect();
        for (host, replica) in entry.replicas {
            self.change_load(host, (0, 0), replica.load());
        }
        holders
    }

    pub(crate) fn insert_replica(&mut self, host: HostNumber, record: ReplicaRecord) {
        if let Some(entry) = self.tasks.get_mut(&record.task_id) {
            let (comes, goes) = entry.insert_replica(host, record, self.events.as_ref());
            self.change_load(host, comes, goes);
        }
    }

    /// Notes that a host has lost its replica. The scheduler does not hear of it.
    pub(crate) fn lose_replica(&mut self, id: &str, host: HostNumber) {
        let entry = self.tasks.get_mut(id);
        let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) else {
            return;
        };
        let goes = replica.load();
        (replica.lost, replica.uploaded) = (true, 0);
        self.change_load(host, (0, 0), goes);
    }

    pub(crate) fn remove_replica(&mut self, id: &str, host: HostNumber) -> Option<ReplicaState> {
        let replica = self.tasks.get_mut(id)?.replicas.remove(host)?;
        if let Some(events) = &self.events {
            let name = host.name();
            events.tell("replica-removed", || json!({"task_id": id, "host": name}));
        }
        self.change_load(host, (0, 0), replica.load());
        Some(replica)
    }

    /// Takes a replica back that was removed a moment ago.
    pub(crate) fn put_back(&mut self, id: &str, host: HostNumber, replica: ReplicaState) {
        let Some(entry) = self.tasks.get_mut(id) else {
            return;
        };
        let comes = replica.load();
        if let Some(events) = &self.events {
            events.tell("replica", || replica.to_event(host));
        }
        let replaced = entry.replicas.insert(host, replica);
        let goes = replaced.map_or((0, 0), |replica| replica.load());
        self.change_load(host, comes, goes);
    }

    /// Tells those who follow how a task is now.
    pub(crate) fn tell_of_task(&self, id: &str) {
        if let (Some(events), Some(entry)) = (&self.events, self.tasks.get(id)) {
            let task = &entry.task;
            events.tell("task", || {
                json!({
                    "task_id": id,
                    "state": task.state.as_str(),
                    "content_length": task.content_length,
                    "persistent_replica_count": task.persistent_replica_count,
                    "expires_at": entry.expires_at(),
                })
            });
        }
    }

    fn change_load(&mut self, host: HostNumber, comes: Load, goes: Load) {
        if let Some(host) = self.hosts.get_mut(host.index()) {
            host.tasks = (host.tasks + comes.0).saturating_sub(goes.0);
            host.used = (host.used + comes.1).saturating_sub(goes.1);
        }
    }

    pub(crate) fn status(&self, host: HostNumber) -> HostStatus {
        self.hosts
            .get(host.index())
            .map_or(HostStatus::Left, |host| host.status)
    }

    /// The scheduler's view of a task. While it is imported the importer counts already.
    pub(crate) fn view(&self, entry: &TaskEntry, forgotten_before: Option<Timestamp>) -> TaskView {
        let replicas = match entry.task.state {
            TaskState::Uploading => 1,
            _ => self.counted(entry, forgotten_before).count() as u64 + entry.counted_peers.count(),
        };
        TaskView {
            task: entry.task.clone(),
            persistent_replicas: self.persistent_replicas(entry, forgotten_before),
            replicas,
        }
    }

    /// How many persistent replicas of a task the scheduler sees.
    pub(crate) fn persistent_replicas(
        &self,
        entry: &TaskEntry,
        forgotten_before: Option<Timestamp>,
    ) -> u64 {
        if entry.task.state == TaskState::Uploading {
            return 1;
        }
        let counted = self.counted(entry, forgotten_before);
        let counted = counted.filter(|replica| replica.is_persistent()).count() as u64;
        counted + entry.counted_peers.count_persistent()
    }

    /// How many persistent replicas the scheduler sees fewer than were asked for.
    pub(crate) fn missing_persistent(&self, entry: &TaskEntry) -> u64 {
        let there = self.persistent_replicas(entry, None);
        entry.task.persistent_replica_count.saturating_sub(there)
    }

    fn counted<'a>(
        &'a self,
        entry: &'a TaskEntry,
        forgotten_before: Option<Timestamp>,
    ) -> impl Iterator<Item = &'a ReplicaState> {
        let counted = entry.replicas.iter().filter(move |(host, replica)| {
            replica.counts()
                && replica.is_known(forgotten_before)
                && self.status(*host) != HostStatus::Left
        });
        counted.map(|(_, replica)| replica)
    }

    /// What placement has to know of the hosts to place a task's replicas.
    pub(crate) fn candidates(&self, entry: &TaskEntry, capacity: Option<u64>) -> Vec<Candidate> {
        let retention = |host| match entry.finished_replica(host) {
            Some(replica) if replica.is_persistent() => Some(Retention::Persistent),
            Some(_) => Some(Retention::Evictable),
            // The scheduler counts a persistent peer of this host, and asks other hosts.
            None if entry.counted_peers.has_persistent(host) => Some(Retention::Persistent),
            None => None,
        };
        let candidate = |(number, host): (HostNumber, &HostState)| Candidate {
            host: number,
            replica: retention(number),
            lost: entry.counted_peers.lost_evictable(number),
            counts: host.status != HostStatus::Left,
            runs: host.status == HostStatus::Running,
            has_room: has_room(host, entry.task.content_length, capacity),
            used: host.used + host.reserved,
        };
        let numbers = HostNumber::all(self.hosts.len());
        numbers.zip(&self.hosts).map(candidate).collect()
    }

    /// The replicas that a host may evict, the one first that was updated longest ago.
    pub(crate) fn evictable(&self, host: HostNumber) -> Vec<TaskId> {
        let mut evictable: Vec<_> = self
            .tasks
            .iter()
            .filter(|entry| entry.leases == 0)
            .filter_map(|entry| Some((&entry.task.task_id, entry.whole_replica(host)?)))
            .filter(|(_, replica)| !replica.record.persistent)
            .map(|(id, replica)| (replica.record.updated_at, id.clone()))
            .collect();
        evictable.sort();
        evictable.into_iter().map(|(_, id)| id).collect()
    }
}

/// Whether content of `length` bytes fits a host.
pub(crate) fn has_room(host: &HostState, length: u64, capacity: Option<u64>) -> bool {
    let taken = host
        .used
        .saturating_add(host.reserved)
        .saturating_add(length);
    capacity.is_none_or(|capacity| taken <= capacity)
}

/// Whether an import may take the place of a task in this state.
pub(crate) fn is_replaceable(state: TaskState) -> bool {
    match state {
        TaskState::Failed => true,
        TaskState::Uploading | TaskState::Succeeded => false,
    }
}

#[cfg(test)]
mod tests;
