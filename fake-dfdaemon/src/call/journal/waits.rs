//! The waiters for calls, and how many more calls each waits for.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Call, Query};

/// Those who wait for calls. Each call that ends is counted as it is written.
#[derive(Debug, Default)]
pub(super) struct Waits {
    waits: Vec<(u64, Wait)>,
    last: u64,
}

/// A wait for `count` calls with numbers above `after`.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) query: Query,
    pub(super) after: u64,
    /// How many have not ended yet.
    pub(super) lacks: u64,
    pub(super) count: u64,
    pub(super) came: Arc<Notify>,
}

impl Waits {
    /// Adds a wait; the number is for [`Self::remove`].
    pub(super) fn add(&mut self, wait: Wait) -> u64 {
        self.last += 1;
        self.waits.push((self.last, wait));
        self.last
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.waits.retain(|(waiting, _)| *waiting != id);
    }

    /// A call has ended.
    pub(super) fn note(&mut self, call: &Call) {
        for (_, wait) in &mut self.waits {
            if wait.lacks > 0 && call.call > wait.after && wait.query.matches(call) {
                wait.lacks -= 1;
                if wait.lacks == 0 {
                    wait.came.notify_one();
                }
            }
        }
    }

    /// Every call is forgotten, also by those who wait.
    pub(super) fn begin_again(&mut self) {
        for (_, wait) in &mut self.waits {
            if wait.lacks > 0 {
                wait.lacks = wait.count;
            }
        }
    }
}
