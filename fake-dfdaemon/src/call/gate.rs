//! The gate that every call passes: it is shut while the state is replaced.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::sync::CancellationToken;

use crate::dfdaemon::mutex::Mutex;

/// How long a call that is ended may go on.
pub(crate) const CALLS_END_WITHIN: Duration = Duration::from_secs(5);

/// Held by a call that was let in: the state stays as long as it is held.
#[derive(Debug)]
pub(crate) struct GateGuard {
    _held: OwnedRwLockReadGuard<()>,
    /// Cancelled when the call is to end.
    ends: CancellationToken,
}

impl GateGuard {
    /// Cancelled when the call is to end.
    pub(crate) fn ends(&self) -> CancellationToken {
        self.ends.clone()
    }
}

/// Lets calls in, and ends those that are running when the state is replaced under them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// Held by every call, taken alone to replace the state.
    running: Arc<RwLock<()>>,
    /// Of the calls that are let in now.
    ends: Arc<Mutex<CancellationToken>>,
}

impl Gate {
    /// Waits while the state is being replaced.
    pub(crate) async fn enter(&self) -> GateGuard {
        let held = Arc::clone(&self.running).read_owned().await;
        GateGuard {
            _held: held,
            ends: self.ends(),
        }
    }

    /// A token that is cancelled when the present state is replaced.
    pub(crate) fn ends(&self) -> CancellationToken {
        self.ends.lock().clone()
    }

    /// Holds the state as it is for work that belongs to a call; `None` when it is about to be
    /// replaced.
    pub(crate) fn try_enter(&self) -> Option<OwnedRwLockReadGuard<()>> {
        Arc::clone(&self.running).try_read_owned().ok()
    }

    /// Ends every running call, and keeps new ones waiting until the result is dropped. `None` if
    /// one does not end: it hangs in a file system. New ones are let in again then.
    pub(crate) async fn close(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        self.end_all();
        let alone = Arc::clone(&self.running).write_owned();
        let alone = tokio::time::timeout(CALLS_END_WITHIN, alone).await.ok();
        *self.ends.lock() = CancellationToken::new();
        alone
    }

    /// Ends every running call.
    pub(crate) fn end_all(&self) {
        self.ends.lock().cancel();
    }
}
