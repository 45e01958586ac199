//! How a fake shall be, and its start.

use std::io;
#[cfg(feature = "control")]
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::FakeDfdaemon;
use super::running::Running;
use crate::call::Calls;
use crate::call::clock::{Clock, ClockMode};
use crate::call::faults::Fault;
use crate::call::faults::registry::Faults;
use crate::call::journal::{DEFAULT_JOURNAL_LIMIT, Journal};
use crate::call::random::any_seed;
use crate::call::rate::RateLimit;
use crate::cluster::{Cluster, Settings};
use crate::dfdaemon::adjustable::Adjustable;
use crate::dfdaemon::limits::{Block, MAX_TTL, RequestLimit, default_min_ttl};
use crate::dfdaemon::quirks::{Quirk, Quirks};
use crate::dfdaemon::release::Release;
use crate::grpc::Admission;
use crate::grpc::connection_limit::Room;
use crate::grpc::socket::SocketError;
use crate::instance::World;
use crate::instance::error::StartError;
use crate::instance::host_server::HostServer;
use crate::instance::own_thread::{OwnThread, block_on};
use crate::instance::snapshot;
use crate::store::state_dir::StateDir;
use crate::store::{Disk, Mishaps, layout};

/// Hosts by default.
pub const DEFAULT_HOSTS: usize = 3;

/// The most hosts that one process plays.
pub const MAX_HOSTS: usize = 200;

/// How often expired tasks are collected by default.
pub const DEFAULT_GC_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// How long a start that fails or is ended is given to remove what it made.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(5);

/// How a fake shall be; [`Builder::start`] starts it.
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
    state_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    socket_mode: u32,
    hosts: usize,
    release: Release,
    capacity: Option<u64>,
    min_ttl: Option<Duration>,
    max_ttl: Duration,
    gc_interval: Duration,
    clock: ClockMode,
    replication_delay: Duration,
    max_requests: Option<usize>,
    max_rate: Option<usize>,
    blocks: Vec<Block>,
    fsync: bool,
    quirks: Quirks,
    faults: Vec<Fault>,
    fault_seed: Option<u64>,
    journal: Option<PathBuf>,
    journal_limit: usize,
    #[cfg(feature = "control")]
    pub(super) control: Option<PathBuf>,
    #[cfg(feature = "control")]
    pub(super) control_tcp: Option<SocketAddr>,
    preload: Option<PathBuf>,
    keep_state_on_panic: bool,
    /// What goes wrong with the disk, and at which of its steps.
    pub(crate) mishaps: Option<Arc<dyn Mishaps>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            state_dir: None,
            socket: None,
            socket_mode: 0o600,
            hosts: DEFAULT_HOSTS,
            release: Release::default(),
            capacity: None,
            min_ttl: None,
            max_ttl: MAX_TTL,
            gc_interval: DEFAULT_GC_INTERVAL,
            clock: ClockMode::System,
            replication_delay: Duration::ZERO,
            max_requests: None,
            max_rate: None,
            blocks: Vec::new(),
            fsync: false,
            quirks: Quirks::default(),
            faults: Vec::new(),
            fault_seed: None,
            journal: None,
            journal_limit: DEFAULT_JOURNAL_LIMIT,
            #[cfg(feature = "control")]
            control: None,
            #[cfg(feature = "control")]
            control_tcp: None,
            preload: None,
            keep_state_on_panic: false,
            mishaps: None,
        }
    }
}

