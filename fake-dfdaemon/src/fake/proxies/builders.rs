//! The settings of a proxy, a recorder or a replay.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::running::{Role, Running, Setup};
use super::{Proxy, Recorder, Replay};
use crate::call::faults::Fault;
use crate::instance::error::StartError;
use crate::instance::own_thread::{OwnThread, block_on};
use crate::proxy::{
    CallSettings, ContentMode, Order, PathMapping, Pattern, RecordSettings, ReplaySettings, Speed,
};

/// The settings of a [`Proxy`]; [`ProxyBuilder::start`] starts it.
///
/// ```
/// use fake_dfdaemon::{Fault, Proxy, Rpc};
///
/// // The dfdaemon need not be there yet: until it is, calls fail.
/// let proxy = Proxy::builder("/run/dragonfly/dfdaemon.sock")
///     .fault(Fault::on(Rpc::Export).piece(3).corrupt_piece())
///     .fault_seed(7)
///     .start_blocking()?;
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct ProxyBuilder {
    role: Role,
    setup: Setup,
    /// The first setting that cannot be.
    wrong: Option<String>,
}

/// The settings of a [`Recorder`]; [`RecorderBuilder::start`] starts it.
///
/// ```
/// use fake_dfdaemon::Recorder;
///
/// let directory = tempfile::tempdir()?;
/// let recorder = Recorder::builder("/run/dragonfly/dfdaemon.sock", directory.path())
///     .hash_content()
///     .keep_metadata("x-request-id")
///     .start_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct RecorderBuilder {
    role: Role,
    setup: Setup,
    /// The first setting that cannot be.
    wrong: Option<String>,
}

/// The settings of a [`Replay`]; [`ReplayBuilder::start`] starts it.
///
/// ```
/// use fake_dfdaemon::{Replay, StartError};
///
/// let replay = Replay::builder("/no/such/cassette")
///     .any_order()
///     .path("/on/the/node", "/here")
///     .start_blocking();
/// assert!(matches!(replay, Err(StartError::Cassette(_))));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct ReplayBuilder {
    role: Role,
    setup: Setup,
    /// The first setting that cannot be.
    wrong: Option<String>,
}

/// What all builders have, and what each starts.
macro_rules! builder {
    ($builder:ident => $handle:ident) => {
        impl $builder {
            fn new(role: Role) -> Self {
                let calls = Some(CallSettings::default());
                let setup = Setup {
                    calls,
                    ..Setup::default()
                };
                Self {
                    role,
                    setup,
                    wrong: None,
                }
            }

            fn calls(&mut self) -> &mut CallSettings {
                self.setup.calls.get_or_insert_default()
            }

            /// The socket for clients. By default one in a temporary directory.
            pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
                self.setup.socket = Some(path.into());
                self
            }

            /// Permission bits of the sockets. By default 0600.
            pub fn socket_mode(mut self, mode: u32) -> Self {
                self.setup.socket_mode = mode;
                self
            }

            /// Adds a fault that is armed at the start.
            pub fn fault(mut self, fault: Fault) -> Self {
                self.calls().faults.push(fault);
                self
            }

            /// The seed of the faults: the same seed fires the same faults on the same calls. By
            /// default random.
            pub fn fault_seed(mut self, seed: u64) -> Self {
                self.calls().fault_seed = Some(seed);
                self
            }

            /// The journal's file. By default one in a temporary directory.
            pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
                self.calls().journal = Some(path.into());
                self
            }

            /// Serves the control API on this socket.
            pub fn control(mut self, path: impl Into<PathBuf>) -> Self {
                self.setup.control = Some(path.into());
                self
            }

            /// Serves the control API on a TCP address too.
            pub fn control_tcp(mut self, address: SocketAddr) -> Self {
                self.setup.control_tcp = Some(address);
                self
            }

            /// Starts it, on a thread of its own. When this returns, the socket accepts connections.
            ///
            /// # Errors
            ///
            /// If a setting is invalid, or a socket, the journal or the cassette is unusable.
            pub async fn start(self) -> Result<$handle, StartError> {
                if let Some(wrong) = self.wrong {
                    return Err(StartError::Setting(wrong));
                }
                let other = |error: io::Error| StartError::Other(error.into());
                let role = self.role.absolute().map_err(other)?;
                let thread = OwnThread::start().map_err(other)?;
                let starting = thread.spawn(Running::start(role, self.setup));
                let running = starting.await.map_err(|error| other(error.into()))??;
                Ok($handle(super::Standing::new(running, thread)?))
            }

            /// As [`Self::start`], for code that has no runtime.
            ///
            /// # Errors
            ///
            /// As of [`Self::start`].
            pub fn start_blocking(self) -> Result<$handle, StartError> {
                block_on(self.start())
            }
        }
    };
}

