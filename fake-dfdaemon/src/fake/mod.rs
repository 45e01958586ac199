//! The running fake: hosts with their sockets, one cluster behind them.

mod builder;
#[cfg(feature = "control")]
mod control_api;
#[cfg(feature = "proxy")]
pub(crate) mod proxies;
mod ready;
mod running;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use self::builder::Builder;
#[cfg(feature = "proxy")]
pub use self::proxies::{Proxy, ProxyBuilder, Recorder, RecorderBuilder, Replay, ReplayBuilder};
pub use self::ready::Ready;
use self::running::Running;
#[cfg(test)]
use crate::call::CallContext;
use crate::call::clock::Clock;
use crate::call::faults::{Fault, FaultError, FaultGuard};
use crate::call::journal::Journal;
#[cfg(test)]
use crate::cluster::Cluster;
use crate::cluster::{Task, Waiting};
use crate::dfdaemon::adjustable::{AdjustableSettings, SettingsError};
use crate::dfdaemon::release::Release;
use crate::instance::Instance;
use crate::instance::error::StartError;
use crate::instance::host::Host;
use crate::instance::own_thread::{OwnThread, finish_on, run_on};
use crate::instance::preload::Preloaded;
use crate::instance::snapshot::SnapshotError;

/// A dfdaemon with its scheduler and its peers, running in this process.
///
/// It runs on a thread of its own: a test that blocks, for example waits for a
/// [`Command`](std::process::Command), does not block the fake, in any runtime or in none. Its
/// methods that are `async` work in any runtime too; [`block_on`](crate::block_on) waits for them
/// without one.
///
/// Dropped, it breaks all connections and waits until everything has ended, so that its temporary
/// state is gone. [`FakeDfdaemon::stop`] answers running calls first.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Fault, Rpc, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let _stalls = daemon.fault(Fault::on(Rpc::Stat).stall());
/// // … run a program with DFCACHE_ENDPOINT set to `daemon.endpoint()` …
/// block_on(daemon.stop());
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Debug)]
#[must_use = "a fake that is dropped stops"]
pub struct FakeDfdaemon {
    running: Running,
    /// Unless it runs where it was started.
    thread: Option<OwnThread>,
    keeps_state_on_panic: bool,
}

impl FakeDfdaemon {
    /// Starts a fake with default settings, in code that has no runtime.
    ///
    /// # Errors
    ///
    /// As of [`Builder::start`].
    pub fn start_blocking() -> Result<Self, StartError> {
        Self::builder().start_blocking()
    }

    fn new(running: Running, thread: Option<OwnThread>) -> Self {
        Self {
            running,
            thread,
            keeps_state_on_panic: false,
        }
    }

    fn instance(&self) -> &Arc<Instance> {
        &self.running.instance
    }

    /// The first host's socket.
    #[must_use]
    pub fn endpoint(&self) -> &Path {
        self.instance()
            .hosts
            .first()
            .map_or(Path::new(""), |host| &host.endpoint)
    }

    /// Every host's socket, by the host's number.
    pub fn endpoints(&self) -> impl Iterator<Item = &Path> {
        self.instance()
            .hosts
            .iter()
            .map(|host| host.endpoint.as_path())
    }