impl FakeDfdaemon {
    /// A fake as the command line starts it by default: 3 hosts, release 0.2, temporary state.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Where everything lives. By default a temporary directory, which goes with the fake.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// The first host's socket. By default `host-0.sock` in the state directory.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket = Some(path.into());
        self
    }

    /// Permission bits of the sockets. By default 0600.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// How many hosts there are. By default 3.
    pub fn hosts(mut self, hosts: usize) -> Self {
        self.hosts = hosts;
        self
    }

    /// The release of dfdaemon that is played. By default 0.2.
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// What each host can hold, in bytes. By default as much as the file system.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// The shortest TTL that an import may ask for. By default 1 minute.
    pub fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = Some(ttl);
        self
    }

    /// The longest TTL that an import may ask for. By default 7 days.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// How often expired tasks are collected. By default every 15 minutes.
    pub fn gc_interval(mut self, interval: Duration) -> Self {
        self.gc_interval = interval;
        self
    }

    /// The clock of the fake. By default the system's.
    pub fn clock(mut self, mode: ClockMode) -> Self {
        self.clock = mode;
        self
    }

    /// A clock that starts now and moves only when it is told to.
    pub fn manual_clock(self) -> Self {
        self.clock(ClockMode::Manual(None))
    }

    /// How long after an import the further replicas are made. By default at once.
    pub fn replication_delay(mut self, delay: Duration) -> Self {
        self.replication_delay = delay;
        self
    }

    /// How many requests a host has in hand before it answers that it is overloaded.
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.max_requests = Some(requests);
        self
    }

    /// How many requests a host takes in a second. Up to 50 more wait for the next second; further
    /// ones are answered that it is overloaded. A dfdaemon takes 400.
    pub fn max_rate(mut self, requests: usize) -> Self {
        self.max_rate = Some(requests);
        self
    }

    /// Adds a row to the blocklist.
    pub fn block(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Whether what is stored survives the machine, not only the process.
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Adds real behaviours where the fake deliberately differs. By default there are none.
    pub fn quirks(mut self, quirks: impl IntoIterator<Item = Quirk>) -> Self {
        self.quirks.extend(quirks);
        self
    }

    /// Adds a fault that is there from the start.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// What decides chance in faults. By default another one at each start.
    pub fn fault_seed(mut self, seed: u64) -> Self {
        self.fault_seed = Some(seed);
        self
    }

    /// The journal's file. By default `journal.jsonl` in the state directory.
    pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(path.into());
        self
    }

    /// How many calls the journal keeps, at least 1: the oldest are forgotten, and counted as lost. By
    /// default a million.
    pub fn journal_limit(mut self, calls: usize) -> Self {
        self.journal_limit = calls.max(1);
        self
    }

    /// Imports every file below a directory before the fake is ready.
    pub fn preload(mut self, dir: impl Into<PathBuf>) -> Self {
        self.preload = Some(dir.into());
        self
    }

    /// Lets the state directory and the journal stay if the thread panics that drops the fake, as that
    /// of a test does that fails, and names both on stderr. By default a temporary directory goes
    /// with the fake whatever happens.
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

    /// Starts the fake, on a thread of its own. When this returns, every socket accepts.
    ///
    /// # Errors
    ///
    /// If the state directory or a socket is in use or unusable.
    pub async fn start(self) -> Result<FakeDfdaemon, StartError> {
        let other = |error: io::Error| StartError::Other(error.into());
        let thread = OwnThread::start().map_err(other)?;
        let ended = CancellationToken::new();
        let keeps_state_on_panic = self.keep_state_on_panic;
        // If nobody waits any more, what was begun is taken back.
        let _ended = ended.clone().drop_guard();
        let starting = thread.spawn(self.start_here(ended.cancelled_owned()));
        let started = starting.await.map_err(|error| other(error.into()))??;
        let running = started.ok_or_else(|| StartError::Other("nobody ended it".into()))?;
        let mut fake = FakeDfdaemon::new(running, Some(thread));
        fake.keeps_state_on_panic = keeps_state_on_panic;
        Ok(fake)
    }

    /// As [`Self::start`], for code that has no runtime.
    ///
    /// # Errors
    ///
    /// If the state directory or a socket is in use or unusable.
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
            started = self.open_up(&mut running) => started.map(|()| true),
            () = &mut ended => Ok(false),
        };
        if let Ok(true) = started {
            return Ok(Some(running));
        }
        // Files that are imported may lie where a file system hangs.
        let _ = tokio::time::timeout(TAKEN_BACK_WITHIN, running.stop()).await;
        started.map(|_| None)
    }

    /// Opens the state and sets the jobs to work. Nothing accepts yet.
    async fn open(self) -> Result<Running, StartError> {
        self.check()?;
        let opened = {
            let builder = self.clone();
            tokio::task::spawn_blocking(move || builder.open_cluster()).await
        };
        let cluster = opened.map_err(|error| StartError::Other(error.into()))??;
        let world = Arc::new(World {
            started_at: cluster.calls().clock.now(),
            hosts: self.host_servers(&cluster)?,
            cluster,
            snapshots: tokio::sync::Mutex::default(),
            preload: self.preload.map(|dir| (dir, self.max_ttl)),
            control_tcp: OnceLock::new(),
            runtime: Handle::current(),
        });
        let running = Running::new(world);
        running.run_jobs();
        Ok(running)
    }

    /// Opens the state and sets the jobs to work, on this thread. Nothing accepts.
    #[cfg(test)]
    pub(crate) async fn open_without_sockets(self) -> Result<FakeDfdaemon, StartError> {
        Ok(FakeDfdaemon::new(self.open().await?, None))
    }

    async fn open_up(self, running: &mut Running) -> Result<(), StartError> {
        running.preload().await?;
        running.listen()?;
        #[cfg(feature = "control")]
        running
            .serve_control(self.control, self.control_tcp, self.socket_mode)
            .await?;
        Ok(())
    }

    fn min_ttl_or_default(&self) -> Duration {
        self.min_ttl.unwrap_or_else(|| default_min_ttl(self.quirks))
    }

    fn check(&self) -> Result<(), StartError> {
        let wrong = |text: String| Err(StartError::Setting(text));
        if !(1..=MAX_HOSTS).contains(&self.hosts) {
            return wrong(format!(
                "{} hosts cannot be: there are 1 to {MAX_HOSTS}",
                self.hosts
            ));
        }
        if self.min_ttl_or_default() > self.max_ttl {
            let written = humantime::format_duration;
            let (min, max) = (written(self.min_ttl_or_default()), written(self.max_ttl));
            return wrong(format!(
                "the shortest TTL, {min}, is longer than the longest, {max}"
            ));
        }
        if self.gc_interval.is_zero() {
            return wrong("a collector that runs every 0s would do nothing else".to_owned());
        }
        Ok(())
    }

    fn host_servers(&self, cluster: &Arc<Cluster>) -> Result<Vec<Arc<HostServer>>, StartError> {
        let mut servers = Vec::new();
        let room = Room::of_process();
        for number in 0..self.hosts {
            let endpoint = match self.socket.clone().filter(|_| number == 0) {
                Some(path) => std::path::absolute(&path)
                    .map_err(|source| SocketError::Bind { path, source })?,
                None => layout::host_socket(cluster.state_dir().path(), number),
            };
            let admission = Admission {
                is_blocking: true,
                requests: RequestLimit::default(),
                rate: RateLimit::new(self.max_rate),
            };
            let mode = self.socket_mode;
            let server = HostServer::new(cluster, number, admission, room.clone(), endpoint, mode);
            servers.push(Arc::new(server));
        }
        Ok(servers)
    }

    fn open_cluster(self) -> Result<Arc<Cluster>, StartError> {
        let disk = Disk::new(self.fsync).with_mishaps(self.mishaps.clone());
        let state_dir = match &self.state_dir {
            Some(path) => StateDir::open(&disk, path, self.release, self.hosts)?,
            None => StateDir::temporary(&disk, self.release, self.hosts)?,
        };
        let settings = Settings {
            release: self.release,
            hosts: self.hosts,
            min_ttl: self.min_ttl,
            max_ttl: self.max_ttl,
            adjustable: Adjustable {
                capacity: self.capacity,
                max_requests: self.max_requests,
                blocks: self.blocks,
                replication_delay: self.replication_delay,
                gc_interval: self.gc_interval,
                quirks: self.quirks,
            },
        };
        let path = self
            .journal
            .unwrap_or_else(|| layout::journal(state_dir.path()));
        if state_dir.keeps(&path) {
            let source = io::Error::other("the state directory keeps something else there");
            return Err(StartError::Journal { path, source });
        }
        let journal = Journal::open(&path, self.journal_limit)
            .map_err(|source| StartError::Journal { path, source })?;
        let seed = self.fault_seed.unwrap_or_else(any_seed);
        let faults = Faults::starting_with(seed, self.faults, self.hosts)?;
        let calls = Calls {
            faults: Arc::new(faults),
            journal: Arc::new(journal),
            clock: Clock::new(self.clock),
            gate: crate::call::gate::Gate::default(),
            waits: crate::call::Waits::default(),
            ahead: crate::call::Ahead::default(),
            events: crate::call::events::Events::default(),
            counters: Arc::default(),
            release: self.release,
        };
        let path = state_dir.path().to_owned();
        let opened = snapshot::recover(&disk, &path, settings.hosts)
            .and_then(|()| Cluster::open(settings, calls, disk, state_dir));
        opened.map_err(|source| StartError::State { path, source })
    }
}
