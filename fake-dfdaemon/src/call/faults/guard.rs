//! The guard of a fault: it keeps the fault armed until it is dropped.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::registry::Faults;

/// An armed fault. Dropping the guard removes the fault.
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
    fired: Arc<watch::Sender<u64>>,
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
    /// Leaves the fault armed until the fake stops. A reset removes it, like every fault that was added
    /// after the start.
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
        *self.fired.borrow()
    }

    /// Waits until the fault has fired `times` times, for example before a test moves the clock past a
    /// delay. If it never does, this waits for ever.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use fake_dfdaemon::{FakeDfdaemon, Fault, Rpc};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # fake_dfdaemon::block_on(async {
    /// let models = tempfile::tempdir()?;
    /// std::fs::write(models.path().join("model.bin"), "content")?;
    /// let daemon = FakeDfdaemon::builder()
    ///     .manual_clock()
    ///     .preload(models.path())
    ///     .replication_delay(Duration::from_secs(3600))
    ///     .start()
    ///     .await?;
    /// let slow = daemon.fault(Fault::on(Rpc::Replicate).delay(Duration::from_secs(60)));
    /// daemon.clock().advance(Duration::from_secs(3600))?; // the replica begins
    /// slow.wait_until_fired(1).await;
    /// assert_eq!(daemon.tasks()[0].replicas.len(), 1);
    /// daemon.clock().advance(Duration::from_secs(60))?;
    /// daemon.settle().await;
    /// assert_eq!(daemon.tasks()[0].replicas.len(), 2);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub async fn wait_until_fired(&self, times: u64) {
        let mut fired = self.fired.subscribe();
        // The sender lives as long as this guard, so that the wait cannot fail.
        let _ = fired.wait_for(|fired| *fired >= times).await;
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
