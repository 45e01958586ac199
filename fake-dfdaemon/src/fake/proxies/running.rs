//! A running proxy, recorder or replay: its socket, the calls that pass, and its control API.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::control::{ControlServer, Proxied};
use crate::dfdaemon::release::Release;
use crate::grpc::accepting::asynchronous;
use crate::grpc::socket::{SocketFile, listen_at};
use crate::instance::error::StartError;
use crate::proxy::{
    CallSettings, CallsError, CassetteError, CassetteRecorder, Outcome, ProxiedCalls, ProxyServer,
    RecordSettings, ReplayClients, ReplaySettings, Replayer, Upstream,
};
use crate::store::Disk;
use crate::store::aside::aside;
use crate::store::state_dir::StateDir;

/// The sockets' names in a temporary directory.
const SOCKET: &str = "proxy.sock";
const CONTROL: &str = "control.sock";

/// Where clients come in, and what is done to their calls.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) socket_mode: u32,
    /// Nothing looks into calls without.
    pub(crate) calls: Option<CallSettings>,
    pub(crate) control: Option<PathBuf>,
    pub(crate) control_tcp: Option<SocketAddr>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            socket: None,
            socket_mode: 0o600,
            calls: None,
            control: None,
            control_tcp: None,
        }
    }
}

/// What answers, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Proxy {
        upstream: PathBuf,
    },
    Record {
        upstream: PathBuf,
        cassette: PathBuf,
        settings: RecordSettings,
    },
    Replay {
        cassette: PathBuf,
        settings: ReplaySettings,
    },
}

impl Role {
    /// As it is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Proxy { .. } => "proxy",
            Self::Record { .. } => "record",
            Self::Replay { .. } => "replay",
        }
    }

    /// The same with absolute paths.
    pub(crate) fn absolute(self) -> io::Result<Self> {
        use std::path::absolute;
        Ok(match self {
            Self::Proxy { upstream } => Self::Proxy {
                upstream: absolute(upstream)?,
            },
            Self::Record {
                upstream,
                cassette,
                settings,
            } => Self::Record {
                upstream: absolute(upstream)?,
                cassette: absolute(cassette)?,
                settings,
            },
            Self::Replay { cassette, settings } => Self::Replay {
                cassette: absolute(cassette)?,
                settings: ReplaySettings {
                    on_miss: settings.on_miss.map(absolute).transpose()?,
                    ..settings
                },
            },
        })
    }

    /// What stands for the host in the journal, and where it is.
    fn answers(&self) -> (&'static str, PathBuf) {
        match self {
            Self::Proxy { upstream } | Self::Record { upstream, .. } => {
                ("upstream", upstream.clone())
            }
            Self::Replay { cassette, .. } => ("cassette", cassette.clone()),
        }
    }
}

/// What runs. Dropped, it breaks every connection.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) endpoint: PathBuf,
    pub(crate) calls: Option<ProxiedCalls>,
    pub(crate) control: Option<ControlServer>,
    pub(crate) replayer: Option<Arc<Replayer>>,
    recorder: Option<CassetteRecorder>,
    stopping: CancellationToken,
    server: ProxyServer,
    socket: SocketFile,
    /// Removed last.
    pub(crate) state: StateDir,
}