    /// The hosts, by number.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.instance().hosts.iter().map(Host)
    }

    /// One host, or `None` if no host has this number.
    #[must_use]
    pub fn host(&self, number: usize) -> Option<Host<'_>> {
        self.hosts().nth(number)
    }

    /// The files that were imported at the start, ordered by path.
    #[must_use]
    pub fn preloaded(&self) -> &[Preloaded] {
        &self.running.preloaded
    }

    /// The clock. A test can move a manual one.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.instance().calls.clock
    }

    /// The directory of all files.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.instance().cluster.state_dir().path()
    }

    /// The release of dfdaemon that the fake imitates.
    #[must_use]
    pub fn release(&self) -> Release {
        self.instance().cluster.release()
    }

    /// The calls that have ended.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.instance().calls.journal
    }

    /// The tasks of the cluster that have not expired, ordered by id.
    ///
    /// ```
    /// use fake_dfdaemon::{FakeDfdaemon, TaskState};
    ///
    /// let models = tempfile::tempdir()?;
    /// std::fs::write(models.path().join("model.bin"), "content")?;
    /// let daemon = FakeDfdaemon::builder().preload(models.path()).start_blocking()?;
    /// let tasks = daemon.tasks();
    /// assert_eq!((tasks.len(), tasks[0].content_length), (1, 7));
    /// assert_eq!(tasks[0].state, TaskState::Succeeded);
    /// assert_eq!(tasks[0].replicas[0].host, "host-0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let cluster = &self.instance().cluster;
        let ids = cluster.scheduler().task_ids().into_iter();
        // One by one: between them, others get at what they are made of.
        ids.filter_map(|id| cluster.scheduler().task(&id)).collect()
    }

    /// Arms a fault until the returned guard is dropped.
    ///
    /// # Panics
    ///
    /// If the parts of the fault do not go together; [`FakeDfdaemon::try_fault`] returns an error
    /// instead.
    #[allow(clippy::panic)]
    pub fn fault(&self, fault: Fault) -> FaultGuard {
        self.try_fault(fault)
            .unwrap_or_else(|error| panic!("no fault: {error}"))
    }

    /// Arms a fault until the returned guard is dropped.
    ///
    /// # Errors
    ///
    /// If the parts of the fault do not go together.
    pub fn try_fault(&self, fault: Fault) -> Result<FaultGuard, FaultError> {
        let faults = &self.instance().calls.faults;
        let closes_sockets = fault.closes_sockets();
        let id = faults.add(fault, self.instance().hosts.len())?;
        let guard = FaultGuard::new(Arc::clone(faults), id);
        if !closes_sockets {
            return Ok(guard);
        }
        follow_faults(self.instance());
        let instance = Arc::downgrade(self.instance());
        Ok(guard.and_then(move || {
            if let Some(instance) = instance.upgrade() {
                follow_faults(&instance);
            }
        }))
    }

    /// The settings that can change while it runs, as they are now.
    #[must_use]
    pub fn settings(&self) -> AdjustableSettings {
        AdjustableSettings::clone(&self.instance().cluster.adjusted())
    }

    /// Changes settings for later requests; a [`reset`](Self::reset) restores those of the start.
    ///
    /// ```
    /// use fake_dfdaemon::FakeDfdaemon;
    ///
    /// let daemon = FakeDfdaemon::start_blocking()?;
    /// daemon.change_settings(|settings| settings.max_requests = Some(0))?; // it is overloaded from now on
    /// daemon.change_settings(|settings| settings.max_requests = None)?; // and no longer
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the settings are invalid. Nothing has changed then.
    pub fn change_settings(
        &self,
        change: impl FnOnce(&mut AdjustableSettings),
    ) -> Result<(), SettingsError> {
        let cluster = &self.instance().cluster;
        cluster.adjust(|settings| {
            change(settings);
            Ok::<_, SettingsError>(())
        })?;
        Ok(())
    }

    /// Waits until all replication, collection and eviction that is due has ended, and returns the work
    /// that waits for the clock.
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
    ///     .preload(models.path())
    ///     .replication_delay(Duration::from_secs(3600))
    ///     .start_blocking()?;
    /// let waiting = block_on(daemon.settle());
    /// let task = &daemon.tasks()[0];
    /// let replica = waiting.iter().find(|due| due.what == format!("replicate task {}", task.id));
    /// assert_eq!(replica.and_then(|due| due.due), Some(daemon.clock().now() + Duration::from_secs(3600)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn settle(&self) -> Vec<Waiting> {
        self.run(|instance| async move { instance.jobs().settle().await })
            .await
    }

    /// Collects expired tasks now.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub async fn collect(&self) -> io::Result<()> {
        self.run(|instance| async move { instance.collect().await })
            .await
    }

    /// Takes a snapshot of tasks, hosts and clock. It replaces an earlier one of the same name.
    ///
    /// # Errors
    ///
    /// If the name cannot be a file's, or the disk fails.
    pub async fn snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let name = name.to_owned();
        self.run(|instance| async move { instance.take_snapshot(&name).await })
            .await
    }

    /// Restores tasks, hosts and clock from a snapshot. Running calls fail with UNAVAILABLE.
    ///
    /// # Errors
    ///
    /// If there is no such snapshot, or the disk fails.
    pub async fn restore(&self, name: &str) -> Result<(), SnapshotError> {
        let name = name.to_owned();
        self.run(|instance| async move { instance.restore(&name).await })
            .await
    }

    /// Returns to the state after a start with an empty state directory: preloaded files are imported
    /// again, only the faults of the start are armed, the journal is empty. Snapshots stay. Running
    /// calls fail with UNAVAILABLE.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a file cannot be preloaded any more.
    pub async fn reset(&self) -> Result<(), SnapshotError> {
        self.run(|instance| async move { instance.reset().await })
            .await
    }

    /// Stops the fake: running calls fail with UNAVAILABLE, the sockets are closed and removed, and all
    /// has ended when this returns.
    pub async fn stop(mut self) {
        let stopping = self.running.stop();
        run_on(&self.instance().runtime, stopping).await;
        if let Some(thread) = self.thread.take() {
            thread.end().await;
        }
    }

    /// Runs work where the fake runs, to its end also if nobody waits any more.
    async fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Instance>) -> F,
    ) -> T {
        let instance = Arc::clone(self.instance());
        run_on(&self.instance().runtime, work(instance)).await
    }

    /// Says where the state and the journal are: among the output of a test that failed.
    #[allow(clippy::print_stderr)]
    fn name_state(&self) {
        let (state, journal) = (self.state_dir().display(), self.journal().path().display());
        eprintln!("the state of fake-dfdaemon stays in {state}, its journal in {journal}");
    }

    /// Lets the state directory stay when the fake stops, also a temporary one.
    pub(crate) fn keep_state(&self) {
        self.instance().cluster.state_dir().keep();
    }

    #[cfg(test)]
    pub(crate) fn calls(&self) -> &Arc<CallContext> {
        &self.instance().calls
    }

    #[cfg(test)]
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.instance().cluster
    }
}

/// Closes the sockets that a fault leaves stale and opens those again that none does, before this
/// returns.
fn follow_faults(instance: &Arc<Instance>) {
    let followed = Arc::clone(instance);
    finish_on(&instance.runtime, async move {
        if let Err(error) = followed.follow_faults().await {
            tracing::warn!(%error, "a host is not served");
        }
    });
}

impl Drop for FakeDfdaemon {
    fn drop(&mut self) {
        if self.keeps_state_on_panic && std::thread::panicking() {
            self.keep_state();
            self.name_state();
        }
        if let Some(thread) = self.thread.take() {
            // The thread ends when this has.
            thread.spawn(self.running.break_up());
        }
    }
}
