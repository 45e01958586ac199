//! Why the cluster did not do what it was asked to. Which status and text a client gets for it is
//! decided in [`super::status`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dfdaemon_api::digest::ParseDigestError;

use crate::dfdaemon::HostNumber;
use crate::dfdaemon::limits::InvalidField;
use crate::store::TaskState;

/// Why an import, an export or a question failed. Cloned for each export that waits for the same
/// transfer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("persistent cache task {id} not found")]
    TaskNotFound { id: String },
    #[error("task {id} not found")]
    LocalTaskNotFound { id: String },
    #[error("persistent cache task {id} is {} cannot upload", state.as_str())]
    TaskExists { id: String, state: TaskState },
    #[error(transparent)]
    InvalidField(#[from] InvalidField),
    #[error("ParseError cause: {0}")]
    NegativeTtl(String),
    /// A request without a task id.
    #[error("invalid StatPersistentCacheTaskRequest.TaskId: value length must be at least 1 runes")]
    EmptyTaskId,
    /// A release without a default TTL was given none.
    #[error("unexpected response")]
    NoTtl,
    #[error(
        "no space left on device: not enough space to store the persistent cache task: \
         content_length={content_length}"
    )]
    NoSpace { content_length: u64 },
    /// The file to import cannot be read, found out while the id was computed.
    #[error("{0}")]
    SourceUnreadable(Arc<io::Error>),
    #[error("{} is not a regular file", path.display())]
    SourceNotRegular { path: PathBuf },
    #[error("{} changed while it was read", path.display())]
    SourceChanged { path: PathBuf },
    /// A piece length so short that the pieces cannot be numbered.
    #[error("{0}")]
    Layout(#[from] dfdaemon_api::piece::LayoutError),
    #[error("peer {peer_id} not found")]
    PeerNotFound { peer_id: String },
    /// The scheduler forgot an import that took too long, with the quirk for it.
    #[error("persistent cache peer {peer_id} not found")]
    ImporterForgotten { peer_id: String },
    /// A transfer lost its last parent. One that never had a parent ends with `PeerNotFound`.
    #[error("no candidate parents found")]
    NoCandidateParents,
    /// A replica was cut or has grown on the disk.
    #[error("content of task {id} has {found} bytes instead of {expected}")]
    ContentLength {
        id: String,
        expected: u64,
        found: u64,
    },
    /// The content of a replica was cut on the disk, with the quirk for it.
    #[error("early eof")]
    EarlyEof,
    /// A place that is another one for the client, or is the daemon's own.
    #[error("output path {} {why}", path.display())]
    OutputPlace { path: PathBuf, why: &'static str },
    #[error("output path {} is already exists", path.display())]
    OutputExists { path: PathBuf },
    #[error("invalid digest({raw}): {why}")]
    InvalidDigest { raw: String, why: ParseDigestError },
    #[error("digest mismatch expected: {expected}, actual: {actual}")]
    DigestMismatch { expected: String, actual: String },
    /// A parent failed by an injected fault.
    #[error("{0}")]
    TransferFault(&'static str),
    /// An injected fault, in what the scheduler does by itself.
    #[error("{0}")]
    Fault(Arc<tonic::Status>),
    /// All threads for files that clients named are busy.
    #[error("too many imports and exports are busy with files of clients")]
    ClientFilesBusy,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the daemon is stopping")]
    Stopping,
    /// The host has left or was stopped since the work began.
    #[error("{host} {}", if *left { "has left" } else { "was stopped" })]
    HostGone { host: HostNumber, left: bool },
    #[error("there is no host {host}")]
    NoSuchHost { host: HostNumber },
    #[error("{0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // Work that is broken off has no error of the system, which may have been interrupted by
        // anything.
        if error.kind() == io::ErrorKind::Interrupted && error.raw_os_error().is_none() {
            return Self::Cancelled;
        }
        Self::Io(Arc::new(error))
    }
}

pub(super) fn not_found(id: &str) -> Error {
    Error::TaskNotFound { id: id.to_owned() }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn an_interrupted_system_call_cancels_nothing() {
        let cancelled = Error::from(io::Error::from(io::ErrorKind::Interrupted));
        assert!(matches!(cancelled, Error::Cancelled));
        let interrupted = Error::from(io::Error::from(Errno::INTR));
        assert!(matches!(interrupted, Error::Io(_)));
    }
}
