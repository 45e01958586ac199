//! The transfer of a task from other hosts to one that lacks it, a piece at a time, in any order.
//!
//! Callers that want the task on the same host at the same time share one transfer. It goes on while a
//! caller waits for it, takes each piece from a host that runs, and becomes a replica at its end.

mod faults;
mod parents;
mod pieces;
mod registry;
mod remote;
mod subscription;
mod waiting;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use dfdaemon_api::piece::PieceLayout;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::parents::Parents;
pub(super) use self::registry::Transfers;
use self::subscription::HeldBack;
pub(super) use self::subscription::Subscription;
use super::{Cluster, Error, Generation, HostStatus, Reservation, Scheduler, not_found};
use crate::call::{ClusterFaults, TransferFaults};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{CancelFlag, Content, Disk, ReplicaRecord, TaskRecord};

/// How long to wait for a link before looking again whether the transfer is wanted.
const LINK_POLL: Duration = Duration::from_millis(20);

/// What a caller wants of a transfer.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Whether the replica becomes a persistent one.
    pub(super) persistent: bool,
    /// Whether it begins only when its [`Subscription`] lets it: when the export's link is made.
    pub(super) held_back: bool,
    /// The faults that act on the transfer, if it is not running already.
    pub(super) faults: ClusterFaults,
}

/// The host that a task is transferred to, and the task by id and generation.
#[derive(Clone, Debug)]
struct TransferKey {
    host: HostNumber,
    id: TaskId,
    generation: Generation,
}

impl TransferKey {
    fn task(&self) -> (TaskId, Generation) {
        (self.id.clone(), self.generation)
    }
}

/// A transfer that is running or has ended.
#[derive(Debug)]
struct Fetch {
    key: TransferKey,
    task: TaskRecord,
    layout: PieceLayout,
    /// Those to its host.
    transfers: Transfers,
    file: File,
    disk: Disk,
    persistent: AtomicBool,
    /// Whether the export that began it asked for a persistent replica.
    began_persistent: bool,
    cancel: CancelFlag,
    /// Whether the export that began it was refused before its stream.
    refused: AtomicBool,
    subscribers: AtomicUsize,
    /// Whether there was a parent to begin with: the scheduler counts no other transfer.
    is_offered: bool,
    faults: TransferFaults,
    progress: watch::Sender<Progress>,
}

/// A piece that this host has, or has got.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) number: u32,
    /// In bytes, from the start of the content.
    pub(crate) range: Range<u64>,
    /// Unless nobody computed it.
    pub(crate) crc32: Option<u32>,
    /// The peer that it came from; `None` if this host had it.
    pub(crate) parent_id: Option<String>,
    /// Unless the piece was still on its way when it was looked up.
    pub(crate) cost: Option<Duration>,
    pub(crate) created_at: Timestamp,
}

/// What has come of a transfer so far.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// The piece that is on its way, by number.
    in_flight: Option<u32>,
    arrived: Vec<Arc<Arrival>>,
    /// What it waits for, if its only parents have replicas that are served to nobody.
    held_up: Option<CancellationToken>,
    ended: Option<Result<(), Error>>,
}

impl Cluster {
    /// Joins the transfer of a task to a host, or starts it. Blocks on the disk.
    pub(super) fn fetch(
        self: &Arc<Self>,
        host: HostNumber,
        id: &TaskId,
        wanted: &Wanted,
    ) -> Result<Subscription, Error> {
        // Keeps a second transfer of the task from starting. The registry's lock does not: threads
        // that must not wait for a disk take it.
        let _starting = self.scheduler().lock_task(id);
        let (task, lease) = self.scheduler().hold(id)?;
        let key = TransferKey {
            host,
            id: id.clone(),
            generation: lease.generation(),
        };
        let node = self.node(host)?;
        if let Some(joined) = node.transfers().join(&key, wanted.persistent) {
            return Ok(joined);
        }
        let running = self.workers().enter()?;
        let reservation = self.reserve(host, task.content_length)?;
        let layout = PieceLayout::new(task.content_length, task.piece_length)?;
        let mut parents = Parents::new(self, &key, task.content_length, layout);
        parents.open_first();
        let mut content = self.content_to_write(host, (id, task.content_length), key.generation)?;
        let fetch = Arc::new(Fetch {
            layout,
            file: content.file.try_clone()?,
            disk: node.store().disk().with_fault(wanted.faults.store.meet()),
            key,
            task,
            transfers: node.transfers().clone(),
            persistent: AtomicBool::new(wanted.persistent),
            began_persistent: wanted.persistent,
            cancel: CancelFlag::default(),
            refused: AtomicBool::default(),
            subscribers: AtomicUsize::new(0),
            is_offered: parents.had_any(),
            faults: wanted.faults.transfer.clone(),
            progress: watch::Sender::default(),
        });
        let subscription = node.transfers().start(&fetch, self.scheduler());
        let (subscription, held_back) = subscription.holding_back(wanted.held_back);
        let cluster = Arc::clone(self);
        self.workers().spawn_blocking(move || {
            let _running = running;
            let begins = fetch.wait_for_begin(&cluster, held_back.as_ref());
            let ended =
                begins.and_then(|()| fetch.run(&cluster, parents, &mut content, reservation));
            let is_left = fetch.count_end(&cluster, &ended, &mut content);
            drop(content);
            let forgets = ended.is_err() && !is_left;
            fetch.transfers.end(&fetch, forgets, cluster.scheduler());
            // Before anybody hears of the end, and then waits for what the lease held up.
            drop(lease);
            fetch
                .progress
                .send_modify(|progress| progress.ended = Some(ended));
            drop(held_back);
        });
        Ok(subscription)
    }
}

