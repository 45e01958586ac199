//! One host of the cluster: its files, and the transfers to it.

use std::io;
use std::path::Path;

use super::transfer::Transfers;
use crate::dfdaemon::{HostNumber, host_id};
use crate::store::{Disk, HostStore, layout};

/// One host of the cluster. What the scheduler knows of it is the [`Scheduler`](super::Scheduler)'s.
#[derive(Debug)]
pub(crate) struct Node {
    id: String,
    store: HostStore,
    transfers: Transfers,
}

impl Node {
    /// Opens the files of the host with this number below the state directory. Blocks on the disk.
    pub(super) fn open(disk: Disk, state_dir: &Path, number: HostNumber) -> io::Result<Self> {
        Ok(Self {
            id: host_id(&number.name()),
            store: HostStore::open(disk, &layout::host(state_dir, number))?,
            transfers: Transfers::default(),
        })
    }

    /// `<ip>-<hostname>`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// `<host id>-<uuid>`, new for every call.
    pub(super) fn new_peer_id(&self) -> String {
        format!("{}-{}", self.id, uuid::Uuid::new_v4())
    }

    pub(super) fn store(&self) -> &HostStore {
        &self.store
    }

    /// The transfers that run to this host.
    pub(super) fn transfers(&self) -> &Transfers {
        &self.transfers
    }
}