builder! { ProxyBuilder => Proxy }

builder! { RecorderBuilder => Recorder }

builder! { ReplayBuilder => Replay }

impl Proxy {
    /// A proxy in front of the dfdaemon with this socket, which need not be there yet.
    pub fn builder(upstream: impl Into<PathBuf>) -> ProxyBuilder {
        let upstream = upstream.into();
        ProxyBuilder::new(Role::Proxy { upstream })
    }
}

impl Recorder {
    /// A recorder in front of the dfdaemon with this socket. The directory of the cassette must be new
    /// or empty.
    pub fn builder(upstream: impl Into<PathBuf>, cassette: impl Into<PathBuf>) -> RecorderBuilder {
        RecorderBuilder::new(Role::Record {
            upstream: upstream.into(),
            cassette: cassette.into(),
            settings: RecordSettings::default(),
        })
    }
}

impl RecorderBuilder {
    fn settings(&mut self, change: impl FnOnce(&mut RecordSettings)) {
        if let Role::Record { settings, .. } = &mut self.role {
            change(settings);
        }
    }

    /// Keeps only the length and the SHA-256 of content. By default content is kept.
    pub fn hash_content(mut self) -> Self {
        self.settings(|settings| settings.content = ContentMode::Hash);
        self
    }

    /// Keeps the metadata of this name. By default none is kept.
    pub fn keep_metadata(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref().to_ascii_lowercase();
        self.settings(|settings| settings.metadata.push(name));
        self
    }

    /// Replaces text that this regular expression matches by `[redacted]`.
    pub fn redact(mut self, pattern: &str) -> Self {
        match pattern.parse::<Pattern>() {
            Ok(pattern) => self.settings(|settings| settings.redact.push(pattern)),
            Err(why) => {
                self.wrong
                    .get_or_insert(format!("redact: {pattern:?}: {why}"));
            }
        }
        self
    }
}

impl Replay {
    /// Answers from this cassette.
    pub fn builder(cassette: impl Into<PathBuf>) -> ReplayBuilder {
        ReplayBuilder::new(Role::Replay {
            cassette: cassette.into(),
            settings: ReplaySettings::default(),
        })
    }
}

impl ReplayBuilder {
    fn settings(&mut self, change: impl FnOnce(&mut ReplaySettings)) {
        if let Role::Replay { settings, .. } = &mut self.role {
            change(settings);
        }
    }

    /// Lets calls come in any order, and more than once. By default they must come in the recorded
    /// order.
    pub fn any_order(mut self) -> Self {
        self.settings(|settings| settings.order = Order::Any);
        self
    }

    /// Answers `times` times as fast as the recorded daemon. By default at once.
    pub fn speed(mut self, times: f64) -> Self {
        if times.is_finite() && times > 0.0 {
            self.settings(|settings| settings.speed = Speed::Times(times));
        } else {
            self.wrong
                .get_or_insert(format!("speed: {times} is not a positive number"));
        }
        self
    }

    /// Lets the dfdaemon with this socket answer calls that are not recorded. By default they fail.
    pub fn on_miss(mut self, upstream: impl Into<PathBuf>) -> Self {
        let upstream = upstream.into();
        self.settings(|settings| settings.on_miss = Some(upstream));
        self
    }

    /// Reads recorded paths below `from` as paths below `to`.
    pub fn path(mut self, from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        let mapping = PathMapping::new(from.into(), to.into());
        self.settings(|settings| settings.paths.push(mapping));
        self
    }
}
