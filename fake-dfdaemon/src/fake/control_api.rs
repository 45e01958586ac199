//! The control API of a fake: where it is served, and its start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::running::Running;
use super::{Builder, FakeDfdaemon};
use crate::control::ControlServer;
use crate::instance::error::StartError;
use crate::store::layout;

impl Builder {
    /// The control API's socket. By default `control.sock` in the state directory.
    pub fn control(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.control = Some(path.into());
        self
    }

    /// Serves the control API on a TCP address too: any program that can connect controls the fake.
    pub fn control_tcp(mut self, address: SocketAddr) -> Self {
        self.settings.control_tcp = Some(address);
        self
    }
}

impl FakeDfdaemon {
    /// The control API's socket.
    #[must_use]
    pub fn control(&self) -> &Path {
        self.running
            .control
            .as_ref()
            .map_or(Path::new(""), ControlServer::path)
    }

    /// The TCP address of the control API, if it has one.
    #[must_use]
    pub fn control_tcp(&self) -> Option<SocketAddr> {
        self.running.control.as_ref().and_then(ControlServer::tcp)
    }
}

impl Running {
    pub(super) async fn serve_control(&mut self) -> Result<(), StartError> {
        let settings = &self.instance.settings;
        let state = self.instance.cluster.state_dir().path();
        let path = settings.control.clone();
        let path = path.unwrap_or_else(|| layout::control_socket(state));
        let (tcp, mode) = (settings.control_tcp, settings.socket_mode);
        self.control = Some(ControlServer::start(&self.instance, path, tcp, mode).await?);
        Ok(())
    }
}
