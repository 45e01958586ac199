//! The scheduler: which tasks and replicas there are, where replicas go, and when what is due.
//!
//! What it knows and decides is pure, in [`state`], [`placement`] and [`schedule`]: callers pass the
//! time. [`Scheduler`] joins that with the clock, the locks and the records on disk. Nothing outside
//! this room reaches what is behind its methods.

mod changes;
mod counted_peers;
mod exports;
mod imports;
mod job;
mod leases;
mod listing;
mod lookups;
mod missing;
mod offers;
mod placement;
mod replicas;
mod schedule;
mod state;
mod task;
mod timetable;
mod transfers;

use std::io;
use std::sync::{Arc, MutexGuard};

use jiff::Timestamp;

pub(super) use self::exports::Found;
pub(crate) use self::exports::ServedPiece;
pub(super) use self::imports::Started;
pub(super) use self::job::{Job, describe};
pub(super) use self::leases::{Lease, Reservation};
#[cfg(feature = "control")]
pub(crate) use self::listing::TaskFilter;
pub(super) use self::lookups::given;
pub(super) use self::placement::Step;
pub(crate) use self::replicas::ReplicaState;
pub(super) use self::schedule::Blocked;
use self::schedule::Schedule;
pub use self::state::HostStatus;
pub(crate) use self::state::{Generation, State, TaskView};
pub use self::task::{Replica, Task};
use crate::call::clock::Clock;
use crate::call::events::Events;
use crate::dfdaemon::adjustable::{AdjustableSettings, Adjusted};
use crate::dfdaemon::mutex::Mutex;
use crate::dfdaemon::quirks::Quirk;
use crate::store::{TaskState, TaskStore};

/// How many locks the tasks share.
const TASK_LOCKS: usize = 64;

/// The scheduler of a cluster.
///
/// Locks are taken in this order: a task's lock, that of a host's
/// [`Transfers`](super::transfer::Transfers), `state`, the lock inside
/// `schedule`. Only the task's lock is held over steps of the disk: the thread that serves connections
/// takes the others.
#[derive(Debug)]
pub(crate) struct Scheduler {
    adjusted: Arc<Adjusted>,
    clock: Clock,
    events: Events,
    records: TaskStore,
    /// A task's lock is held while its files on disk change. Memory changes after the disk when a file
    /// is added, and before it when one is removed.
    task_locks: [Mutex<()>; TASK_LOCKS],
    state: Mutex<State>,
    schedule: Schedule<Job>,
}

impl Scheduler {
    /// What the records say is known when it was [loaded](Self::load) and
    /// [in place](Self::replace_state).
    pub(super) fn new(
        records: TaskStore,
        hosts: usize,
        adjusted: Arc<Adjusted>,
        clock: Clock,
        events: Events,
    ) -> Self {
        Self {
            adjusted,
            clock,
            events,
            records,
            task_locks: std::array::from_fn(|_| Mutex::default()),
            state: Mutex::new(State::new(hosts)),
            schedule: Schedule::new(),
        }
    }

    /// Reads the records of the tasks. Imports that a stop has interrupted are Failed then. Blocks on
    /// the disk.
    pub(super) fn load(&self) -> io::Result<State> {
        let stuck = self.has_quirk(Quirk::StuckUploading);
        let mut state = State::new(self.state().hosts.len());
        let mut interrupted = Vec::new();
        self.records.load(|tasks, expected| {
            state.tasks.expect(expected);
            for task in tasks {
                if task.state == TaskState::Uploading && !stuck {
                    interrupted.push(task);
                } else {
                    state.insert_task(task);
                }
            }
        })?;
        state.tasks.trim();
        for mut task in interrupted {
            task.state = TaskState::Failed;
            self.records.write(&task)?;
            state.insert_task(task);
        }
        Ok(state)
    }

    /// Takes what was [loaded](Self::load) in place of what is known.
    pub(super) fn replace_state(&self, mut loaded: State) {
        loaded.take_statuses(&self.state());
        // While nobody waits for the lock on it: of many tasks that takes a while.
        let short = self.short_in(&loaded);
        let a_host_changed = {
            let mut state = self.state();
            let a_host_changed = loaded.take_statuses(&state);
            loaded.events = Some(self.events.clone());
            std::mem::swap(&mut *state, &mut loaded);
            a_host_changed
        };
        // Freed here: others may have the lock meanwhile.
        drop(loaded);
        if a_host_changed {
            self.reschedule_all();
        } else {
            self.reschedule(short);
        }
    }

    /// Locks a task, for a change of what lies on disk of it.
    pub(super) fn lock_task(&self, id: &str) -> MutexGuard<'_, ()> {
        // Any spread will do; ids are hashes already.
        let shard = id
            .bytes()
            .fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        let [first, ..] = &self.task_locks;
        let lock = self.task_locks.get(shard % TASK_LOCKS).unwrap_or(first);
        lock.lock()
    }

    /// Runs work while nothing on the disk comes or goes. Blocks.
    pub(crate) fn with_all_tasks_locked<T>(&self, work: impl FnOnce() -> T) -> T {
        let _locked: Vec<_> = self.task_locks.iter().map(|lock| lock.lock()).collect();
        work()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time in whole seconds, as records hold it.
    pub(super) fn now_in_seconds(&self) -> Timestamp {
        let now = self.now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Tells those who follow the events that settings have changed.
    pub(super) fn tell_settings(&self) {
        self.events.tell("settings", || self.adjusted().to_value());
    }

    fn adjusted(&self) -> Arc<AdjustableSettings> {
        self.adjusted.now()
    }

    fn has_quirk(&self, quirk: Quirk) -> bool {
        self.adjusted().quirks.has(quirk)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
