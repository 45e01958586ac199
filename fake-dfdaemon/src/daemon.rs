//! The running fake: hosts with their sockets, one cluster behind them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::builder::{Builder, StartError};
use crate::call::clock::Clock;
use crate::call::faults::{Fault, FaultError, FaultGuard};
use crate::call::journal::Journal;
use crate::cluster::{Cluster, HostStatus, Waiting};
use crate::control::ControlServer;
use crate::host::{Host, HostServer};
use crate::own_thread::{OwnThread, run_on};
use crate::preload::{Preloaded, preload};
use crate::snapshot::{self, About, SnapshotError};
use crate::store::CancelFlag;

/// A dfdaemon with its scheduler and its peers, running in this process.
///
/// It runs on a thread of its own: a test that blocks, for example waits for a
/// [`Command`](std::process::Command), does not block the fake, in any runtime or in none. Its
/// methods that are `async` work in any runtime too; [`block_on`](crate::block_on) waits for them
/// without one.
///
/// Dropped, it breaks all connections and waits until everything has ended, so that its temporary
/// state is gone. [`FakeDfdaemon::stop`] lets calls that are running end first.
#[derive(Debug)]
#[must_use = "a fake that is dropped stops"]
pub struct FakeDfdaemon {
    running: Running,
    /// Unless it runs where it was started.
    thread: Option<OwnThread>,
}

/// What runs, and ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    control: Option<ControlServer>,
    preloaded: Vec<Preloaded>,
    pub(crate) world: Arc<World>,
}

/// What the control API and the library act on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) hosts: Vec<Arc<HostServer>>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) started_at: Timestamp,
    /// Held by whoever keeps a state or brings one back.
    pub(crate) snapshots: tokio::sync::Mutex<()>,
    /// The directory of files that are there from the start, and their TTL.
    pub(crate) preload: Option<(PathBuf, Duration)>,
    /// Where everything runs.
    pub(crate) runtime: Handle,
}

impl Running {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            control: None,
            preloaded: Vec::new(),
            world,
        }
    }

    pub(crate) fn run_jobs(&self) {
        let cluster = &self.world.cluster;
        cluster.spawn(Arc::clone(cluster).run_jobs());
    }

    pub(crate) async fn preload(&mut self) -> Result<(), StartError> {
        self.preloaded = self.world.import_preloaded().await?;
        Ok(())
    }

    pub(crate) fn listen(&self) -> Result<(), StartError> {
        self.world.hosts.iter().try_for_each(|host| host.listen())
    }

    pub(crate) async fn serve_control(
        &mut self,
        path: Option<PathBuf>,
        tcp: Option<SocketAddr>,
        mode: u32,
    ) -> Result<(), StartError> {
        let state = self.world.cluster.state_dir().path();
        let path = path.unwrap_or_else(|| state.join("control.sock"));
        self.control = Some(ControlServer::start(&self.world, path, tcp, mode).await?);
        Ok(())
    }

    /// Breaks off what is running, lets calls end for a moment, and waits until all has ended.
    pub(crate) fn stop(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.world.break_off();
        let control = self.control.take();
        let world = Arc::clone(&self.world);
        async move {
            if let Some(control) = control {
                control.stop().await;
            }
            // Together: each may have a reader that stalls to wait for.
            join_all(world.hosts.iter().map(|host| host.stop())).await;
            world.cluster.stop().await;
        }
    }

    /// As [`Self::stop`], but breaks the connections.
    fn break_up(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.world.break_off();
        // It ends as soon as it is dropped.
        let control = self.control.take();
        let world = Arc::clone(&self.world);
        async move {
            drop(control);
            join_all(world.hosts.iter().map(|host| host.close())).await;
            world.cluster.stop().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The cluster's jobs hold it, and would never end by themselves.
        self.world.break_off();
    }
}

impl FakeDfdaemon {
    /// A fake as the command line starts it by default: 3 hosts, release 0.2, temporary state.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts such a fake in code that has no runtime.
    ///
    /// # Errors
    ///
    /// As of [`Builder::start`].
    pub fn start_blocking() -> Result<Self, StartError> {
        Self::builder().start_blocking()
    }

    pub(crate) fn new(running: Running, thread: Option<OwnThread>) -> Self {
        Self { running, thread }
    }

    fn world(&self) -> &Arc<World> {
        &self.running.world
    }

    /// The first host's socket.
    #[must_use]
    pub fn endpoint(&self) -> &Path {
        self.world()
            .hosts
            .first()
            .map_or(Path::new(""), |host| &host.endpoint)
    }

