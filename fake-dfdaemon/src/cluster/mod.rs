//! The hosts and the scheduler together: what is imported and exported, where replicas are made,
//! when they are removed.
//!
//! The cluster decides and keeps the books; bytes and records are moved by [`crate::store`], and
//! [`crate::grpc`] words the answers to clients. Methods that touch the disk block and say so.

mod error;
mod export;
mod failed_exports;
mod import;
mod jobs;
mod leases;
mod replica_ops;
mod scheduler;
mod settings;
mod status;
mod task;
mod threads;
mod transfer;
mod turns;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::error::Error;
pub(crate) use self::export::{Export, ExportRequest, OutputRequest};
pub(crate) use self::import::{ImportRequest, RequestedTtl};
pub use self::jobs::Waiting;
use self::leases::{Lease, Reservation};
use self::scheduler::agenda::Agenda;
use self::scheduler::job::Job;
pub(crate) use self::scheduler::replicas::ReplicaState;
pub use self::scheduler::state::HostStatus;
pub(crate) use self::scheduler::state::{Generation, State, TaskView};
pub(crate) use self::settings::Settings;
pub use self::task::{Replica, Task};
use self::threads::ClientFileThreads;
pub(crate) use self::transfer::Arrival;
use self::transfer::Fetch;
use self::turns::REPLICATIONS;
use crate::call::Calls;
use crate::call::clock::{Clock, later};
use crate::call::gate::CALLS_END_WITHIN;
use crate::dfdaemon::adjustable::Adjusted;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;
use crate::dfdaemon::{host_id, host_name};
use crate::store::aside::aside_within;
use crate::store::state_dir::StateDir;
use crate::store::{Disk, HostStore, ReplicaRecord, TaskRecord, TaskState, TaskStore, layout};

/// How many locks the tasks share.
const TASK_LOCKS: usize = 64;

/// How long the removal of a temporary state directory may take, which may hold many files.
const TAKEN_AWAY_WITHIN: Duration = Duration::from_secs(30);

/// How long schedulers remember a replica that have the quirk.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(8);

/// Hosts and scheduler.
///
/// Locks are taken in this order: a task's lock, `fetches`, `state`. Only the task's lock is held
/// over steps of the disk: the thread that serves connections takes the others.
#[derive(Debug)]
pub(crate) struct Cluster {
    release: Release,
    min_ttl: Option<Duration>,
    max_ttl: Duration,
    adjusted: Adjusted,
    calls: Calls,
    clock: Clock,
    disk: Disk,
    scheduler: TaskStore,
    hosts: Vec<Host>,
    state: Mutex<State>,
    /// Whoever changes what lies on disk of a task holds the task's lock. Memory changes after
    /// the disk when something comes, before it when something goes.
    task_locks: [Mutex<()>; TASK_LOCKS],
    fetches: Mutex<HashMap<FetchKey, Weak<Fetch>>>,
    /// The replicas that may be made at once.
    replications: Semaphore,
    client_file_threads: ClientFileThreads,
    agenda: Agenda<Job>,
    stopping: CancellationToken,
    running: TaskTracker,
    /// Held as long as anybody works in it.
    state_dir: StateDir,
}

/// The host that fetches, and the task by id and generation.
type FetchKey = (usize, Arc<str>, Generation);

/// One host of the cluster.
#[derive(Debug)]
struct Host {
    id: String,
    store: HostStore,
}

impl Cluster {
    /// Opens the state directory: keeps what is whole, sweeps the rest. Blocks on the disk.
    pub(crate) fn open(
        settings: Settings,
        calls: Calls,
        disk: Disk,
        state_dir: StateDir,
    ) -> io::Result<Arc<Self>> {
        let dir = state_dir.path();
        let scheduler = TaskStore::open(disk.clone(), &layout::scheduler(dir))?;
        let open_host = |number: usize| {
            let store = HostStore::open(disk.clone(), &layout::host(dir, number))?;
            let id = host_id(&host_name(number));
            Ok(Host { id, store })
        };
        let hosts = (0..settings.hosts)
            .map(open_host)
            .collect::<io::Result<Vec<_>>>()?;
        let cluster = Self {
            clock: calls.clock.clone(),
            calls,
            disk,
            scheduler,
            hosts,
            state: Mutex::new(State::new(settings.hosts)),
            task_locks: std::array::from_fn(|_| Mutex::default()),
            fetches: Mutex::default(),
            replications: Semaphore::new(REPLICATIONS),
            client_file_threads: ClientFileThreads::new(),
            agenda: Agenda::new(),
            stopping: CancellationToken::new(),
            running: TaskTracker::new(),
            release: settings.release,
            min_ttl: settings.min_ttl,
            max_ttl: settings.max_ttl,
            adjusted: Adjusted::new(settings.adjustable),
            state_dir,
        };
        let lying_there = cluster.read()?;
        cluster.adopt(lying_there);
        if cluster.has_quirk(Quirk::RestartWipes) {
            let wiped = (0..cluster.hosts.len()).try_for_each(|host| cluster.wipe(host));
            wiped.map_err(io::Error::other)?;
        }
        Ok(Arc::new(cluster))
    }

