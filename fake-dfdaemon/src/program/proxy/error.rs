//! Why a proxy does not start.

use std::io;
use std::path::PathBuf;

use crate::grpc::socket::SocketError;
use crate::store::state_dir::StateDirError;

/// The state directory or a socket is in use or unusable.
const EXIT_UNUSABLE: u8 = 4;

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("cannot use the ready file {}", path.display())]
    ReadyFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ProxyError {
    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Socket(_) | Self::StateDir(_) | Self::ReadyFile { .. } => EXIT_UNUSABLE,
            Self::Io(_) => 1,
        }
    }
}