    /// Every host's socket, by the host's number.
    pub fn endpoints(&self) -> impl Iterator<Item = &Path> {
        self.world()
            .hosts
            .iter()
            .map(|host| host.endpoint.as_path())
    }

    /// The hosts, by number.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.world().hosts.iter().map(Host)
    }

    /// One host, or `None` if there is none with this number.
    #[must_use]
    pub fn host(&self, number: usize) -> Option<Host<'_>> {
        self.hosts().nth(number)
    }

    /// The control API's socket.
    #[must_use]
    pub fn control(&self) -> &Path {
        self.running
            .control
            .as_ref()
            .map_or(Path::new(""), ControlServer::path)
    }

    /// The address at which the control API is served besides, if that was asked for.
    #[must_use]
    pub fn control_tcp(&self) -> Option<SocketAddr> {
        self.running.control.as_ref().and_then(ControlServer::tcp)
    }

    /// The files that were imported at the start, ordered by path.
    #[must_use]
    pub fn preloaded(&self) -> &[Preloaded] {
        &self.running.preloaded
    }

    /// The clock, to be moved if it is a manual one.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.world().cluster.calls().clock
    }

    /// The directory that everything lives in.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.world().cluster.state_dir().path()
    }

    /// The calls that have ended.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.world().cluster.calls().journal
    }

    /// Adds a fault, which lasts as long as what is returned.
    ///
    /// # Panics
    ///
    /// If the parts of the fault do not go together; [`FakeDfdaemon::try_fault`] tells so instead.
    #[allow(clippy::panic)]
    pub fn fault(&self, fault: Fault) -> FaultGuard {
        self.try_fault(fault)
            .unwrap_or_else(|error| panic!("no fault: {error}"))
    }

    /// Adds a fault, which lasts as long as what is returned.
    ///
    /// # Errors
    ///
    /// If the parts of the fault do not go together.
    pub fn try_fault(&self, fault: Fault) -> Result<FaultGuard, FaultError> {
        let faults = &self.world().cluster.calls().faults;
        let id = faults.add(fault, self.world().hosts.len())?;
        Ok(FaultGuard::new(Arc::clone(faults), id))
    }

    /// Waits until all replication, collection and eviction that is due has ended, and tells what
    /// only time can bring.
    pub async fn settle(&self) -> Vec<Waiting> {
        self.run(|world| async move { world.cluster.settle().await })
            .await
    }

    /// Collects expired tasks now.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub async fn collect(&self) -> io::Result<()> {
        self.run(|world| async move { world.collect().await }).await
    }

    /// Keeps tasks, hosts and clock under a name, in place of an earlier snapshot.
    ///
    /// # Errors
    ///
    /// If the name cannot be a file's, or the disk fails.
    pub async fn snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let name = name.to_owned();
        self.run(|world| async move { world.take_snapshot(&name).await })
            .await
    }

    /// Brings tasks, hosts and clock back to a snapshot. Calls that are running get UNAVAILABLE.
    ///
    /// # Errors
    ///
    /// If there is no such snapshot, or the disk fails.
    pub async fn restore(&self, name: &str) -> Result<(), SnapshotError> {
        let name = name.to_owned();
        self.run(|world| async move { world.restore(&name).await })
            .await
    }

    /// Brings all back to how it was after the start on an empty state: preloaded files are there
    /// again, the faults of the start are armed again and no others, the journal is empty. Snapshots
    /// stay. Calls that are running get UNAVAILABLE.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a file cannot be preloaded any more.
    pub async fn reset(&self) -> Result<(), SnapshotError> {
        self.run(|world| async move { world.reset().await }).await
    }

    /// Stops: breaks off what is running, closes and removes the sockets, and waits for all of it.
    pub async fn stop(mut self) {
        let stopping = self.running.stop();
        run_on(&self.world().runtime, stopping).await;
        if let Some(thread) = self.thread.take() {
            thread.end().await;
        }
    }

    /// Runs work where the fake runs, to its end also if nobody waits any more.
    async fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<World>) -> F,
    ) -> T {
        let world = Arc::clone(self.world());
        run_on(&self.world().runtime, work(world)).await
    }

    /// Lets the state directory stay when the fake stops, also a temporary one.
    pub(crate) fn keep_state(&self) {
        self.world().cluster.state_dir().keep();
    }

    #[cfg(test)]
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.world().cluster
    }

    /// What there is to know of a fake that is ready.
    #[must_use]
    pub fn ready(&self) -> Ready {
        Ready {
            event: "ready",
            endpoint: self.endpoint().to_owned(),
            hosts: self.hosts().map(ReadyHost::new).collect(),
            control: self.control().to_owned(),
            control_tcp: self.control_tcp(),
            state_dir: self.state_dir().to_owned(),
            pid: std::process::id(),
            fault_seed: self.world().cluster.calls().faults.seed(),
            preloaded: self.running.preloaded.clone(),
        }
    }
}

