//! What holds a fault armed in a test.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::registry::Faults;

/// A fault that lasts as long as this does.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Fault, Rpc};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let stalls = daemon.fault(Fault::on(Rpc::Stat).stall());
/// assert_eq!(stalls.fired(), 0);
/// drop(stalls); // From here on, stat answers again.
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Debug)]
#[must_use = "the fault is removed when this is dropped; `keep` leaves it"]
pub struct FaultGuard {
    faults: Arc<Faults>,
    id: u64,
    fired: Arc<AtomicU64>,
    is_kept: bool,
    removed: Option<Removed>,
}

/// What follows the removal.
struct Removed(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Removed")
    }
}

impl FaultGuard {
    /// Leaves the fault armed for as long as the fake runs. A reset removes it, as all faults that are
    /// not of the start.
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    pub(crate) fn new(faults: Arc<Faults>, id: u64) -> Self {
        let fired = faults.count_of(id).unwrap_or_default();
        Self {
            faults,
            id,
            fired,
            is_kept: false,
            removed: None,
        }
    }

    /// Also does this when the guard is dropped and the fault is removed.
    pub(crate) fn and_then(mut self, removed: impl Fn() + Send + Sync + 'static) -> Self {
        self.removed = Some(Removed(Box::new(removed)));
        self
    }

    /// The fault's id, as the journal and the control API give it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often the fault has fired.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        self.faults.remove_counted(self.id, &self.fired);
        if let Some(Removed(removed)) = &self.removed {
            removed();
        }
    }
}