    /// Reads what lies on the disk, and sweeps what is no part of it. Blocks on the disk.
    pub(crate) fn read(&self) -> io::Result<State> {
        let mut tasks = self.scheduler.load()?;
        let stuck = self.has_quirk(Quirk::StuckUploading);
        let interrupted = |task: &&mut TaskRecord| task.state == TaskState::Uploading && !stuck;
        for task in tasks.iter_mut().flatten().filter(interrupted) {
            task.state = TaskState::Failed;
            self.scheduler.write(task)?;
        }
        let mut state = State::new(self.hosts.len());
        state.tasks.reserve(tasks.iter().map(Vec::len).sum());
        for task in tasks.into_iter().flatten() {
            state.insert_task(task);
        }
        self.load_replicas(&mut state)?;
        Ok(state)
    }

    /// Takes what was [`read`](Self::read) in place of what is known.
    pub(crate) fn adopt(&self, mut read: State) {
        {
            let mut state = self.state();
            for (known, read) in state.hosts.iter().zip(&mut read.hosts) {
                read.status = known.status;
            }
            read.events = Some(self.calls.events.clone());
            std::mem::swap(&mut *state, &mut read);
        }
        // Freed here: others may have the lock meanwhile.
        drop(read);
        self.put_down_all_anew();
    }

    /// Puts down what there is to do, in place of what was put down.
    pub(crate) fn put_down_all_anew(&self) {
        let now = self.now();
        self.agenda.clear();
        self.agenda.add(now, Job::Collect);
        self.agenda.add(now, Job::EmptyTrash);
        self.put_down_missing_replicas();
    }

    /// Forgets what was put down, before another state comes.
    pub(crate) fn forget_jobs(&self) {
        self.agenda.clear();
    }

    /// Reads every host's records.
    fn load_replicas(&self, state: &mut State) -> io::Result<()> {
        for (number, host) in self.hosts.iter().enumerate() {
            let records = host.store.load(|record| {
                let entry = state.tasks.get(record.task_id.as_str());
                entry.is_some_and(|entry| is_copy_of(record, &entry.task))
            })?;
            for record in records.into_iter().flatten() {
                state.insert_replica(number, record);
            }
        }
        Ok(())
    }

    pub(crate) fn release(&self) -> Release {
        self.release
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn has_quirk(&self, quirk: Quirk) -> bool {
        self.adjusted().quirks.has(quirk)
    }

    /// Tag and application of a task, if there is such a task and it has them.
    pub(crate) fn labels(&self, id: &str) -> (Option<String>, Option<String>) {
        let state = self.state();
        let task = state.tasks.get(id).map(|entry| &entry.task);
        task.map_or((None, None), |task| {
            (task.tag.clone(), task.application.clone())
        })
    }

    /// Whether a host has the whole of a task.
    pub(crate) fn holds(&self, host: usize, id: &str) -> bool {
        self.state()
            .tasks
            .get(id)
            .is_some_and(|entry| entry.whole_replica(host).is_some())
    }

    /// Whether anybody holds on to a task: an export, an import or a transfer.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.state().tasks.values().any(|entry| entry.leases > 0)
    }

