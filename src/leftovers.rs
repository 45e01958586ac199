//! What must not stay when the process ends while one of its threads hangs.
//!
//! Destructors remove what was begun. A thread that hangs in a system call never gets to them:
//! then another thread removes it, and the process ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Remove = Arc<dyn Fn() + Send + Sync>;

static LEFTOVERS: Mutex<(u64, BTreeMap<u64, Remove>)> = Mutex::new((0, BTreeMap::new()));

/// Something that is removed if the process gives up before this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leftover(u64);

impl Leftover {
    /// `remove` may run at any time, on any thread, also beside the destructor that does the same.
    pub(crate) fn new(remove: impl Fn() + Send + Sync + 'static) -> Self {
        let mut leftovers = LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, entries) = &mut *leftovers;
        *next += 1;
        entries.insert(*next, Arc::new(remove));
        Self(*next)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let mut leftovers = LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner);
        leftovers.1.remove(&self.0);
    }
}

/// Removes what is left. The newest goes first: a file before the directory that it is in.
pub(crate) fn remove_all() {
    let leftovers: Vec<_> = {
        let leftovers = LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner);
        leftovers.1.values().rev().cloned().collect()
    };
    // Not under the lock: a removal may hang as well.
    for remove in leftovers {
        remove();
    }
}
