//! The flag that cancels blocking work. A token would do for that, but the work also counts its steps on the flag:
//! others see by them that it makes progress.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Tells work that nobody waits for its result any more, and others that the work comes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancelFlag(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    is_cancelled: AtomicBool,
    /// Counts the steps of the work, if anybody wants to know.
    steps: OnceLock<Arc<AtomicUsize>>,
}

impl CancelFlag {
    pub(crate) fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// A guard that cancels the work when it is dropped.
    pub(crate) fn drop_guard(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Relaxed)
    }

    /// Lets the work's steps be counted besides those of other work.
    pub(crate) fn count_steps(&self, steps: &Arc<AtomicUsize>) {
        self.0.steps.get_or_init(|| Arc::clone(steps));
    }

    /// After a step of the work: `Interrupted` if it is cancelled.
    pub(crate) fn check(&self) -> io::Result<()> {
        if let Some(steps) = self.0.steps.get() {
            steps.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

/// Cancels work when it is dropped.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