impl Fetch {
    /// Waits until the export that wants it has made its link: refused, it transfers nothing. What
    /// others want too waits for no link.
    fn wait_for_begin(&self, cluster: &Cluster, held_back: Option<&HeldBack>) -> Result<(), Error> {
        let Some(held_back) = held_back else {
            return Ok(());
        };
        loop {
            let begins = held_back.begins.recv_timeout(LINK_POLL);
            self.check_wanted(cluster)?;
            let others = self.subscribers.load(Ordering::Relaxed) > 1;
            if begins != Err(RecvTimeoutError::Timeout) || others {
                return Ok(());
            }
        }
    }

    fn run(
        &self,
        cluster: &Arc<Cluster>,
        mut parents: Parents,
        content: &mut Content,
        reservation: Reservation,
    ) -> Result<(), Error> {
        self.wait_for_parents(cluster, &mut parents, content)?;
        let crc32 = self.copy_pieces(cluster, parents)?;
        self.commit(cluster, content, reservation, crc32)
    }

    /// Counts the export as the scheduler does at its end, and leaves what a failed one does. Whether
    /// anything is left on the host. Blocks on the disk.
    fn count_end(
        &self,
        cluster: &Arc<Cluster>,
        ended: &Result<(), Error>,
        content: &mut Content,
    ) -> bool {
        let (host, task) = (self.key.host, (&*self.key.id, self.key.generation));
        let is_refused = self.refused.load(Ordering::Relaxed);
        let is_gone = matches!(ended, Err(Error::Stopping | Error::HostGone { .. }));
        if self.is_offered && !is_gone {
            let (scheduler, persistent) = (cluster.scheduler(), self.began_persistent);
            match ended.is_ok() || is_refused {
                true => scheduler.uncount_export(task, host, persistent),
                false => scheduler.fail_export(task, host, persistent),
            }
        }
        if ended.is_ok() || is_gone {
            return content.is_placed();
        }
        let left = if content.is_placed() {
            cluster.mark_failed(host, task).map(|()| true)
        } else {
            let record = self.record(cluster.scheduler(), None);
            let record = ReplicaRecord {
                failed_at: (!is_refused).then_some(record.updated_at),
                ..record
            };
            cluster.leave_record(host, task, &record, content)
        };
        left.unwrap_or_else(|error| {
            tracing::warn!(task = %self.task.task_id, %error, "a failed export left no record");
            false
        })
    }

    /// The host knows of the task, and the export counts, before anybody hears that the transfer has
    /// started.
    fn mark_started(&self, scheduler: &Scheduler) {
        let (host, generation) = (self.key.host, self.key.generation);
        scheduler.mark_transfer(host, self.record(scheduler, None), generation);
        if self.is_offered {
            scheduler.count_export((&self.key.id, generation), host, self.began_persistent);
        }
    }

    fn check_wanted(&self, cluster: &Cluster) -> Result<(), Error> {
        if cluster.stopping().is_cancelled() {
            return Err(Error::Stopping);
        }
        let host = self.key.host;
        let status = cluster.scheduler().host_status(host);
        if status != HostStatus::Running {
            let left = status == HostStatus::Left;
            return Err(Error::HostGone { host, left });
        }
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    fn record(&self, scheduler: &Scheduler, crc32: Option<Vec<u32>>) -> ReplicaRecord {
        let now = scheduler.now_in_seconds();
        ReplicaRecord {
            task_id: self.task.task_id.clone(),
            task_created_at: self.task.created_at,
            persistent: self.persistent.load(Ordering::Relaxed),
            ttl: self.task.ttl,
            piece_length: self.task.piece_length,
            content_length: self.task.content_length,
            finished_at: crc32.as_ref().map(|_| now),
            piece_crc32: crc32.map(Arc::from),
            created_at: now,
            updated_at: now,
            failed_at: None,
        }
    }

    fn commit(
        &self,
        cluster: &Arc<Cluster>,
        content: &mut Content,
        reservation: Reservation,
        crc32: Vec<u32>,
    ) -> Result<(), Error> {
        let TransferKey {
            host,
            id,
            generation,
        } = &self.key;
        let scheduler = cluster.scheduler();
        let _locked = scheduler.lock_task(id);
        self.check_wanted(cluster)?;
        match scheduler.generation(id) {
            Some(there) if there == *generation => {}
            // Another import has taken its place once it had expired: whoever waits for this one
            // has it, but it is no replica any more.
            Some(_) => return Ok(()),
            None => return Err(not_found(id)),
        }
        if scheduler.has_replica(*host, id) {
            // Another transfer has ended between a look at this host and the start of this one.
            if self.persistent.load(Ordering::Relaxed) {
                cluster.write_persistent(*host, id)?;
            }
            return Ok(());
        }
        if !cluster.has_quirk(Quirk::UnnoticedCuts) {
            // What an earlier export left there may be longer.
            self.file.set_len(self.task.content_length)?;
        }
        let record = self.record(scheduler, Some(crc32));
        cluster.node(*host)?.store().place(content, &record)?;
        scheduler.complete_transfer(*host, record, reservation);
        scheduler.evict_if_full(*host);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
