//! The running fake: hosts with a socket each, one cluster behind them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use crate::clock::{Clock, ClockMode};
use crate::cluster::{Cluster, HostStatus, Settings, Waiting, host_name};
use crate::limits::{Block, MAX_TTL, MIN_TTL, RequestLimit, TtlLimits};
use crate::release::Release;
use crate::server::{Server, asynchronous};
use crate::service::{Admission, download_routes};
use crate::socket::{SocketError, SocketFile, listen_at};
use crate::state_dir::{StateDir, StateDirError};

/// Hosts by default.
pub const DEFAULT_HOSTS: usize = 3;

/// The most hosts that one process plays.
pub const MAX_HOSTS: usize = 200;

/// How often expired tasks are collected by default.
pub const DEFAULT_GC_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Why a fake did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Limits that contradict each other, or a number of hosts that cannot be.
    #[error("{0}")]
    Setting(String),
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A socket cannot be bound.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The state cannot be read.
    #[error("cannot open the state in {}", path.display())]
    State {
        /// The state directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot start")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a fake shall be; [`Builder::start`] starts it.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    state_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    socket_mode: u32,
    hosts: usize,
    release: Release,
    capacity: Option<u64>,
    min_ttl: Duration,
    max_ttl: Duration,
    gc_interval: Duration,
    clock: ClockMode,
    replication_delay: Duration,
    max_requests: Option<usize>,
    blocks: Vec<Block>,
    fsync: bool,
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
            min_ttl: MIN_TTL,
            max_ttl: MAX_TTL,
            gc_interval: DEFAULT_GC_INTERVAL,
            clock: ClockMode::System,
            replication_delay: Duration::ZERO,
            max_requests: None,
            blocks: Vec::new(),
            fsync: false,
        }
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
        self.min_ttl = ttl;
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

    /// Starts the fake. When this returns, every socket accepts.
    ///
    /// # Errors
    ///
    /// If the state directory or a socket is in use or unusable.
    pub async fn start(self) -> Result<FakeDfdaemon, StartError> {
        self.check()?;
        let clock = Clock::new(self.clock);
        let cluster = {
            let (builder, clock) = (self.clone(), clock.clone());
            let opened = tokio::task::spawn_blocking(move || builder.open(clock)).await;
            opened.map_err(|error| StartError::Other(error.into()))??
        };
        let jobs = Jobs(Arc::clone(&cluster));
        cluster.spawn(Arc::clone(&cluster).run_jobs());
        let mut hosts = Vec::new();
        for number in 0..self.hosts {
            let first = self.socket.clone().filter(|_| number == 0);
            let endpoint = match first {
                Some(path) => std::path::absolute(&path)
                    .map_err(|source| SocketError::Bind { path, source })?,
                None => cluster
                    .state_dir()
                    .path()
                    .join(format!("{}.sock", host_name(number))),
            };
            let admission = Admission {
                blocks: Arc::from(self.blocks.as_slice()),
                requests: RequestLimit::new(self.max_requests),
            };
            let mode = self.socket_mode;
            let host = HostServer {
                number,
                endpoint,
                mode,
                admission,
                running: Mutex::new(None),
            };
            host.listen(&cluster).await?;
            hosts.push(host);
        }
        Ok(FakeDfdaemon {
            hosts,
            clock,
            _jobs: jobs,
            cluster,
        })
    }

    fn check(&self) -> Result<(), StartError> {
        let wrong = |text: String| Err(StartError::Setting(text));
        if !(1..=MAX_HOSTS).contains(&self.hosts) {
            return wrong(format!(
                "{} hosts cannot be: there are 1 to {MAX_HOSTS}",
                self.hosts
            ));
        }
        if self.min_ttl > self.max_ttl {
            let written = humantime::format_duration;
            let (min, max) = (written(self.min_ttl), written(self.max_ttl));
            return wrong(format!(
                "the shortest TTL, {min}, is longer than the longest, {max}"
            ));
        }
        if self.gc_interval.is_zero() {
            return wrong("a collector that runs every 0s would do nothing else".to_owned());
        }
        Ok(())
    }

    fn open(self, clock: Clock) -> Result<Arc<Cluster>, StartError> {
        let state_dir = match &self.state_dir {
            Some(path) => StateDir::open(path, self.release, self.hosts)?,
            None => StateDir::temporary(self.release, self.hosts)?,
        };
        let settings = Settings {
            release: self.release,
            hosts: self.hosts,
            capacity: self.capacity,
            ttl_limits: TtlLimits {
                min: self.min_ttl,
                max: self.max_ttl,
            },
            gc_interval: self.gc_interval,
            replication_delay: self.replication_delay,
            fsync: self.fsync,
        };
        let path = state_dir.path().to_owned();
        let cluster = Cluster::open(settings, clock, state_dir);
        cluster.map_err(|source| StartError::State { path, source })
    }
}

/// A dfdaemon with its scheduler and its peers, running in this process.
///
/// Dropped, it closes its sockets and stops; [`FakeDfdaemon::stop`] also waits until it has.
#[derive(Debug)]
#[must_use = "a fake that is dropped stops"]
pub struct FakeDfdaemon {
    hosts: Vec<HostServer>,
    clock: Clock,
    _jobs: Jobs,
    cluster: Arc<Cluster>,
}

