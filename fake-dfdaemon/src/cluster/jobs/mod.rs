//! What the cluster does by itself, when it is due: replication, collection, eviction.

mod missing;

use std::sync::Arc;

use futures_util::future::OptionFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::scheduler::agenda::Parked;
use super::scheduler::job::{Job, words};
use super::scheduler::placement::{Step, draw, plan};
use super::scheduler::replicas::ReplicaState;
use super::scheduler::state::{Entry, State};
use super::transfer::Wanted;
use super::{Cluster, Error, later};
use crate::call::faults::registry::Arriving;
use crate::call::faults::{Action, Phase};
use crate::call::gate::Entered;
use crate::call::random::Random;
use crate::call::rpc::Rpc;
use crate::call::{Arrived, Call};
use crate::dfdaemon::host_name;
use crate::dfdaemon::quirks::Quirk;
use crate::store::TaskState;
use crate::store::trash;
use tonic::Status;

/// Above this share of its capacity a host evicts, in percent.
const EVICT_ABOVE: u64 = 80;

/// Down to this share it does, in percent.
const EVICT_DOWN_TO: u64 = 60;

/// Work that only time can bring.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::{FakeDfdaemon, block_on};
///
/// let models = tempfile::tempdir()?;
/// std::fs::write(models.path().join("model.bin"), "content")?;
/// let daemon = FakeDfdaemon::builder()
///     .manual_clock()
///     .replication_delay(Duration::from_secs(3600))
///     .preload(models.path())
///     .start_blocking()?;
/// let waiting = block_on(daemon.settle());
/// let due = waiting.iter().filter_map(|waiting| waiting.due).min();
/// assert!(due > Some(daemon.clock().now()), "{waiting:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// What will be done, in words.
    pub what: String,
    /// When it is due, by the daemon's clock; `None` if not time but the end of a fault or of an
    /// export brings it.
    pub due: Option<Timestamp>,
}

