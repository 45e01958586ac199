//! Values that were parsed and are known to be good: what commands work with.
//!
//! The constants here are the limits that help texts, checks and error messages share. What was
//! typed, and under which names, lives in `cli`.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
pub use dfdaemon_api::digest::Digest;
use dfdaemon_api::piece::MIN_PIECE_LENGTH;
use thiserror::Error;

/// The socket where a daemon listens if nothing else is said.
pub const DEFAULT_ENDPOINT: &str = "/var/run/dragonfly/dfdaemon.sock";

/// The longest path that a Unix socket can have, in bytes.
const MAX_ENDPOINT_LENGTH: usize = 107;

/// The longest duration that the protocol can carry: 10000 years.
const MAX_WIRE_SECONDS: u64 = 315_576_000_000;

/// How long a task lives after its import, in whole or fractional seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(Duration);

impl Ttl {
    /// The shortest: one minute.
    pub const MIN: Self = Self(Duration::from_secs(60));
    /// The longest: seven days.
    pub const MAX: Self = Self(Duration::from_secs(7 * 24 * 60 * 60));
    /// What an import uses unless told otherwise, as it is written.
    pub const DEFAULT: &str = "1h";

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Default for Ttl {
    /// One hour.
    fn default() -> Self {
        Self(Duration::from_secs(60 * 60))
    }
}

impl FromStr for Ttl {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let ttl = Self(duration(raw)?);
        if (Self::MIN.0..=Self::MAX.0).contains(&ttl.0) {
            return Ok(ttl);
        }
        Err(ValueError::Range {
            what: "a ttl",
            minimum: "1m",
            maximum: "7d",
        })
    }
}

/// How long a whole operation may take; longer than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(Duration);

impl Timeout {
    /// What an import has unless told otherwise, as it is written.
    pub const DEFAULT_IMPORT: &str = "30m";
    /// What an export has unless told otherwise, as it is written.
    pub const DEFAULT_EXPORT: &str = "2h";
    /// What a question has unless told otherwise, as it is written.
    pub const DEFAULT_QUESTION: &str = "30s";

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Timeout {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let timeout = duration(raw)?;
        if timeout.is_zero() {
            return Err(ValueError::ZeroTimeout);
        }
        if timeout > Duration::from_secs(MAX_WIRE_SECONDS) {
            return Err(ValueError::LongTimeout);
        }
        Ok(Self(timeout))
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

fn duration(raw: &str) -> Result<Duration, ValueError> {
    humantime::parse_duration(raw).map_err(|source| ValueError::Duration {
        reason: source.to_string(),
    })
}

/// The length of a task's pieces, in bytes: at least 4 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLength(u64);

impl PieceLength {
    /// The shortest: 4 MiB.
    pub const MIN: Self = Self(MIN_PIECE_LENGTH);

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for PieceLength {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let ByteSize(bytes) = raw.trim().parse().map_err(|_| ValueError::Size)?;
        // Sizes that do not fit are saturated by the parser.
        if bytes == u64::MAX {
            return Err(ValueError::Size);
        }
        if bytes < Self::MIN.0 {
            return Err(ValueError::ShortPieces);
        }
        Ok(Self(bytes))
    }
}

/// How many persistent replicas of a task there shall be: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaCount(u64);

impl ReplicaCount {
    /// What an import asks for unless told otherwise, as it is written.
    pub const DEFAULT: &str = "2";

    /// As a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Default for ReplicaCount {
    /// Two.
    fn default() -> Self {
        Self(2)
    }
}

impl FromStr for ReplicaCount {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        match raw.parse() {
            Ok(0) | Err(_) => Err(ValueError::ReplicaCount),
            Ok(count) => Ok(Self(count)),
        }
    }
}

/// The id of a task. Only the daemon knows which ids there are, so any text that is not empty is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(String);

impl TaskId {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaskId {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        if raw.is_empty() {
            return Err(ValueError::EmptyTaskId);
        }
        Ok(Self(raw.to_owned()))
    }
}

/// Where a daemon listens: the path of its Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

impl Endpoint {
    /// The endpoint at a path, which may be spelt as a `unix:` URL.
    ///
    /// # Errors
    ///
    /// If it is empty, another kind of URL, or longer than a socket's path can be (107 bytes).
    pub fn new(raw: impl AsRef<Path>) -> Result<Self, ValueError> {
        let raw = raw.as_ref().as_os_str();
        let path = match raw.to_str() {
            Some(text) => Path::new(without_scheme(text)?),
            None => Path::new(raw),
        };
        let length = path.as_os_str().as_bytes().len();
        if length == 0 {
            return Err(ValueError::EmptyEndpoint);
        }
        if length > MAX_ENDPOINT_LENGTH {
            return Err(ValueError::LongEndpoint { length });
        }
        Ok(Self(path.to_owned()))
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The path in `unix:/path` and `unix:///path`; anything else that looks like a URL is refused.
fn without_scheme(raw: &str) -> Result<&str, ValueError> {
    if let Some(rest) = raw.strip_prefix("unix:") {
        return Ok(rest.strip_prefix("//").unwrap_or(rest));
    }
    let scheme = raw.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(ValueError::EndpointScheme {
                scheme: scheme.to_owned(),
            })
        }
        _ => Ok(raw),
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self(PathBuf::from(DEFAULT_ENDPOINT))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Why a value was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a duration.
    #[error("{reason}; durations look like 90s, 30m, 2h 30m or 7d")]
    Duration {
        /// What is wrong with it.
        reason: String,
    },
    /// Outside of what is allowed.
    #[error("{what} is at least {minimum} and at most {maximum}")]
    Range {
        /// What it is.
        what: &'static str,
        /// The least.
        minimum: &'static str,
        /// The most.
        maximum: &'static str,
    },
    /// No time at all.
    #[error("a timeout is longer than 0s")]
    ZeroTimeout,
    /// More than the protocol can carry.
    #[error("a timeout is at most 10000 years")]
    LongTimeout,
    /// Not a size, or one that does not fit into 64 bits.
    #[error("sizes look like 4mib, 64mib or 1gib")]
    Size,
    /// A piece length below the least.
    #[error("a piece length is at least 4mib")]
    ShortPieces,
    /// Not a number, or 0.
    #[error("a replica count is a whole number of at least 1")]
    ReplicaCount,
    /// A task id without characters.
    #[error("a task id is not empty")]
    EmptyTaskId,
    /// An endpoint without characters.
    #[error("an endpoint is the path of a Unix socket, not nothing")]
    EmptyEndpoint,
    /// An endpoint that is not a Unix socket.
    #[error("an endpoint is the path of a Unix socket; {scheme}:// is not supported")]
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

#[cfg(test)]
mod tests;