impl Drop for FakeDfdaemon {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread ends when this has.
            thread.spawn(self.running.break_up());
        }
    }
}

impl World {
    fn break_off(&self) {
        self.cluster.stopping().cancel();
        self.cluster.calls().gate.end_all();
    }

    pub(crate) fn host(&self, name: &str) -> Option<Host<'_>> {
        self.hosts.iter().map(Host).find(|host| host.name() == name)
    }

    pub(crate) async fn collect(&self) -> io::Result<()> {
        let collected = self.cluster.blocking(|cluster| cluster.collect()).await;
        collected.map_err(io::Error::other)
    }

    pub(crate) async fn take_snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let about = self.about();
        let name = name.to_owned();
        self.on_disk(move |cluster| snapshot::take(cluster, &name, &about))
            .await
    }

    fn about(&self) -> About {
        About {
            now: self.cluster.calls().clock.now(),
            hosts: self.hosts.iter().map(|host| Host(host).status()).collect(),
        }
    }

    pub(crate) async fn restore(&self, name: &str) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let name = name.to_owned();
        // What takes long comes first: calls go on meanwhile.
        let prepare = move |cluster: &Cluster| {
            let about = snapshot::about(cluster, &name)?;
            snapshot::prepare(cluster, Some(&name))?;
            Ok(about)
        };
        let about = self.on_disk(prepare).await?;
        let alone = self.cluster.calls().gate.close().await;
        let _alone = alone.ok_or(SnapshotError::CallHangs)?;
        self.replace_state(about).await
    }

    pub(crate) async fn reset(&self) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let hosts = vec![HostStatus::Running; self.hosts.len()];
        let about = About {
            now: self.started_at,
            hosts,
        };
        self.on_disk(|cluster| snapshot::prepare(cluster, None))
            .await?;
        let alone = self.cluster.calls().gate.close().await;
        let _alone = alone.ok_or(SnapshotError::CallHangs)?;
        self.replace_state(about).await?;
        let calls = self.cluster.calls();
        calls.faults.start_anew();
        let journal = Arc::clone(&calls.journal);
        self.on_disk(move |_| Ok(journal.start_anew()?)).await?;
        self.import_preloaded().await.map_err(Box::new)?;
        Ok(())
    }

    /// Imports the files that are there from the start.
    async fn import_preloaded(&self) -> Result<Vec<Preloaded>, StartError> {
        let Some((dir, ttl)) = self.preload.clone() else {
            return Ok(Vec::new());
        };
        let cancel = CancelOnDrop(CancelFlag::default());
        let flag = cancel.0.clone();
        let preloaded = self
            .cluster
            .blocking_on_all(move |cluster| preload(cluster, &dir, ttl, &flag));
        let preloaded = preloaded.await;
        preloaded.map_err(|error| StartError::Other(error.into()))?
    }

    /// Puts what was prepared in the place of the state. No call is running.
    async fn replace_state(&self, about: About) -> Result<(), SnapshotError> {
        // Moved time, and hosts that come, would start what only the state lacks that goes.
        self.cluster.forget_jobs();
        let before = self.about();
        let mut replaced = self.become_as(about).await;
        if replaced.is_ok() {
            replaced = self.on_disk(snapshot::bring_back).await;
        }
        if replaced.is_err() {
            if let Err(error) = self.become_as(before).await {
                tracing::error!(%error, "clock and hosts are not as they were");
            }
            let put_down = |cluster: &Cluster| {
                cluster.put_down_all_anew();
                Ok(())
            };
            // The error before it is the one to tell.
            let _ = self.on_disk(put_down).await;
        }
        replaced
    }

    async fn become_as(&self, about: About) -> Result<(), SnapshotError> {
        // System time is not ours to move.
        let _ = self.cluster.calls().clock.set(about.now);
        for (host, status) in self.hosts.iter().zip(about.hosts) {
            Host(host).restore_status(status).await.map_err(Box::new)?;
        }
        Ok(())
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cluster) -> Result<T, SnapshotError> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let work = self.cluster.blocking_on_all(|cluster| work(cluster)).await;
        work.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }
}