impl Cluster {
    /// Does what is due when it is due, until the daemon stops.
    pub(crate) async fn run_jobs(self: Arc<Self>) {
        let mut changed = self.agenda.subscribe();
        let mut moves = self.clock.moves();
        let stopping = self.stopping.clone();
        while !stopping.is_cancelled() {
            self.collect_within_an_interval();
            while let Some(job) = self.agenda.start_due(self.now()) {
                let cluster = Arc::clone(&self);
                self.running.spawn(async move {
                    cluster.run_job(&job).await;
                    cluster.agenda.ended(&job);
                });
            }
            let next = self.agenda.next_due().unwrap_or(Timestamp::MAX);
            tokio::select! {
                () = stopping.cancelled() => {}
                _ = changed.changed() => {}
                Some(_) = OptionFuture::from(moves.as_mut().map(watch::Receiver::changed)) => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// Sees to it that the collector is not waited for longer than its interval, as it would be
    /// when time was set back.
    pub(super) fn collect_within_an_interval(&self) {
        let latest = later(self.now(), self.adjusted().gc_interval);
        self.agenda.add(latest, Job::Collect);
    }

    async fn run_job(self: &Arc<Self>, job: &Job) {
        let done = match job {
            Job::Replicate(id) => {
                let replicated = self.replicate(id).await;
                if replicated.is_err() && !self.has_quirk(Quirk::OneTryReplication) {
                    let again = later(self.now(), self.adjusted().gc_interval);
                    self.agenda.add(again, job.clone());
                }
                replicated
            }
            Job::Collect => {
                let next = later(self.now(), self.adjusted().gc_interval);
                let (held, _) = self.calls.gate.enter().await;
                let collected = self.blocking_while(held, |cluster| cluster.collect()).await;
                self.agenda.add(next, Job::Collect);
                collected
            }
            Job::Evict(host) => {
                let host = *host;
                let (held, _) = self.calls.gate.enter().await;
                self.blocking_while(held, move |cluster| cluster.evict(host))
                    .await
            }
            Job::EmptyTrash => {
                let emptied = self.blocking_while((), Self::empty_trash).await;
                if emptied.is_err() {
                    let again = later(self.now(), self.adjusted().gc_interval);
                    self.agenda.add(again, Job::EmptyTrash);
                }
                emptied
            }
        };
        // One that a stop breaks off has not failed.
        if let Err(error) = done
            && !self.stopping.is_cancelled()
        {
            tracing::warn!(?job, %error, "a job failed");
        }
    }

    /// Waits until nothing is running and nothing is due, and tells what is left for later times.
    pub(crate) async fn settle(&self) -> Vec<Waiting> {
        let mut changed = self.agenda.subscribe();
        let mut moves = self.clock.moves();
        loop {
            self.collect_within_an_interval();
            if let Some(waiting) = self.agenda.settled(self.now()) {
                let jobs = waiting.into_iter().map(|(job, due)| (words(&job), due));
                let calls = self.calls.waits.beyond(self.now()).into_iter();
                return jobs
                    .chain(calls.map(|(what, due)| (what, Some(due))))
                    .map(|(what, due)| Waiting { what, due })
                    .collect();
            }
            tokio::select! {
                () = self.stopping.cancelled() => return Vec::new(),
                _ = changed.changed() => {}
                // Set back, it takes away what was due.
                Some(_) = OptionFuture::from(moves.as_mut().map(watch::Receiver::changed)) => {}
            }
        }
    }

    /// Puts a task's replication down for when the scheduler gets to it.
    pub(super) fn replicate_later(&self, id: &Arc<str>) {
        let due = later(self.now(), self.adjusted().replication_delay);
        self.agenda.add(due, Job::Replicate(Arc::clone(id)));
    }

    /// Puts down the removal of what was put out of the way.
    pub(crate) fn empty_trash_soon(&self) {
        self.agenda.add(self.now(), Job::EmptyTrash);
    }

    fn empty_trash(self: &Arc<Self>) -> Result<(), Error> {
        Ok(trash::empty(&self.disk, self.state_dir.path())?)
    }

    /// Puts eviction down if a host holds more than it should.
    pub(super) fn evict_if_full(&self, host: usize) {
        if self.over(host, EVICT_ABOVE) {
            self.agenda.add(self.now(), Job::Evict(host));
        }
    }

    fn over(&self, host: usize, percent: u64) -> bool {
        let Some(capacity) = self.adjusted().capacity else {
            return false;
        };
        let used = self.state().hosts.get(host).map_or(0, |host| host.used);
        u128::from(used) * 100 > u128::from(capacity) * u128::from(percent)
    }

    /// What makes a task's persistent replicas as many as were asked for: nothing, if no host has
    /// its content any more.
    pub(super) fn missing_replicas(&self, state: &State, entry: &Entry) -> Vec<Step> {
        if !entry.replicas.iter().any(|(_, replica)| replica.is_whole()) {
            return Vec::new();
        }
        plan(
            entry.task.persistent_replica_count,
            &state.candidates(entry, self.adjusted().capacity),
        )
    }

    /// The one attempt of a scheduler that draws hosts before it looks at their room.
    fn only_try(&self, id: &str) -> Vec<Step> {
        let (state, now) = (self.state(), self.now());
        let entry = state.live(id, now);
        let Some(entry) = entry.filter(|entry| entry.task.state == TaskState::Succeeded) else {
            return Vec::new();
        };
        if entry.whole_replica_count() == 0 {
            return Vec::new();
        }
        let candidates = state.candidates(entry, self.adjusted().capacity);
        let seed = (entry.generation.seed(), now.as_second().unsigned_abs());
        let parts: Vec<_> = id.bytes().map(u64::from).chain([seed.0, seed.1]).collect();
        draw(
            entry.task.persistent_replica_count,
            &candidates,
            &mut Random::of(&parts),
        )
    }

    async fn replicate(self: &Arc<Self>, id: &Arc<str>) -> Result<(), Error> {
        let mut only = self
            .has_quirk(Quirk::OneTryReplication)
            .then(|| self.only_try(id).into_iter());
        // When the state is replaced, what is to be done is put down anew.
        let replaced = self.calls.gate.ends();
        loop {
            let entered = self.calls.gate.enter().await;
            if replaced.is_cancelled() {
                return Ok(());
            }
            let step = match &mut only {
                Some(steps) => steps.next(),
                None => self.next_replica(id),
            };
            let taken = match step {
                None => return Ok(()),
                Some(Step::Promote(host)) => self.promote(host, id, entered).await,
                Some(Step::Copy(host)) => self.replicate_to(host, id, entered).await,
            };
            if replaced.is_cancelled() {
                return Ok(());
            }
            taken?;
        }
    }

    /// Makes one replica: a call that faults can hit, like those of clients.
    async fn replicate_to(
        self: &Arc<Self>,
        host: usize,
        id: &Arc<str>,
        entered: Entered,
    ) -> Result<(), Error> {
        let name = host_name(host);
        let (tag, application) = self.labels(id);
        let request = json!({"task_id": &**id, "persistent": true});
        let what = Arriving {
            rpc: Rpc::Replicate,
            host: &name,
            task: Some(id),
            tags: [None, tag.as_deref()],
            applications: [None, application.as_deref()],
        };
        let arrived = Arrived {
            what,
            request: &request,
            connection: None,
        };
        let mut call = self.calls.begin_entered(entered, arrived);
        let made = self.make_replica(&mut call, host, id).await;
        let _ = call.answered(made.as_ref().err());
        made.map_err(|status| Error::Fault(status.into()))
    }

    async fn make_replica(
        self: &Arc<Self>,
        call: &mut Call,
        host: usize,
        id: &Arc<str>,
    ) -> Result<(), Status> {
        self.wait_for_faults(call, Phase::Before, id).await?;
        let wanted = Wanted {
            persistent: true,
            store_faults: call.store_faults(),
        };
        let fetched = tokio::select! {
            fetched = self.fetch_replica(host, id, wanted) => fetched,
            () = call.ends().cancelled_owned() => Err(Error::Stopping),
        };
        fetched.map_err(|error| error.status(self.release()))?;
        self.wait_for_faults(call, Phase::After, id).await
    }

    /// Transfers a task to a host, when it is its turn.
    async fn fetch_replica(
        self: &Arc<Self>,
        host: usize,
        id: &Arc<str>,
        wanted: Wanted,
    ) -> Result<(), Error> {
        // A transfer may wait for ever for a poisoned copy, which must not keep others back.
        let takes_turns = !self.has_quirk(Quirk::PoisonedCopies);
        let fetch = || async {
            let (id, wanted) = (Arc::clone(id), wanted.clone());
            let fetched = self.blocking(move |cluster| cluster.fetch(host, &id, &wanted));
            fetched.await?.ended().await
        };
        self.in_turn(takes_turns, fetch).await
    }

    /// Makes a copy that a host has a persistent one, when it is its turn.
    async fn promote(
        self: &Arc<Self>,
        host: usize,
        id: &Arc<str>,
        (_held, ends): Entered,
    ) -> Result<(), Error> {
        let promote = || {
            let id = Arc::clone(id);
            self.blocking(move |cluster| cluster.set_persistent(host, &id, true))
        };
        tokio::select! {
            promoted = self.in_turn(true, promote) => promoted,
            () = ends.cancelled() => Err(Error::Stopping),
        }
    }

    /// Lets faults act. A replica that one holds up does not keep the cluster from settling.
    async fn wait_for_faults(
        &self,
        call: &mut Call,
        phase: Phase,
        id: &Arc<str>,
    ) -> Result<(), Status> {
        let job = Job::Replicate(Arc::clone(id));
        for armed in call.waiting_at(phase) {
            if let Some(delay) = armed.delay() {
                let due = later(self.now(), delay);
                self.agenda.park(&job, Parked::Until(due));
            } else if *armed.action() == Action::Stall {
                let removed = armed.removed().clone();
                self.agenda.park(&job, Parked::ForEvent(removed));
            }
            let acted = call.act(&armed).await;
            self.agenda.unpark(&job);
            acted?;
        }
        Ok(())
    }

    fn next_replica(&self, id: &str) -> Option<Step> {
        let state = self.state();
        let entry = state.live(id, self.now())?;
        let succeeded = entry.task.state == TaskState::Succeeded;
        succeeded
            .then(|| self.missing_replicas(&state, entry))
            .and_then(|steps| steps.first().copied())
    }

    /// Makes a host's whole copy a persistent one, or an evictable one. Blocks on the disk.
    pub(crate) fn set_persistent(
        &self,
        host: usize,
        id: &str,
        persistent: bool,
    ) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        self.write_persistent(host, id, persistent)
    }

    /// The same for a task whose lock is held.
    pub(super) fn write_persistent(
        &self,
        host: usize,
        id: &str,
        persistent: bool,
    ) -> Result<(), Error> {
        let record = {
            let state = self.state();
            let replica = state
                .tasks
                .get(id)
                .and_then(|entry| entry.whole_replica(host));
            let replica = replica.ok_or_else(|| Error::LocalTaskNotFound { id: id.to_owned() })?;
            let mut record = replica.record.clone();
            record.persistent = persistent;
            record.updated_at = self.now_in_seconds();
            record
        };
        self.store(host)?.write_record(&record)?;
        let mut state = self.state();
        let replica = state
            .tasks
            .get_mut(id)
            .and_then(|entry| entry.replicas.get_mut(host));
        if let Some(replica) = replica {
            replica.counts_as_persistent = false;
            replica.record = record;
        }
        Ok(())
    }

    /// Makes a host's copy an evictable one behind the scheduler's back, as an export there does
    /// with the quirk for it. Blocks on the disk.
    pub(super) fn clear_persistent(&self, host: usize, id: &str) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        let counted = {
            let state = self.state();
            let entry = state.tasks.get(id);
            let replica = entry.and_then(|entry| entry.whole_replica(host));
            replica.is_some_and(ReplicaState::is_persistent)
        };
        self.write_persistent(host, id, false)?;
        let mut state = self.state();
        let entry = state.tasks.get_mut(id);
        if let Some(replica) = entry.and_then(|entry| entry.replicas.get_mut(host)) {
            replica.counts_as_persistent = counted;
        }
        Ok(())
    }

    fn is_collectable(&self, entry: &Entry, now: Timestamp) -> bool {
        let held = entry.leases > 0 && !self.has_quirk(Quirk::ExpiryUnderExports);
        !held && entry.is_expired(now)
    }

    /// Removes every task that has expired and that nobody holds. Blocks on the disk.
    pub(crate) fn collect(&self) -> Result<(), Error> {
        let now = self.now();
        let expired: Vec<_> = {
            let state = self.state();
            let expired = state
                .tasks
                .iter()
                .filter(|(_, entry)| self.is_collectable(entry, now));
            expired.map(|(id, _)| Arc::clone(id)).collect()
        };
        self.disk.sweep();
        let mut collected = Ok(());
        for id in expired {
            if self.stopping.is_cancelled() {
                return Ok(());
            }
            // One that the disk holds on to is no reason to keep the others.
            collected = collected.and(self.collect_task(&id, now));
        }
        for host in 0..self.hosts.len() {
            self.evict_if_full(host);
        }
        self.put_down_replicas_that_fit_now();
        collected
    }

    fn collect_task(&self, id: &str, now: Timestamp) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        let collectable = |entry: &Entry| self.is_collectable(entry, now);
        if !self.state().tasks.get(id).is_some_and(collectable) {
            return Ok(());
        }
        self.forget_task(id)
    }

    /// Removes a host's non-persistent copies until it has room again. Blocks on the disk.
    fn evict(&self, host: usize) -> Result<(), Error> {
        let evictable = self.state().evictable(host);
        let mut evicted = Ok(());
        for id in evictable {
            if !self.over(host, EVICT_DOWN_TO) {
                break;
            }
            evicted = evicted.and(self.evict_copy(host, &id));
        }
        self.put_down_replicas_that_fit_now();
        evicted
    }

    fn evict_copy(&self, host: usize, id: &str) -> Result<(), Error> {
        let _locked = self.task_lock(id);
        let removed = {
            let mut state = self.state();
            let evictable = state.tasks.get(id).is_some_and(|entry| {
                entry.leases == 0
                    && entry
                        .whole_replica(host)
                        .is_some_and(|replica| !replica.record.persistent)
            });
            if !evictable {
                return Ok(());
            }
            state.remove_replica(id, host)
        };
        removed.map_or(Ok(()), |removed| self.remove_files(host, id, removed))
    }
}

#[cfg(test)]
mod tests;
