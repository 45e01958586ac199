//! Why a value is invalid.

use std::convert::Infallible;

use thiserror::Error;

/// The longest path that a Unix socket can have, in bytes.
pub(crate) const MAX_ENDPOINT_LENGTH: usize = 107;

/// Why a value is invalid.
///
/// ```
/// use dfcache::{Endpoint, ValueError};
///
/// assert_eq!(Endpoint::new(""), Err(ValueError::EmptyEndpoint));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a duration.
    #[error("it is {reason}; write numbers with units, such as 90s, 30m, 1h30m or 2d")]
    Duration {
        /// What is wrong with it, such as `a number without a unit`.
        reason: String,
    },
    /// Outside of what is allowed.
    #[error("{what} must be at least {minimum} and at most {maximum}")]
    Range {
        /// What it is.
        what: &'static str,
        /// The least.
        minimum: &'static str,
        /// The most.
        maximum: &'static str,
    },
    /// No time at all.
    #[error("a timeout must be longer than 0s, such as 30s")]
    ZeroTimeout,
    /// More than the protocol can carry.
    #[error("a timeout must be at most 10000 years")]
    LongTimeout,
    /// Not a size, or one that does not fit into 64 bits.
    #[error("it is not a size below 16eib; write bytes, such as 4mib, 64MiB or 1.5gib")]
    Size,
    /// A piece length below the least.
    #[error("a piece length must be at least 4mib")]
    ShortPieces,
    /// Not a number, or 0.
    #[error("a replica count must be a whole number of at least 1, such as 2")]
    ReplicaCount,
    /// A task id without characters.
    #[error("a task id must not be empty")]
    EmptyTaskId,
    /// An endpoint without characters.
    #[error(
        "the endpoint must not be empty; it is the path of a Unix socket, such as /run/dfdaemon.sock"
    )]
    EmptyEndpoint,
    /// An endpoint that is not a Unix socket.
    #[error(
        "an endpoint is the path of a Unix socket, such as /run/dfdaemon.sock; {scheme}:// is not supported"
    )]
    EndpointScheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// A path that no socket can have.
    #[error(
        "the path of a Unix socket has at most {MAX_ENDPOINT_LENGTH} bytes, this one has {length}; use a shorter directory or a symbolic link"
    )]
    LongEndpoint {
        /// Its length in bytes.
        length: usize,
    },
}

/// What cannot fail fits where a value that can is expected.
impl From<Infallible> for ValueError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
