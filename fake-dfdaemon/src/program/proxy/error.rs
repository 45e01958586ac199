//! Why a proxy does not start.

use std::io;
use std::path::PathBuf;

use crate::instance::error::StartError;
use crate::proxy::DiffError;

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
    Start(#[from] StartError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error("calls are missing from the cassette")]
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
            Self::Start(error) => start_code(error),
            Self::ReadyFile { .. }
            | Self::Diff(DiffError::Cassette(_) | DiffError::Unreachable { .. }) => EXIT_UNUSABLE,
            Self::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                EXIT_NO_COMMAND
            }
            Self::Command { .. } => EXIT_CANNOT_RUN,
            Self::Incomplete { .. } | Self::Diff(_) | Self::Io(_) => 1,
        }
    }
}

/// The exit code for what does not start.
pub(crate) fn start_code(error: &StartError) -> u8 {
    match error {
        StartError::Setting(_) | StartError::Fault(_) => EXIT_USAGE,
        StartError::StateDir(_)
        | StartError::Socket(_)
        | StartError::State { .. }
        | StartError::Journal { .. }
        | StartError::Cassette(_)
        | StartError::HostTcp { .. }
        | StartError::ControlTcp { .. } => EXIT_UNUSABLE,
        StartError::Preload { .. } | StartError::Other(_) => 1,
    }
}