impl FakeDfdaemon {
    /// A fake as the command line starts it by default: 3 hosts, release 0.2, temporary state.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The first host's socket.
    #[must_use]
    pub fn endpoint(&self) -> &Path {
        self.hosts
            .first()
            .map_or(Path::new(""), |host| &host.endpoint)
    }

    /// Every host's socket, by the host's number.
    pub fn endpoints(&self) -> impl Iterator<Item = &Path> {
        self.hosts.iter().map(|host| host.endpoint.as_path())
    }

    /// The hosts, by number.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.hosts.iter().map(|server| Host {
            server,
            cluster: &self.cluster,
        })
    }

    /// One host, or `None` if there is none with this number.
    #[must_use]
    pub fn host(&self, number: usize) -> Option<Host<'_>> {
        self.hosts().nth(number)
    }

    /// The clock, to be moved if it is a manual one.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The directory that everything lives in.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.cluster.state_dir().path()
    }

    /// Waits until all replication, collection and eviction that is due has ended, and tells what
    /// only time can bring.
    pub async fn settle(&self) -> Vec<Waiting> {
        self.cluster.settle().await
    }

    /// Collects expired tasks now.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub async fn collect(&self) -> io::Result<()> {
        let collected = self.cluster.blocking(|cluster| cluster.collect()).await;
        collected.map_err(io::Error::other)
    }

    /// Stops: breaks off what is running, closes and removes the sockets, and waits for all of it.
    pub async fn stop(self) {
        self.cluster.stopping().cancel();
        // Together: each may have a reader that stalls to wait for.
        join_all(self.hosts.iter().map(HostServer::stop)).await;
        self.cluster.stop().await;
    }

    /// What there is to know of a fake that is ready.
    #[must_use]
    pub fn ready(&self) -> Ready {
        Ready {
            event: "ready",
            endpoint: self.endpoint().to_owned(),
            hosts: self.hosts().map(|host| host.ready()).collect(),
            state_dir: self.state_dir().to_owned(),
            pid: std::process::id(),
        }
    }
}

/// The ready line: one JSON object.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    event: &'static str,
    endpoint: PathBuf,
    hosts: Vec<ReadyHost>,
    state_dir: PathBuf,
    pid: u32,
}

#[derive(Clone, Debug, Serialize)]
struct ReadyHost {
    name: String,
    endpoint: PathBuf,
}

/// Tells the cluster to stop when the fake is dropped: its jobs hold it, and would never end.
#[derive(Debug)]
struct Jobs(Arc<Cluster>);

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.stopping().cancel();
    }
}

/// One host of a running fake.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    server: &'a HostServer,
    cluster: &'a Arc<Cluster>,
}

impl Host<'_> {
    /// `host-0`, `host-1`, …
    #[must_use]
    pub fn name(&self) -> String {
        host_name(self.server.number)
    }

    /// The host's socket.
    #[must_use]
    pub fn endpoint(&self) -> &Path {
        &self.server.endpoint
    }

    /// Whether the host runs, stopped or left.
    #[must_use]
    pub fn status(&self) -> HostStatus {
        self.cluster.host_status(self.server.number)
    }

    /// Stops the host: its connections break, its socket goes, its disk stays and its replicas
    /// still count.
    pub async fn stop(&self) {
        self.cluster
            .set_host_status(self.server.number, HostStatus::Stopped);
        self.server.close().await;
    }

    /// Stops the host and takes it out of the cluster: its replicas do not count any more, and
    /// persistent ones are made again elsewhere.
    pub async fn leave(&self) {
        self.cluster
            .set_host_status(self.server.number, HostStatus::Left);
        self.server.close().await;
    }

    /// Undoes a stop or a leave. What was made elsewhere stays.
    ///
    /// # Errors
    ///
    /// If the socket cannot be bound again.
    pub async fn start(&self) -> Result<(), StartError> {
        self.server.listen(self.cluster).await?;
        self.cluster
            .set_host_status(self.server.number, HostStatus::Running);
        Ok(())
    }

    fn ready(&self) -> ReadyHost {
        ReadyHost {
            name: self.name(),
            endpoint: self.endpoint().to_owned(),
        }
    }
}

/// A host's socket, and what is needed to bind it again.
#[derive(Debug)]
struct HostServer {
    number: usize,
    endpoint: PathBuf,
    mode: u32,
    admission: Admission,
    running: Mutex<Option<(Server, SocketFile)>>,
}

impl HostServer {
    /// Binds the socket and serves it, unless it does already.
    async fn listen(&self, cluster: &Arc<Cluster>) -> Result<(), StartError> {
        let routes = download_routes(cluster, self.number, self.admission.clone()).await;
        let routes = routes.map_err(|error| StartError::Other(error.into()))?;
        let mut running = self.running();
        if running.is_none() {
            let (listener, file) = listen_at(&self.endpoint, self.mode)?;
            let listener =
                asynchronous(listener).map_err(|error| StartError::Other(error.into()))?;
            *running = Some((Server::start(listener, routes), file));
        }
        Ok(())
    }

    async fn close(&self) {
        let running = self.running().take();
        if let Some((server, file)) = running {
            drop(file);
            server.close().await;
        }
    }

    async fn stop(&self) {
        let running = self.running().take();
        if let Some((server, file)) = running {
            server.stop().await;
            drop(file);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Server, SocketFile)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
