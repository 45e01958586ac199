//! The transfers that run to one host, so that a second request for a task joins the first.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Fetch, Subscription, TransferKey};
use crate::cluster::{Generation, Scheduler};
use crate::dfdaemon::mutex::Mutex;
use crate::dfdaemon::task_id::TaskId;

/// The transfers that run to one host.
///
/// Its lock is taken after a task's and before that of the scheduler's state, and is held over no
/// step of a disk: the thread that serves connections takes it.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Transfers(Arc<Mutex<Running>>);

/// By the task's id and generation.
type Running = HashMap<(TaskId, Generation), Weak<Fetch>>;

impl Transfers {
    /// Joins the transfer of a task, if one runs.
    pub(super) fn join(&self, key: &TransferKey, persistent: bool) -> Option<Subscription> {
        let running = self.0.lock();
        let fetch = running.get(&key.task()).and_then(Weak::upgrade)?;
        fetch.persistent.fetch_or(persistent, Ordering::Relaxed);
        Some(Subscription::joining(fetch))
    }

    /// Whether a transfer of that very task is running.
    pub(in crate::cluster) fn is_running(&self, id: &TaskId, generation: Generation) -> bool {
        self.0.lock().contains_key(&(id.clone(), generation))
    }

    /// Registers a transfer, and lets the scheduler know before anybody can join it.
    pub(super) fn start(&self, fetch: &Arc<Fetch>, scheduler: &Scheduler) -> Subscription {
        let mut running = self.0.lock();
        running.insert(fetch.key.task(), Arc::downgrade(fetch));
        fetch.mark_started(scheduler);
        Subscription::new(Arc::clone(fetch))
    }

    /// Lets later requests for its task start a transfer of their own.
    pub(super) fn detach(&self, fetch: &Fetch) {
        unregister(&mut self.0.lock(), fetch);
    }

    /// Forgets a transfer that has ended. If it failed, its host forgets what has come, unless that
    /// is another transfer's to keep by now.
    pub(super) fn end(&self, fetch: &Fetch, failed: bool, scheduler: &Scheduler) {
        let mut running = self.0.lock();
        unregister(&mut running, fetch);
        if failed && !running.contains_key(&fetch.key.task()) {
            let TransferKey {
                host,
                id,
                generation,
            } = &fetch.key;
            scheduler.unmark_transfer(*host, id, *generation);
        }
    }

    /// Takes one interest in a transfer away. With the last one the transfer is cancelled.
    pub(super) fn leave(&self, fetch: &Fetch) {
        let mut running = self.0.lock();
        if fetch.subscribers.fetch_sub(1, Ordering::Relaxed) == 1 {
            fetch.cancel.cancel();
            unregister(&mut running, fetch);
        }
    }

    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

/// Takes a transfer out, unless another one has taken its place.
fn unregister(running: &mut Running, fetch: &Fetch) {
    let is_it = |other: &Weak<Fetch>| std::ptr::eq(other.as_ptr(), fetch);
    if running.get(&fetch.key.task()).is_some_and(is_it) {
        running.remove(&fetch.key.task());
    }
}
