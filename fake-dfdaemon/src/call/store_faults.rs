//! The faults of a call that hit its store. They count as fired when content is first written, so that
//! a call that writes nothing uses none up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::faults::registry::Armed;
use super::transfer_faults::TransferFaults;
use crate::store::DiskFault;

/// The faults of a call that act in the cluster: on a host's disk, and on pieces on their way to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterFaults {
    pub(crate) store: StoreFaults,
    pub(crate) transfer: TransferFaults,
}

/// Shared by a call and those who write for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreFaults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    armed: Vec<(Armed, DiskFault)>,
    /// Set when content is first written: the one of them that fired, if any did.
    met: OnceLock<Option<(Armed, DiskFault)>>,
    /// Whether the call knows of it.
    taken: AtomicBool,
}

impl StoreFaults {
    /// Those among the faults of a call.
    pub(super) fn among(armed: &[Armed]) -> Self {
        let store_fault = |armed: &Armed| Some((armed.clone(), armed.action().on_store()?));
        Self(Arc::new(Inner {
            armed: armed.iter().filter_map(store_fault).collect(),
            ..Inner::default()
        }))
    }

    /// Whether the call has any.
    pub(crate) fn any(&self) -> bool {
        !self.0.armed.is_empty()
    }

    /// What is wrong with the disk for the content that is about to be written. It counts as fired,
    /// once for all that the call writes.
    pub(crate) fn meet(&self) -> Option<DiskFault> {
        let fire = || {
            let mut armed = self.0.armed.iter();
            armed.find(|(armed, _)| armed.fire()).cloned()
        };
        let met = self.0.met.get_or_init(fire).as_ref();
        met.map(|(_, fault)| *fault)
    }

    /// The fault that has fired, returned once.
    pub(super) fn take_fired(&self) -> Option<Armed> {
        let (armed, _) = self.0.met.get()?.as_ref()?;
        let taken = self.0.taken.swap(true, Ordering::Relaxed);
        (!taken).then(|| armed.clone())
    }
}
