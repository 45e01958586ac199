//! What a host can be asked to do, by the names that faults and the journal use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of call, as faults and the journal name it.
///
/// ```
/// use fake_dfdaemon::Rpc;
///
/// assert_eq!("stat-local".parse(), Ok(Rpc::StatLocal));
/// assert_eq!(Rpc::Import.to_string(), "import");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rpc {
    /// `UploadPersistentCacheTask`.
    Import,
    /// `DownloadPersistentCacheTask`.
    Export,
    /// `StatPersistentCacheTask`.
    Stat,
    /// `StatLocalPersistentCacheTask`.
    StatLocal,
    /// `ListLocalPersistentCacheTasks`.
    List,
    /// `UpdatePersistentCacheTask`.
    Update,
    /// `DeletePersistentCacheTask`.
    Delete,
    /// A replica made by the scheduler; not a call of a client.
    Replicate,
    /// `grpc.health.v1.Health`.
    Health,
    /// A piece on its way from one host to another: what peers ask for, and what faults hit.
    Transfer,
    /// A connection that is made to a host; in the journal if a fault has hit it.
    Connect,
    /// A method that is not served. Only faults on `*` hit it.
    Unserved,
}

impl Rpc {
    /// Every call that is served.
    pub const ALL: [Self; 9] = [
        Self::Import,
        Self::Export,
        Self::Stat,
        Self::StatLocal,
        Self::List,
        Self::Update,
        Self::Delete,
        Self::Replicate,
        Self::Health,
    ];

    /// Every call that can be asked for by its name.
    pub(crate) fn named() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::Transfer, Self::Connect])
    }

    /// As it is written in a fault or in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
            Self::Stat => "stat",
            Self::StatLocal => "stat-local",
            Self::List => "list",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Replicate => "replicate",
            Self::Health => "health",
            Self::Transfer => "transfer",
            Self::Connect => "connect",
            Self::Unserved => "unserved",
        }
    }
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind of call.
///
/// ```
/// use fake_dfdaemon::{Rpc, UnknownRpc};
///
/// let error: UnknownRpc = "download".parse::<Rpc>().unwrap_err();
/// assert!(error.to_string().contains("download"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such call: {given}; there are {}", Rpc::named().map(Rpc::as_str).collect::<Vec<_>>().join(", "))]
pub struct UnknownRpc {
    given: String,
}

impl FromStr for Rpc {
    type Err = UnknownRpc;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::named().find(|rpc| rpc.as_str() == text);
        named.ok_or_else(|| UnknownRpc {
            given: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_are_written() {
        for rpc in Rpc::named() {
            assert_eq!(rpc.to_string().parse(), Ok(rpc));
            assert_eq!(serde_json::to_value(rpc).unwrap(), rpc.as_str());
        }
        let error = "upload".parse::<Rpc>().unwrap_err().to_string();
        for rpc in Rpc::named() {
            assert!(error.contains(rpc.as_str()), "{error}");
        }
    }
}