/// Breaks off a preload that nobody waits for any more.
struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The ready line: one JSON object.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    event: &'static str,
    endpoint: PathBuf,
    hosts: Vec<ReadyHost>,
    control: PathBuf,
    control_tcp: Option<SocketAddr>,
    state_dir: PathBuf,
    pid: u32,
    fault_seed: u64,
    preloaded: Vec<Preloaded>,
}

#[derive(Clone, Debug, Serialize)]
struct ReadyHost {
    name: String,
    endpoint: PathBuf,
    upload_endpoint: PathBuf,
}

impl ReadyHost {
    fn new(host: Host<'_>) -> Self {
        Self {
            name: host.name(),
            endpoint: host.endpoint().to_owned(),
            upload_endpoint: host.upload_endpoint().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Condvar, Mutex};

    use super::*;
    use crate::store::{Mishap, Mishaps, Step};

    /// A disk that takes its time to rename, once it is told to.
    #[derive(Debug, Default)]
    struct Slow {
        armed: AtomicBool,
        reached: tokio::sync::Notify,
        released: Mutex<bool>,
        changed: Condvar,
    }

    impl Slow {
        fn release(&self) {
            *self.released.lock().unwrap() = true;
            self.changed.notify_all();
        }
    }

    impl Mishaps for Slow {
        fn at(&self, step: Step) -> Option<Mishap> {
            if step == Step::Rename && self.armed.load(Ordering::Relaxed) {
                self.reached.notify_one();
                let released = self.released.lock().unwrap();
                drop(self.changed.wait_while(released, |released| !*released));
            }
            None
        }

        fn skip_syncs(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn a_stop_waits_for_a_snapshot_that_its_client_left() {
        let slow = Arc::new(Slow::default());
        let mut builder = FakeDfdaemon::builder().hosts(1);
        builder.mishaps = Some(Arc::clone(&slow) as Arc<dyn Mishaps>);
        let daemon = builder.start().await.unwrap();
        let dir = daemon.state_dir().to_owned();
        slow.armed.store(true, Ordering::Relaxed);
        tokio::select! {
            _ = daemon.snapshot("one") => unreachable!("it takes for ever"),
            () = slow.reached.notified() => {}
        }
        let mut stop = Box::pin(daemon.stop());
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut stop);
        assert!(early.await.is_err(), "it did not wait");
        slow.release();
        stop.await;
        assert!(!dir.exists(), "its directory is left");
    }

    /// Nothing ends a thread that waits for a file system that hangs.
    #[tokio::test]
    async fn a_call_that_hangs_keeps_neither_a_reset_nor_a_stop_from_ending() {
        let daemon = FakeDfdaemon::builder().start().await.unwrap();
        let cluster = Arc::clone(daemon.cluster());
        let (go_on, hung) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel();
        let call = tokio::spawn(async move {
            let hang = move |_: &Arc<Cluster>| {
                begins.send(()).unwrap();
                hung.recv().unwrap_err();
                Ok(())
            };
            cluster.blocking(hang).await
        });
        begun.await.unwrap();
        let refused = daemon.reset().await;
        assert!(matches!(refused, Err(SnapshotError::CallHangs)));
        // Others are let in again.
        let cluster = Arc::clone(daemon.cluster());
        cluster.blocking(|_| Ok(())).await.unwrap();
        let state = daemon.state_dir().to_owned();
        daemon.stop().await;
        assert!(!state.exists());
        drop(go_on);
        call.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn settling_ends_when_time_is_set_back_before_what_was_due() {
        let hour = Duration::from_secs(3600);
        let builder = FakeDfdaemon::builder().manual_clock().gc_interval(hour);
        let daemon = builder.open_without_sockets().await.unwrap();
        daemon.cluster().settle().await;
        let before = daemon.clock().now();
        daemon.clock().advance(hour).unwrap();
        let mut settle = tokio_test::task::spawn(daemon.cluster().settle());
        // Nothing else runs in between on this one thread: what is due has not begun.
        tokio_test::assert_pending!(settle.poll());
        daemon.clock().set(before).unwrap();
        let settled = tokio::time::timeout(Duration::from_secs(30), settle).await;
        assert_eq!(settled.expect("it hangs").len(), 1);
    }
}
