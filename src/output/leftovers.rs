//! Temporary files that must be removed although the thread that made them hangs.
//!
//! Normally destructors remove them. A thread that hangs in a system call never gets to its
//! destructors: then another thread removes the files, and the process ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::mutex::Mutex;

type Remove = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Leftovers>> = const { RefCell::new(None) };
}

/// What one operation has begun and not yet taken back. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Leftovers(Arc<Mutex<Begun>>);

#[derive(Default)]
struct Begun {
    last: u64,
    entries: BTreeMap<u64, Remove>,
}

impl Leftovers {
    /// Collects what this thread begins from now on.
    #[cfg(feature = "cli")]
    pub(crate) fn collect(&self) {
        OF_THIS_THREAD.set(Some(self.clone()));
    }

    /// Removes what is left. The newest goes first: a file before the directory that it is in.
    #[cfg(feature = "cli")]
    pub(crate) fn remove_all(&self) {
        let leftovers: Vec<_> = self.0.lock().entries.values().rev().cloned().collect();
        // Not under the lock: a removal may hang as well.
        for remove in leftovers {
            remove();
        }
    }
}

/// Makes `work` a part of this thread's operation, for another thread to run.
pub(crate) fn of_this_operation<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let operation = OF_THIS_THREAD.with_borrow(Clone::clone);
    move || {
        let other = OF_THIS_THREAD.replace(operation);
        let done = work();
        OF_THIS_THREAD.set(other);
        done
    }
}

/// Something that is removed if the process gives up before this is dropped. Without an operation
/// that may be given up, as in other programs, it is nothing.
#[must_use]
pub(crate) struct Leftover(Option<(Leftovers, u64)>);

impl Leftover {
    /// `remove` may run at any time, on any thread, also beside the destructor that does the same.
    pub(crate) fn new(remove: impl Fn() + Send + Sync + 'static) -> Self {
        let leftovers = OF_THIS_THREAD.with_borrow(Clone::clone);
        Self(leftovers.map(|leftovers| {
            let mut begun = leftovers.0.lock();
            begun.last += 1;
            let number = begun.last;
            begun.entries.insert(number, Arc::new(remove));
            drop(begun);
            (leftovers, number)
        }))
    }
}

impl std::fmt::Debug for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leftover")
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some((leftovers, number)) = self.0.take() {
            leftovers.0.lock().entries.remove(&number);
        }
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_another_thread_begins_for_an_operation_is_removed_with_it() {
        let removed = Arc::new(AtomicBool::new(false));
        let leftovers = Leftovers::default();
        leftovers.collect();
        let removes = Arc::clone(&removed);
        let begin =
            of_this_operation(move || Leftover::new(move || removes.store(true, Ordering::SeqCst)));
        let begun = std::thread::spawn(begin).join().unwrap();
        leftovers.remove_all();
        assert!(removed.load(Ordering::SeqCst));
        drop(begun);
        assert!(leftovers.0.lock().entries.is_empty());
    }
}
