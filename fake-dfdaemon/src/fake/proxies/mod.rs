//! The handles of a proxy, a recorder and a replay in a test. Their settings are in `builders`.

mod builders;
mod running;

use std::io;
use std::path::Path;

pub use self::builders::{ProxyBuilder, RecorderBuilder, ReplayBuilder};
pub(crate) use self::running::Running;
#[cfg(feature = "program")]
pub(crate) use self::running::{Role, Setup};
use crate::call::faults::reach::Reach;
use crate::call::faults::{Fault, FaultError, FaultGuard};
use crate::call::journal::Journal;
use crate::control::ControlServer;
use crate::instance::error::StartError;
use crate::instance::own_thread::OwnThread;
use crate::proxy::{Outcome, ProxiedCalls};

/// What runs on a thread of its own, until it is dropped.
#[derive(Debug)]
struct Standing {
    running: Option<Running>,
    calls: ProxiedCalls,
    /// Ended last.
    thread: Option<OwnThread>,
}

impl Standing {
    fn new(running: Running, thread: OwnThread) -> Result<Self, StartError> {
        let calls = running.calls.clone();
        Ok(Self {
            calls: calls.ok_or_else(|| StartError::Other("nothing looks into calls".into()))?,
            running: Some(running),
            thread: Some(thread),
        })
    }

    fn endpoint(&self) -> &Path {
        let running = self.running.as_ref();
        running.map_or(Path::new(""), |running| &running.endpoint)
    }

    fn control(&self) -> Option<&ControlServer> {
        self.running.as_ref()?.control.as_ref()
    }

    fn try_fault(&self, fault: Fault) -> Result<FaultGuard, FaultError> {
        let faults = &self.calls.calls.faults;
        let id = faults.add(fault, Reach::Proxy)?;
        Ok(FaultGuard::new(faults.clone(), id))
    }

    async fn stop(mut self) -> Outcome {
        let (Some(running), Some(thread)) = (self.running.take(), self.thread.take()) else {
            return Outcome::default();
        };
        let stopping = thread.spawn(async { running.stop().await.await });
        let outcome = stopping.await.unwrap_or_else(|error| Outcome {
            calls: 0,
            failed: Some(error.into()),
        });
        thread.end().await;
        outcome
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if let (Some(running), Some(thread)) = (self.running.take(), &self.thread) {
            // The thread ends when this has.
            thread.spawn(async { running.break_up().await });
        }
    }
}

/// Passes calls on to any dfdaemon, with faults in their way and a journal.
///
/// It runs on a thread of its own, as a [`FakeDfdaemon`](crate::FakeDfdaemon) does. Dropped, it
/// breaks all connections, and its socket is gone.
///
/// ```
/// use fake_dfdaemon::{Code, FakeDfdaemon, Fault, Proxy, Rpc};
///
/// let daemon = FakeDfdaemon::start_blocking()?; // or a real one, by its socket
/// let proxy = Proxy::builder(daemon.endpoint()).start_blocking()?;
/// let fault = proxy.fault(Fault::on(Rpc::Stat).call(2).error(Code::Unavailable));
/// assert!(proxy.endpoint().exists()); // for DFCACHE_ENDPOINT
/// assert_eq!(fault.fired(), 0);
/// assert!(proxy.journal().calls(Rpc::Stat).is_empty());
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Debug)]
#[must_use = "what is dropped stops"]
pub struct Proxy(Standing);

/// Passes calls on to any dfdaemon, and records them into a cassette.
///
/// [`stop`](Self::stop) returns how many calls are in the cassette. Dropped, it breaks all connections;
/// the calls that had ended are in the cassette.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Recorder, Replay, block_on};
///
/// let directory = tempfile::tempdir()?;
/// let cassette = directory.path().join("cassette");
/// let daemon = FakeDfdaemon::start_blocking()?; // or a real one, by its socket
/// let recorder = Recorder::builder(daemon.endpoint(), &cassette)
///     .redact("/home/[^/]+")
///     .start_blocking()?;
/// // … a client that uses recorder.endpoint() …
/// let calls = block_on(recorder.stop())?;
///
/// let replay = Replay::builder(&cassette).any_order().start_blocking()?;
/// assert_eq!(replay.calls(), calls);
/// // … the same client with replay.endpoint(), and no daemon …
/// assert_eq!(replay.misses(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "what is dropped stops"]
pub struct Recorder(Standing);

/// Answers from a cassette, without a daemon.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Recorder, Replay, block_on};
///
/// let directory = tempfile::tempdir()?;
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let recorder = Recorder::builder(daemon.endpoint(), directory.path()).start_blocking()?;
/// block_on(recorder.stop())?;
///
/// let replay = Replay::builder(directory.path()).start_blocking()?;
/// assert_eq!((replay.calls(), replay.misses()), (0, 0)); // nobody has called
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "what is dropped stops"]
pub struct Replay(Standing);

/// What all that a test holds have.
macro_rules! handle {
    ($handle:ident) => {
        impl $handle {
            /// The socket for clients.
            #[must_use]
            pub fn endpoint(&self) -> &Path {
                self.0.endpoint()
            }

            /// The control API's socket, if it was asked for.
            #[must_use]
            pub fn control(&self) -> Option<&Path> {
                self.0.control().map(ControlServer::path)
            }

            /// The TCP address of the control API, if it has one.
            #[must_use]
            pub fn control_tcp(&self) -> Option<std::net::SocketAddr> {
                self.0.control().and_then(ControlServer::tcp)
            }

            /// The journal of the calls that have passed and ended.
            #[must_use]
            pub fn journal(&self) -> &Journal {
                &self.0.calls.calls.journal
            }

            /// Arms a fault until the returned guard is dropped.
            ///
            /// # Panics
            ///
            /// If the fault cannot act on what passes; [`Self::try_fault`] returns an error instead.
            #[allow(clippy::panic)]
            #[track_caller]
            pub fn fault(&self, fault: Fault) -> FaultGuard {
                self.try_fault(fault)
                    .unwrap_or_else(|error| panic!("no fault: {error}"))
            }

            /// Arms a fault until the returned guard is dropped.
            ///
            /// # Errors
            ///
            /// If the fault cannot act on what passes: what needs a store, a cluster or a choice of
            /// hosts is for a [`FakeDfdaemon`](crate::FakeDfdaemon).
            pub fn try_fault(&self, fault: Fault) -> Result<FaultGuard, FaultError> {
                self.0.try_fault(fault)
            }
        }
    };
}

handle! { Proxy }

handle! { Recorder }

handle! { Replay }

impl Proxy {
    /// Lets running calls end for a moment, closes every connection, and waits until all has ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

impl Recorder {
    /// Lets running calls end for a moment, waits until all are in the cassette, and returns how many
    /// it has.
    ///
    /// # Errors
    ///
    /// If calls could not be recorded, as when the disk is full.
    pub async fn stop(self) -> io::Result<u64> {
        let outcome = self.0.stop().await;
        match outcome.failed {
            Some(error) => Err(error),
            None => Ok(outcome.calls),
        }
    }
}

impl Replay {
    /// How many calls the cassette has.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.replayer(|replayer| replayer.calls() as u64)
    }

    /// How many calls came that are not in the cassette.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.replayer(crate::proxy::Replayer::misses)
    }

    fn replayer(&self, ask: impl Fn(&crate::proxy::Replayer) -> u64) -> u64 {
        let running = self.0.running.as_ref();
        let replayer = running.and_then(|running| running.replayer.as_deref());
        replayer.map_or(0, ask)
    }

    /// Closes every connection, and waits until all has ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}
