//! The ready line.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::FakeDfdaemon;
use crate::instance::host::Host;
use crate::instance::preload::Preloaded;

/// The ready line: one JSON object.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Ready};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let ready: Ready = daemon.ready();
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    event: &'static str,
    endpoint: PathBuf,
    hosts: Vec<ReadyHost>,
    /// `None` without the feature `control`.
    control: Option<PathBuf>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_tcp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    piece_tcp: Option<SocketAddr>,
}

impl ReadyHost {
    fn new(host: Host<'_>) -> Self {
        Self {
            name: host.name(),
            endpoint: host.endpoint().to_owned(),
            upload_endpoint: host.upload_endpoint().to_owned(),
            tcp: host.tcp(),
            upload_tcp: host.upload_tcp(),
            piece_tcp: host.piece_tcp(),
        }
    }
}

impl FakeDfdaemon {
    /// The ready line of this fake.
    #[must_use]
    pub fn ready(&self) -> Ready {
        Ready {
            event: "ready",
            endpoint: self.endpoint().to_owned(),
            hosts: self.hosts().map(ReadyHost::new).collect(),
            #[cfg(feature = "control")]
            control: Some(self.control().to_owned()),
            #[cfg(feature = "control")]
            control_tcp: self.control_tcp(),
            #[cfg(not(feature = "control"))]
            control: None,
            #[cfg(not(feature = "control"))]
            control_tcp: None,
            state_dir: self.state_dir().to_owned(),
            pid: std::process::id(),
            fault_seed: self.instance().calls.faults.seed(),
            preloaded: self.running.preloaded.clone(),
        }
    }
}
