//! The settings of a fake, and its start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::FakeDfdaemon;
use super::running::Running;
use crate::call::clock::ClockMode;
use crate::call::faults::Fault;
use crate::cluster::PeerAddress;
use crate::dfdaemon::blocklist::Block;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;
use crate::instance::Instance;
use crate::instance::error::StartError;
use crate::instance::own_thread::{OwnThread, block_on};
use crate::instance::settings::Settings;

/// How long a start that fails or is dropped may take to remove what it made.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(5);

/// The settings of a fake; [`Builder::start`] starts it.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Release};
///
/// let daemon = FakeDfdaemon::builder()
///     .hosts(2)
///     .release(Release::V1_5)
///     .capacity(64 << 20)
///     .manual_clock()
///     .start_blocking()?;
/// assert_eq!(daemon.endpoints().count(), 2);
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    pub(crate) settings: Settings,
    keep_state_on_panic: bool,
}

impl From<Settings> for Builder {
    fn from(settings: Settings) -> Self {
        Self {
            settings,
            keep_state_on_panic: false,
        }
    }
}

impl FakeDfdaemon {
    /// A fake as the command line starts it by default: 3 hosts, release 0.2, temporary state.
    pub fn builder() -> Builder {
        Settings::default().into()
    }
}

impl Builder {
    /// The directory of all files. By default a temporary directory, removed with the fake.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.state_dir = Some(path.into());
        self
    }

    /// The first host's socket. By default `host-0.sock` in the state directory.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.socket = Some(path.into());
        self
    }

    /// Permission bits of the sockets. By default 0600.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.settings.socket_mode = mode;
        self
    }

    /// How many hosts there are. By default 3.
    pub fn hosts(mut self, hosts: usize) -> Self {
        self.settings.cluster.hosts = hosts;
        self
    }

    /// The release of dfdaemon to imitate. By default 0.2.
    pub fn release(mut self, release: Release) -> Self {
        self.settings.cluster.release = release;
        self
    }

    /// How many bytes each host can store. By default as much as the file system.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.settings.cluster.adjustable.capacity = Some(bytes);
        self
    }

    /// The shortest TTL that an import may ask for. By default 1 minute.
    pub fn min_ttl(mut self, ttl: Duration) -> Self {
        self.settings.cluster.min_ttl = Some(ttl);
        self
    }

    /// The longest TTL that an import may ask for. By default 7 days.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.settings.cluster.max_ttl = ttl;
        self
    }

    /// How often expired tasks are collected. By default every 15 minutes.
    pub fn gc_interval(mut self, interval: Duration) -> Self {
        self.settings.cluster.adjustable.gc_interval = interval;
        self
    }

    /// The clock of the fake. By default the system's.
    pub fn clock(mut self, mode: ClockMode) -> Self {
        self.settings.clock = mode;
        self
    }

    /// A clock that starts now and moves only when the test moves it.
    pub fn manual_clock(self) -> Self {
        self.clock(ClockMode::Manual(None))
    }

    /// The time between an import and the creation of its other replicas. By default none.
    pub fn replication_delay(mut self, delay: Duration) -> Self {
        self.settings.cluster.adjustable.replication_delay = delay;
        self
    }

    /// How many requests a host serves at once; further requests fail with RESOURCE_EXHAUSTED.
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.settings.cluster.adjustable.max_requests = Some(requests);
        self
    }

    /// How many requests each service of a host takes in a second. Up to 51 more wait for the next
    /// second; further requests fail with RESOURCE_EXHAUSTED. A real dfdaemon takes 400.
    pub fn max_rate(mut self, requests: usize) -> Self {
        self.settings.max_rate = Some(requests);
        self
    }

    /// Adds a row to the blocklist.
    pub fn block(mut self, block: Block) -> Self {
        self.settings.cluster.adjustable.blocks.push(block);
        self
    }

    /// Whether stored files are synced, so that they survive a crash of the machine too.
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.settings.fsync = fsync;
        self
    }

    /// Adds real behaviours that the fake does not have by default.
    pub fn quirks(mut self, quirks: impl IntoIterator<Item = Quirk>) -> Self {
        self.settings.cluster.adjustable.quirks.extend(quirks);
        self
    }

    /// Adds a fault that is armed at the start.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.settings.faults.push(fault);
        self
    }

    /// The seed of the faults: the same seed fires the same faults on the same calls. By default
    /// random.
    pub fn fault_seed(mut self, seed: u64) -> Self {
        self.settings.fault_seed = Some(seed);
        self
    }

    /// The journal's file. By default `journal.jsonl` in the state directory.
    pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.journal = Some(path.into());
        self
    }

    /// How many calls the journal keeps, at least 1: older calls are dropped, and counted as lost. By
    /// default a million.
    pub fn journal_limit(mut self, calls: usize) -> Self {
        self.settings.journal_limit = calls.max(1);
        self
    }

    /// Serves the hosts on TCP too. From this port on, each host has two ports in a row, one for
    /// programs and one for other hosts; with port 0, any two. Hosts of 1.5 have one more, where other
    /// hosts take pieces by packets. Any program that can connect reads and writes files as this one
    /// can.
    pub fn tcp(mut self, address: std::net::SocketAddr) -> Self {
        self.settings.tcp = Some(address);
        self
    }

    /// Adds a host of another process as a parent: its tasks are found there, and their pieces taken
    /// from it. Tasks are found at the first parent that knows them, and pieces taken from any.
    ///
    /// ```
    /// use fake_dfdaemon::{FakeDfdaemon, PeerAddress};
    ///
    /// let far = FakeDfdaemon::start_blocking()?;
    /// let upload = far.host(0).expect("there are three").upload_endpoint().to_owned();
    /// let near = FakeDfdaemon::builder().parent(PeerAddress::Socket(upload)).start_blocking()?;
    /// # drop(near);
    /// # Ok::<(), fake_dfdaemon::StartError>(())
    /// ```
    pub fn parent(mut self, address: PeerAddress) -> Self {
        self.settings.cluster.peers.parents.push(address);
        self
    }

    /// How long a parent of another process may take for an answer, by the machine's time. By default
    /// [`DEFAULT_PARENT_TIMEOUT`](crate::DEFAULT_PARENT_TIMEOUT).
    pub fn parent_timeout(mut self, timeout: Duration) -> Self {
        self.settings.cluster.peers.timeout = timeout;
        self
    }

    /// Imports every file below a directory before the fake is ready.
    pub fn preload(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.preload = Some(dir.into());
        self
    }

    /// Keeps the state directory and the journal if a test fails (the thread that drops the fake
    /// panics), and names both on stderr. By default a temporary directory is removed whatever happens.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use fake_dfdaemon::FakeDfdaemon;
    ///
    /// let daemon = FakeDfdaemon::builder().keep_state_on_panic().start_blocking()?;
    /// // An assertion that fails here prints where to look.
    /// assert!(daemon.state_dir().is_dir());
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_state_on_panic(mut self) -> Self {
        self.keep_state_on_panic = true;
        self
    }

    /// Starts the fake, on a thread of its own. When this returns, every socket accepts connections.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what cannot be: a setting, the state directory or what lies in it, a socket or an
    /// address, the journal, a file to preload, or a fault.
    pub async fn start(self) -> Result<FakeDfdaemon, StartError> {
        let other = |error: io::Error| StartError::Other(error.into());
        let thread = OwnThread::start().map_err(other)?;
        let ended = CancellationToken::new();
        let keeps_state_on_panic = self.keep_state_on_panic;
        // If nobody waits any more, what was begun is taken back.
        let _ended = ended.clone().drop_guard();
        let starting = thread.spawn(self.start_here(ended.cancelled_owned()));
        let started = starting.await.map_err(|error| other(error.into()))??;
        let running =
            started.ok_or_else(|| StartError::Other("the start was broken off".into()))?;
        let mut fake = FakeDfdaemon::new(running, Some(thread));
        fake.keeps_state_on_panic = keeps_state_on_panic;
        Ok(fake)
    }

    /// As [`Self::start`], for code that has no runtime.
    ///
    /// # Errors
    ///
    /// As of [`Self::start`].
    pub fn start_blocking(self) -> Result<FakeDfdaemon, StartError> {
        block_on(self.start())
    }

    /// As [`Self::start`], but on this thread and its runtime, and for an end that comes first: then
    /// what was begun is taken back, and nothing is returned.
    pub(crate) async fn start_unless(
        self,
        ended: impl Future<Output = ()>,
    ) -> Result<Option<FakeDfdaemon>, StartError> {
        let running = self.start_here(ended).await?;
        Ok(running.map(|running| FakeDfdaemon::new(running, None)))
    }

    async fn start_here(
        self,
        ended: impl Future<Output = ()>,
    ) -> Result<Option<Running>, StartError> {
        tokio::pin!(ended);
        let opening = self.clone().open();
        tokio::pin!(opening);
        let opened = tokio::select! {
            opened = &mut opening => Some(opened?),
            () = &mut ended => None,
        };
        let Some(mut running) = opened else {
            // A temporary directory is to be removed again. A state that takes longer to read is as
            // it was, and can be left at any moment.
            if let Ok(Ok(mut running)) = tokio::time::timeout(TAKEN_BACK_WITHIN, opening).await {
                running.stop().await;
            }
            return Ok(None);
        };
        let started = tokio::select! {
            started = running.open_up() => started.map(|()| true),
            () = &mut ended => Ok(false),
        };
        if let Ok(true) = started {
            running.instance.cluster.state_dir().sweep_beside();
            return Ok(Some(running));
        }
        // Files that are imported may lie where a file system hangs.
        let _ = tokio::time::timeout(TAKEN_BACK_WITHIN, running.stop()).await;
        started.map(|_| None)
    }

    /// Opens the state and sets the jobs to work. Nothing accepts yet.
    async fn open(self) -> Result<Running, StartError> {
        let running = Running::new(Instance::open(self.settings).await?);
        running.run_jobs();
        Ok(running)
    }

    /// Opens the state and sets the jobs to work, on this thread. Nothing accepts.
    #[cfg(test)]
    pub(crate) async fn open_without_sockets(self) -> Result<FakeDfdaemon, StartError> {
        Ok(FakeDfdaemon::new(self.open().await?, None))
    }
}
