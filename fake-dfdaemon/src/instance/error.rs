//! Why a fake does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::call::faults::FaultError;
use crate::grpc::socket::SocketError;
use crate::store::state_dir::StateDirError;

/// Why a fake did not start.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, StartError};
///
/// let error = FakeDfdaemon::builder().hosts(0).start_blocking().unwrap_err();
/// assert!(matches!(error, StartError::Setting(_)), "{error}");
/// ```
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
    /// The journal cannot be written.
    #[error("cannot open the journal {}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file was not imported.
    #[error("cannot preload {}", path.display())]
    Preload {
        /// The file, or the directory.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A host's TCP address cannot be bound.
    #[error("cannot bind a host to {address}")]
    HostTcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The control API's address cannot be bound.
    #[error("cannot bind the control API to {address}")]
    ControlTcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The fault specification is invalid.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A cassette cannot be written, or the directory is no cassette.
    #[error(transparent)]
    Cassette(Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("cannot start")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}