    /// Ends when the daemon is told to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The directories that hold all that a snapshot has to.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        layout::roots(self.state_dir.path(), self.hosts.len())
    }

    /// Runs work while nothing on the disk comes or goes. Blocks.
    pub(crate) fn at_rest<T>(&self, work: impl FnOnce() -> T) -> T {
        let _locked: Vec<_> = self
            .task_locks
            .iter()
            .map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        work()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn state_dir(&self) -> &StateDir {
        &self.state_dir
    }

    /// `<ip>-<hostname>` of a host.
    pub(crate) fn host_id(&self, host: usize) -> &str {
        self.hosts.get(host).map_or("", |host| &host.id)
    }

    /// `<host id>-<uuid>`, new for every call.
    pub(crate) fn new_peer_id(&self, host: usize) -> String {
        format!("{}-{}", self.host_id(host), uuid::Uuid::new_v4())
    }

    fn store(&self, number: usize) -> Result<&HostStore, Error> {
        let host = self.hosts.get(number);
        let host = host.ok_or(Error::NoSuchHost { number })?;
        Ok(&host.store)
    }

    /// The scheduler's view of a task.
    pub(crate) fn stat(&self, id: &str) -> Result<TaskView, Error> {
        check_given(id)?;
        let state = self.state();
        let entry = state.live(id, self.now()).ok_or_else(|| not_found(id))?;
        Ok(state.view(entry, self.forgotten_before()))
    }

    /// What did not change since then is forgotten by the scheduler, with the quirk for it.
    pub(crate) fn forgotten_before(&self) -> Option<Timestamp> {
        let forgets = self.has_quirk(Quirk::ForgottenReplicas);
        forgets.then(|| earlier(self.now(), FORGOTTEN_AFTER))
    }

    /// A host's own records, ordered by id; of the one task, if one is asked for.
    pub(crate) fn local<T>(
        &self,
        host: usize,
        id: Option<&str>,
        view: impl Fn(&ReplicaState) -> T,
    ) -> Vec<T> {
        let ids = id.map_or_else(|| self.task_ids(), |id| vec![Arc::from(id)]);
        // One by one: nobody waits for all of them.
        let viewed = |id: &Arc<str>| {
            let state = self.state();
            let replica = state.tasks.get(id)?.replicas.get(host);
            replica.filter(|replica| !replica.lost).map(&view)
        };
        ids.iter().filter_map(viewed).collect()
    }

    pub(crate) fn host_status(&self, host: usize) -> HostStatus {
        self.state().status(host)
    }

    /// Says that a host runs, stopped or left.
    pub(crate) fn note_host_status(&self, host: usize, status: HostStatus) {
        if let Some(host) = self.state().hosts.get_mut(host) {
            host.status = status;
        }
        let name = host_name(host);
        let told = || serde_json::json!({"name": name, "state": status});
        self.calls.events.tell("host", told);
    }

    /// Time in whole seconds, as records hold it.
    fn now_in_seconds(&self) -> Timestamp {
        let now = self.now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task_lock(&self, id: &str) -> MutexGuard<'_, ()> {
        // Any spread will do; ids are hashes already.
        let shard = id
            .bytes()
            .fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        let [first, ..] = &self.task_locks;
        let lock = self.task_locks.get(shard % TASK_LOCKS).unwrap_or(first);
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks off what is running and waits until nothing is, but for what hangs in a file system.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.stopping.cancel();
        self.calls.gate.end_all();
        self.running.close();
        let ended = tokio::time::timeout(CALLS_END_WITHIN, self.running.wait());
        if ended.await.is_err() {
            tracing::warn!("a call hangs in a file system, and is left behind");
        }
    }

    /// Removes a temporary state directory: a call that hangs may hold on to the cluster, which
    /// would take it along.
    pub(crate) async fn take_state_away(self: &Arc<Self>) {
        let cluster = Arc::clone(self);
        let removed = aside_within(TAKEN_AWAY_WITHIN, move || cluster.state_dir.take_away());
        if removed.await.is_err() {
            tracing::warn!("the state directory is left behind: its file system hangs");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Refuses an empty id, as the scheduler does before it looks for a task.
fn check_given(id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::EmptyTaskId);
    }
    Ok(())
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn not_found(id: &str) -> Error {
    Error::TaskNotFound { id: id.to_owned() }
}

/// Whether a host's record is of this very task, and says of it what a restart must not forget.
fn is_copy_of(record: &ReplicaRecord, task: &TaskRecord) -> bool {
    // Exports go by the task's lengths: of other content they would be a part.
    let as_long =
        (record.content_length, record.piece_length) == (task.content_length, task.piece_length);
    record.task_created_at == task.created_at
        && match task.state {
            TaskState::Succeeded => as_long && record.finished_at.is_some(),
            TaskState::Failed => record.failed_at.is_some(),
            TaskState::Uploading => false,
        }
}
