//! What there should be: hosts, tasks, faults and time, without a fake.

use std::collections::BTreeMap;

use fake_dfdaemon::Release;

use crate::model::files::LENGTHS;
use crate::model::ops::{Fault, HOSTS, On, What};

/// In seconds.
pub(crate) const REPLICATION_DELAY: i64 = 100;
pub(crate) const GC_INTERVAL: i64 = 900;

/// When time begins, in seconds.
pub(crate) const START: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Stopped,
    Left,
}

/// A task as a client may rely on it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) succeeded: bool,
    pub(crate) file: usize,
    pub(crate) created: i64,
    pub(crate) ttl: i64,
    pub(crate) wanted: u64,
    /// Hosts with a record, and whether it is of a persistent replica. Of a Failed task: the host of
    /// the import, without a replica.
    pub(crate) replicas: BTreeMap<usize, bool>,
}

impl Task {
    /// Whether no host has to be asked for any of it.
    pub(crate) fn is_empty(&self) -> bool {
        LENGTHS[self.file] == 0
    }
}

/// What a snapshot holds.
#[derive(Clone)]
pub(crate) struct Snapshot {
    now: i64,
    hosts: [Status; HOSTS],
    tasks: BTreeMap<String, Task>,
}

/// A fault, and how many calls it has seen.
struct Lying {
    fault: Fault,
    matched: u64,
}

/// What there should be.
pub(crate) struct Model {
    release: Release,
    pub(crate) now: i64,
    started: i64,
    pub(crate) hosts: [Status; HOSTS],
    /// By id; expired ones too, until they are collected.
    pub(crate) tasks: BTreeMap<String, Task>,
    /// When replicas are made.
    due: BTreeMap<String, i64>,
    /// When the collector runs next.
    collector: i64,
    faults: Vec<Lying>,
    snapshots: BTreeMap<usize, Snapshot>,
    /// Calls of the scheduler that made a replica, or tried.
    pub(crate) replicate_calls: usize,
}

/// What replication has to have done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replication {
    pub(crate) promoted: u64,
    pub(crate) copied: u64,
}

/// The fault that is armed for one call.
#[derive(Debug, Default)]
pub(crate) struct Hit {
    whats: Vec<What>,
}

impl Hit {
    pub(crate) fn before(&self) -> bool {
        self.whats.contains(&What::Error)
    }

    pub(crate) fn after(&self) -> bool {
        self.whats.contains(&What::ErrorAfter)
    }

    pub(crate) fn disk(&self) -> bool {
        self.whats.iter().any(|what| what.is_of_the_disk())
    }
}

impl Model {
    pub(crate) fn new(release: Release) -> Self {
        Self {
            release,
            now: START,
            started: START,
            hosts: [Status::Running; HOSTS],
            tasks: BTreeMap::new(),
            due: BTreeMap::new(),
            collector: START,
            faults: Vec::new(),
            snapshots: BTreeMap::new(),
            replicate_calls: 0,
        }
    }

    pub(crate) fn live(&self, id: &str) -> Option<&Task> {
        self.tasks
            .get(id)
            .filter(|task| self.now < task.created + task.ttl)
    }

