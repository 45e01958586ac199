//! Why a proxy does not start.

use std::io;
use std::path::PathBuf;

use crate::grpc::socket::SocketError;
use crate::proxy::{CallsError, CassetteError, DiffError};
use crate::store::state_dir::StateDirError;

/// What was typed cannot be done.
const EXIT_USAGE: u8 = 2;

/// The state directory or a socket is in use or unusable.
const EXIT_UNUSABLE: u8 = 4;

/// The command cannot be started, or is not there: as shells say it.
const EXIT_CANNOT_RUN: u8 = 126;
const EXIT_NO_COMMAND: u8 = 127;

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error(transparent)]
    Cassette(#[from] CassetteError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error(transparent)]
    Calls(#[from] CallsError),
    #[error("calls are missing in the cassette")]
    Incomplete { source: io::Error },
    #[error("cannot run {command}")]
    Command { command: String, source: io::Error },
    #[error("cannot use the ready file {}", path.display())]
    ReadyFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ProxyError {
    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Socket(_)
            | Self::StateDir(_)
            | Self::ReadyFile { .. }
            | Self::Calls(CallsError::Journal { .. })
            | Self::Cassette(_)
            | Self::Diff(DiffError::Cassette(_) | DiffError::Unreachable { .. }) => EXIT_UNUSABLE,
            Self::Calls(CallsError::Fault(_)) => EXIT_USAGE,
            Self::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                EXIT_NO_COMMAND
            }
            Self::Command { .. } => EXIT_CANNOT_RUN,
            Self::Incomplete { .. } | Self::Diff(_) | Self::Io(_) => 1,
        }
    }
}
