//! Hosts that other processes run, as parents of the hosts of this one: their tasks are found there,
//! and pieces are taken from them.
//!
//! A parent is not trusted: whatever it sends is checked against the task.

mod address;
mod client;
mod lookup;
mod packets;
mod parent;
mod sent_piece;

use std::time::Duration;

pub use self::address::{ParsePeerAddressError, PeerAddress};
pub(super) use self::parent::RemoteParent;

/// How long a parent may take for an answer, by default.
pub const DEFAULT_PARENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The hosts that other processes run, and how long each has for an answer.
#[derive(Clone, Debug)]
pub(crate) struct PeerSettings {
    pub(crate) parents: Vec<PeerAddress>,
    /// By the machine's time.
    pub(crate) timeout: Duration,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            parents: Vec::new(),
            timeout: DEFAULT_PARENT_TIMEOUT,
        }
    }
}