    pub(crate) fn runs(&self, host: usize) -> bool {
        self.hosts[host] == Status::Running
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..HOSTS).filter(|host| self.runs(*host)).collect()
    }

    /// Counts that a stat shows: persistent, all.
    pub(crate) fn counts(&self, task: &Task) -> (u64, u64) {
        if !task.succeeded {
            return (0, 0);
        }
        let counted = || {
            task.replicas
                .iter()
                .filter(|(host, _)| self.hosts[**host] != Status::Left)
        };
        (
            counted().filter(|(_, persistent)| **persistent).count() as u64,
            counted().count() as u64,
        )
    }

    /// Time goes on, or back. The collector does not wait for a time that is far ahead by then.
    pub(crate) fn move_time(&mut self, seconds: i64) {
        self.now += seconds;
        self.collector = self.collector.min(self.now + GC_INTERVAL);
    }

    pub(crate) fn set_status(&mut self, host: usize, status: Status) {
        self.hosts[host] = status;
        self.replicate_all();
    }

    pub(crate) fn insert(&mut self, id: String, task: Task) {
        if task.succeeded {
            let due = self.now + REPLICATION_DELAY;
            let earlier = self.due.get(&id).copied().unwrap_or(due);
            self.due.insert(id.clone(), due.min(earlier));
        }
        self.tasks.insert(id, task);
    }

    /// Removes what has expired, and remembers replicas that nobody is going to make.
    pub(crate) fn collect(&mut self) {
        let now = self.now;
        self.tasks.retain(|_, task| now < task.created + task.ttl);
        for id in self.short_of_replicas() {
            let due = self.tasks[&id].created + REPLICATION_DELAY;
            self.due.entry(id).or_insert(due);
        }
    }

    pub(crate) fn restart(&mut self) {
        self.started = self.now;
        self.hosts = [Status::Running; HOSTS];
        self.faults.clear();
        self.reload();
    }

    pub(crate) fn take_snapshot(&mut self, number: usize) {
        let snapshot = Snapshot {
            now: self.now,
            hosts: self.hosts,
            tasks: self.tasks.clone(),
        };
        self.snapshots.insert(number, snapshot);
    }

    /// Whether there is such a snapshot.
    pub(crate) fn restore(&mut self, number: usize) -> bool {
        let snapshot = self.snapshots.get(&number).cloned();
        if let Some(snapshot) = snapshot {
            (self.now, self.hosts, self.tasks) = (snapshot.now, snapshot.hosts, snapshot.tasks);
            self.reload();
            return true;
        }
        false
    }

    /// Another start: no faults, and no calls so far.
    pub(crate) fn reset(&mut self) {
        self.clear_faults();
        self.replicate_calls = 0;
        self.now = self.started;
        self.hosts = [Status::Running; HOSTS];
        self.tasks.clear();
        self.reload();
    }

    /// What is done when the state was read from the disk.
    fn reload(&mut self) {
        self.due.clear();
        self.collector = self.now;
        self.replicate_all();
    }

    /// Whether the collector's time has come; it runs then.
    pub(crate) fn collect_if_due(&mut self) {
        if self.collector <= self.now {
            self.collector = self.now + GC_INTERVAL;
            self.collect();
        }
    }

    /// Makes replicas of every task due now that has too few.
    fn replicate_all(&mut self) {
        for id in self.short_of_replicas() {
            let due = self.due.entry(id).or_insert(self.now);
            *due = self.now.min(*due);
        }
    }

    /// Tasks that have fewer persistent replicas than they could have.
    fn short_of_replicas(&self) -> Vec<String> {
        let could_help = |task: &Task| {
            let mut hosts = self.running().into_iter();
            hosts.any(|host| task.replicas.get(&host) != Some(&true))
        };
        let short = self.tasks.keys().filter(|id| {
            let task = self.live(id).filter(|task| task.succeeded);
            task.is_some_and(|task| self.counts(task).0 < task.wanted && could_help(task))
        });
        short.cloned().collect()
    }

    /// Tasks whose replicas are due.
    pub(crate) fn due(&self) -> Vec<String> {
        let due = self.due.iter().filter(|(_, due)| **due <= self.now);
        due.map(|(id, _)| id.clone()).collect()
    }

    /// What replication does for a task that is due.
    pub(crate) fn replicate(&mut self, id: &str) -> Replication {
        self.due.remove(id);
        let mut made = Replication::default();
        let Some(task) = self.live(id).filter(|task| task.succeeded).cloned() else {
            return made;
        };
        let running = self.running();
        let with = |replica: Option<bool>| {
            let hosts = running.iter();
            hosts
                .filter(|host| task.replicas.get(host).copied() == replica)
                .count() as u64
        };
        // Somebody has to have it to give it, if there is anything to give.
        let has_source = task.is_empty() || with(Some(false)) + with(Some(true)) > 0;
        let missing = task.wanted.saturating_sub(self.counts(&task).0);
        made.promoted = missing.min(with(Some(false)));
        let to_copy = (missing - made.promoted).min(with(None));
        for _ in 0..to_copy {
            self.replicate_calls += 1;
            let release = self.release;
            let is_it = |on: On| matches!(on, On::Replicate(task) if task.id(release) == id);
            let hit = self.arrives(is_it);
            let fails = !has_source || hit.before() || hit.disk();
            made.copied += u64::from(!fails);
            if fails || hit.after() {
                // It is tried again as often as the collector runs.
                self.due.insert(id.to_owned(), self.now + GC_INTERVAL);
                break;
            }
        }
        made
    }

    pub(crate) fn add_fault(&mut self, fault: &Fault) {
        self.faults.push(Lying {
            fault: fault.clone(),
            matched: 0,
        });
    }

    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Counts a call for every fault that is about it.
    fn arrives(&mut self, is_about: impl Fn(On) -> bool) -> Hit {
        let mut hit = Hit::default();
        for lying in &mut self.faults {
            if is_about(lying.fault.on) {
                lying.matched += 1;
                if lying.matched == lying.fault.call {
                    hit.whats.push(lying.fault.what);
                }
            }
        }
        hit
    }

    pub(crate) fn import_arrives(&mut self, on_host: usize) -> Hit {
        self.arrives(|on| matches!(on, On::Import(host) if host.is_none_or(|host| host == on_host)))
    }

    pub(crate) fn export_arrives(&mut self, on_host: usize) -> Hit {
        self.arrives(|on| matches!(on, On::Export(host) if host.is_none_or(|host| host == on_host)))
    }
}
