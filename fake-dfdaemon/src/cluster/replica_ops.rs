//! What is done to single copies of a task from outside: made persistent, removed, looked at.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{Cluster, Error, Generation, HostStatus, Replica, ReplicaState, Task, not_found};
use crate::dfdaemon::host_name;

impl Cluster {
    /// Makes a host's copy persistent; false does nothing, whatever the id. Blocks on the disk.
    pub(crate) fn update(&self, host: usize, id: &str, persistent: bool) -> Result<(), Error> {
        if !persistent {
            return Ok(());
        }
        if !self.holds(host, id) {
            return Err(Error::LocalTaskNotFound { id: id.to_owned() });
        }
        self.set_persistent(host, id, true)
    }

    /// Removes a host's copy. The task stays, and a persistent copy is made again elsewhere while
    /// another one is left. Without a copy there is nothing to do. Blocks on the disk.
    pub(crate) fn delete_replica(&self, host: usize, id: &str) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        let lost = {
            let state = self.state();
            let replica = state.tasks.get(id).map(|entry| entry.replicas.get(host));
            replica.flatten().is_some_and(|replica| replica.lost)
        };
        if lost {
            return Ok(());
        }
        let removed = self.state().remove_replica(id, host);
        removed.map_or(Ok(()), |removed| self.remove_and_replace(host, id, removed))
    }

    /// Forgets what a host counted in memory, as a dfdaemon does that is started again.
    pub(crate) fn forget_uploads(&self, host: usize) {
        for id in self.task_ids() {
            let mut state = self.state();
            let entry = state.tasks.get_mut(&id);
            if let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) {
                replica.uploaded = 0;
            }
        }
    }

    /// Takes a host's content away, as a start of a dfdaemon does that keeps none. The scheduler
    /// goes on counting it, unless the host had left. Blocks on the disk.
    pub(crate) fn wipe(&self, host: usize) -> Result<(), Error> {
        let had_left = self.host_status(host) == HostStatus::Left;
        for id in self.task_ids() {
            let _locked = self.task_lock(&id);
            let counts = {
                let state = self.state();
                let entry = state.tasks.get(&id);
                entry.and_then(|entry| entry.replicas.get(host).map(ReplicaState::counts))
            };
            match counts {
                None => continue,
                Some(true) if !had_left => self.state().lose_replica(&id, host),
                Some(_) => drop(self.state().remove_replica(&id, host)),
            }
            self.store(host)?.discard(&id);
        }
        Ok(())
    }

    /// Removes a host's copy that is not what its record says, and has another one made of a good
    /// one. Blocks on the disk.
    pub(super) fn drop_damaged(
        &self,
        host: usize,
        id: &str,
        generation: Generation,
    ) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        let removed = {
            let mut state = self.state();
            let is_there = state.same(id, generation).is_some();
            is_there.then(|| state.remove_replica(id, host)).flatten()
        };
        removed.map_or(Ok(()), |removed| self.remove_and_replace(host, id, removed))
    }

    /// Removes the files of a copy that was taken out of the books, and has another one made if it
    /// was persistent. The task's lock is held.
    fn remove_and_replace(
        &self,
        host: usize,
        id: &str,
        removed: ReplicaState,
    ) -> Result<(), Error> {
        let persistent = removed.is_persistent();
        self.remove_files(host, id, removed)?;
        if persistent {
            self.replicate_later(&Arc::from(id));
        }
        Ok(())
    }

    /// Removes the files of a copy that was taken out of the books; back into them it goes if the
    /// disk refuses. The task's lock is held.
    pub(super) fn remove_files(
        &self,
        host: usize,
        id: &str,
        removed: ReplicaState,
    ) -> Result<(), Error> {
        let gone = self.store(host)?.remove(id);
        gone.map_err(|error| {
            self.state().put_back(id, host, removed);
            Error::from(error)
        })
    }

    /// Removes a task everywhere. Blocks on the disk.
    pub(crate) fn delete_task(&self, id: &str) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        if !self.state().tasks.contains_key(id) {
            return Err(not_found(id));
        }
        self.forget_task(id)
    }

    /// Removes a task whose lock is held, or nothing of it.
    pub(super) fn forget_task(&self, id: &str) -> Result<(), Error> {
        // The task first, which decides: a copy without its task is nobody's.
        self.scheduler.remove(id)?;
        let holders = self.state().remove_task(id);
        for host in holders {
            self.store(host)?.discard(id);
        }
        Ok(())
    }

    /// The ids of all tasks, ordered.
    pub(crate) fn task_ids(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<_> = self.state().tasks.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// How many tasks the scheduler knows.
    pub(crate) fn task_count(&self) -> usize {
        self.state().tasks.len()
    }

    /// A task that has not expired, and its copies.
    pub(crate) fn task(&self, id: &str) -> Option<Task> {
        let state = self.state();
        let entry = state.live(id, self.now())?;
        let copies = entry.replicas.iter().map(|(host, replica)| Replica {
            host: host_name(host),
            persistent: replica.record.persistent,
            complete: replica.is_whole(),
        });
        Some(Task::new(
            state.view(entry, self.forgotten_before()),
            copies.collect(),
        ))
    }

    /// How many tasks a host has, and their content in bytes.
    pub(crate) fn host_load(&self, host: usize) -> (usize, u64) {
        let state = self.state();
        let host = state.hosts.get(host);
        host.map_or((0, 0), |host| (host.tasks, host.used))
    }

    /// What a host can hold, in bytes.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.adjusted().capacity
    }
}

/// Why content could not be read: it may be shorter than its record says. Blocks on the disk.
pub(super) fn read_error(error: Error, file: &File, id: &str, expected: u64) -> Error {
    match &error {
        Error::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof => {
            check_length(file, id, expected).err().unwrap_or(error)
        }
        _ => error,
    }
}

/// Whether content is as long as its record says. By path an output is a link to the content, and
/// with 1.5 the content is a link to the source: a write to either changes it. Blocks on the disk.
pub(super) fn check_length(file: &File, id: &str, expected: u64) -> Result<(), Error> {
    let found = file.metadata()?.len();
    if found == expected {
        return Ok(());
    }
    let id = id.to_owned();
    Err(Error::ContentLength {
        id,
        expected,
        found,
    })
}
