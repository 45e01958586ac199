//! Leases: a reservation of space on a host, and a task that must not be removed. They end when they are
//! dropped.

use std::sync::Arc;

use super::Scheduler;
use super::state::{Generation, State, TaskEntry, has_room};
use crate::cluster::error::Error;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;

impl Scheduler {
    /// Keeps room on a host for content to come. `free` tells what its file system still holds, which
    /// decides if no capacity was given. Blocks on the disk.
    pub(in crate::cluster) fn reserve(
        self: &Arc<Self>,
        host: HostNumber,
        content_length: u64,
        free: impl FnOnce() -> std::io::Result<u64>,
    ) -> Result<Reservation, Error> {
        let no_space = Error::NoSpace { content_length };
        if self.adjusted().capacity.is_none() && free()? < content_length {
            return Err(no_space);
        }
        let mut state = self.state();
        let host_state = state
            .hosts
            .get_mut(host.index())
            .ok_or(Error::NoSuchHost { host })?;
        if !has_room(host_state, content_length, self.adjusted().capacity) {
            return Err(no_space);
        }
        host_state.reserved += content_length;
        drop(state);
        Ok(Reservation {
            scheduler: Arc::clone(self),
            host,
            bytes: content_length,
        })
    }

    /// Holds a task, so that nothing of it is removed. Its state was looked up by the caller.
    pub(in crate::cluster) fn lease(self: &Arc<Self>, id: &TaskId, entry: &mut TaskEntry) -> Lease {
        entry.leases += 1;
        let generation = entry.generation;
        Lease {
            scheduler: Arc::clone(self),
            id: id.clone(),
            generation,
        }
    }
}

/// Room kept on a host for content to come.
#[derive(Debug)]
pub(in crate::cluster) struct Reservation {
    scheduler: Arc<Scheduler>,
    host: HostNumber,
    bytes: u64,
}

impl Reservation {
    /// Gives the room to content that comes into the books with the same lock held, so that
    /// nobody finds it free in between.
    pub(in crate::cluster) fn hand_over(mut self, state: &mut State) {
        if let Some(host_state) = state.hosts.get_mut(self.host.index()) {
            host_state.reserved = host_state.reserved.saturating_sub(self.bytes);
        }
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            // Handed over, by a holder of the lock.
            return;
        }
        if let Some(host_state) = self.scheduler.state().hosts.get_mut(self.host.index()) {
            host_state.reserved = host_state.reserved.saturating_sub(self.bytes);
        }
    }
}

/// Keeps a task from being collected or evicted while it is transferred.
#[derive(Debug)]
pub(crate) struct Lease {
    scheduler: Arc<Scheduler>,
    id: TaskId,
    generation: Generation,
}

impl Lease {
    /// Tells the task from earlier and later ones with its id.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let scheduler = &self.scheduler;
        let now = scheduler.now();
        let (mut overdue, mut holders) = (false, Vec::new());
        if let Some(entry) = scheduler.state().current(&self.id, self.generation) {
            entry.leases = entry.leases.saturating_sub(1);
            // The collector and eviction may have passed this task by while it was held.
            if entry.leases == 0 {
                overdue = entry.is_expired(now);
                holders = entry.replicas.hosts().collect();
            }
        }
        if overdue {
            scheduler.collect_at(now);
        }
        for host in holders {
            scheduler.evict_if_full(host);
        }
        #[cfg(test)]
        scheduler.schedule.tell();
    }
}