impl Running {
    /// When this returns, the socket accepts.
    pub(crate) async fn start(role: Role, setup: Setup) -> Result<Self, StartError> {
        let other = |error: io::Error| StartError::Other(error.into());
        let (name, (host, answers)) = (role.name(), role.answers());
        let settings = setup.calls;
        // A cassette may be long, and a file system slow.
        let open = move || open(role, host, settings);
        let opened = tokio::task::spawn_blocking(open).await;
        let opened = opened.map_err(|error| StartError::Other(error.into()))??;
        let Opened {
            state,
            calls,
            loaded,
        } = opened;
        let endpoint = match setup.socket {
            Some(path) => std::path::absolute(path).map_err(other)?,
            None => state.path().join(SOCKET),
        };
        let (listener, socket) = listen_at(&endpoint, setup.socket_mode, state.path()).await?;
        let listener = asynchronous(listener).map_err(other)?;
        let stopping = CancellationToken::new();
        let mut control = None;
        if let Some(calls) = &calls
            && (setup.control.is_some() || setup.control_tcp.is_some())
        {
            let proxied = Arc::new(Proxied {
                calls: Arc::clone(&calls.calls),
                host,
                role: name,
                answers,
                stopping: stopping.clone(),
                control_tcp: OnceLock::new(),
            });
            let path = setup.control.unwrap_or_else(|| state.path().join(CONTROL));
            let at = (path, setup.control_tcp, setup.socket_mode);
            control = Some(ControlServer::start_of_proxy(&proxied, state.path(), at).await?);
        }
        let (mut recorder, mut replayer) = (None, None);
        let server = match loaded {
            Loaded::Upstream(path, records) => {
                let upstream = Upstream {
                    path,
                    tap: records.as_ref().map(CassetteRecorder::tap),
                    calls: calls.clone(),
                };
                recorder = records;
                ProxyServer::start(listener, Arc::new(upstream))
            }
            Loaded::Cassette(plays) => {
                let clients = ReplayClients {
                    replayer: Arc::clone(&plays),
                    calls: calls.clone(),
                };
                replayer = Some(plays);
                ProxyServer::start(listener, Arc::new(clients))
            }
        };
        state.sweep_beside();
        Ok(Self {
            endpoint,
            calls,
            control,
            replayer,
            recorder,
            stopping,
            server,
            socket,
            state,
        })
    }

    /// Breaks every connection, and completes a recording.
    pub(crate) async fn break_up(mut self) {
        self.stopping.cancel();
        self.socket.remove().await;
        self.server.break_up().await;
        let _ = aside(|| drop(self.state)).await;
        if let Some(recorder) = self.recorder.take() {
            recorder.finish().await;
        }
    }

    /// Lets calls end for a moment, then closes every connection. A recording is complete when the
    /// future that is returned has ended: it waits for the file system of the cassette.
    pub(crate) async fn stop(mut self) -> impl Future<Output = Outcome> + Send + use<> {
        self.stopping.cancel();
        if let Some(control) = self.control.take() {
            control.stop().await;
        }
        // While the socket is open: a closed one may be taken for stale, and replaced.
        self.socket.remove().await;
        if let Some(calls) = &self.calls {
            // Those that a fault holds up.
            calls.calls.gate.end_all();
        }
        self.server.stop().await;
        // One in a file system that hangs is left behind.
        let _ = aside(|| drop(self.state)).await;
        let recorder = self.recorder;
        async move {
            match recorder {
                Some(recorder) => recorder.finish().await,
                None => Outcome::default(),
            }
        }
    }
}

enum Loaded {
    Upstream(PathBuf, Option<CassetteRecorder>),
    Cassette(Arc<Replayer>),
}

/// What a start reads and makes on the disk.
struct Opened {
    state: StateDir,
    calls: Option<ProxiedCalls>,
    loaded: Loaded,
}

/// Blocks on the disk.
fn open(
    role: Role,
    host: &'static str,
    settings: Option<CallSettings>,
) -> Result<Opened, StartError> {
    let state = StateDir::temporary(&Disk::new(false), Release::default(), 0)?;
    let calls = settings.map(|settings| ProxiedCalls::open(settings, host, state.path()));
    Ok(Opened {
        calls: calls.transpose()?,
        loaded: load(role)?,
        state,
    })
}

fn load(role: Role) -> Result<Loaded, CassetteError> {
    Ok(match role {
        Role::Proxy { upstream } => Loaded::Upstream(upstream, None),
        Role::Record {
            upstream,
            cassette,
            settings,
        } => {
            let recorder = CassetteRecorder::start(&cassette, &upstream, settings)?;
            Loaded::Upstream(upstream, Some(recorder))
        }
        Role::Replay { cassette, settings } => {
            Loaded::Cassette(Replayer::load(&cassette, settings)?)
        }
    })
}

impl From<CassetteError> for StartError {
    fn from(error: CassetteError) -> Self {
        Self::Cassette(error.into())
    }
}

impl From<CallsError> for StartError {
    fn from(error: CallsError) -> Self {
        match error {
            CallsError::Fault(error) => Self::Fault(error),
            CallsError::Journal { path, source } => Self::Journal { path, source },
        }
    }
}
