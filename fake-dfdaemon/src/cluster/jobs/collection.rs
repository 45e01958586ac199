//! The removal of what has expired, and of replicas that a full host can do without.

use crate::cluster::{Cluster, Error};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::task_id::TaskId;

impl Cluster {
    /// Removes every task that has expired and that nobody holds. Blocks on the disk.
    pub(crate) fn collect(&self) -> Result<(), Error> {
        let expired = self.scheduler().collectable();
        self.disk().sweep();
        let mut collected = Ok(());
        for id in expired {
            if self.stopping().is_cancelled() {
                return Ok(());
            }
            // If a task cannot be removed from the disk, the others are removed all the same.
            collected = collected.and(self.collect_task(&id));
        }
        for host in self.hosts() {
            self.scheduler().evict_if_full(host);
        }
        self.scheduler().schedule_replicas_that_fit_now();
        collected
    }

    fn collect_task(&self, id: &TaskId) -> Result<(), Error> {
        let _locked = self.scheduler().lock_task(id);
        if !self.scheduler().is_collectable(id) {
            return Ok(());
        }
        self.forget_task(id)
    }

    /// Removes a host's non-persistent replicas until it has room again. Blocks on the disk.
    pub(super) fn evict(&self, host: HostNumber) -> Result<(), Error> {
        let evictable = self.scheduler().evictable(host);
        let mut evicted = Ok(());
        for id in evictable {
            if !self.scheduler().is_too_full(host) {
                break;
            }
            evicted = evicted.and(self.evict_replica(host, &id));
        }
        self.scheduler().schedule_replicas_that_fit_now();
        evicted
    }

    fn evict_replica(&self, host: HostNumber, id: &str) -> Result<(), Error> {
        let _locked = self.scheduler().lock_task(id);
        let removed = self.scheduler().take_evictable(host, id);
        removed.map_or(Ok(()), |removed| self.remove_files(host, removed))
    }
}
