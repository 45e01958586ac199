//! How many bytes wait to be recorded. A call whose bytes would exceed the limit waits.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::dfdaemon::mutex::Mutex;

/// The most bytes that wait, and where calls go on.
const MOST: usize = 16 << 20;
const AGAIN: usize = MOST / 2;

#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    waiting: Vec<Waker>,
}

/// Bytes that count as waiting until this is dropped.
#[derive(Debug)]
pub(super) struct BacklogPermit {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl BacklogPermit {
    /// For bytes that were added before.
    pub(super) fn of(backlog: &Arc<Backlog>, bytes: usize) -> Self {
        let backlog = Arc::clone(backlog);
        Self { backlog, bytes }
    }
}

impl Drop for BacklogPermit {
    fn drop(&mut self) {
        self.backlog.remove(self.bytes);
    }
}

impl Backlog {
    pub(super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.bytes < MOST {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !state.waiting.iter().any(|known| known.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.lock().bytes += bytes;
    }

    fn remove(&self, bytes: usize) {
        let woken = {
            let mut state = self.0.lock();
            state.bytes = state.bytes.saturating_sub(bytes);
            if state.bytes > AGAIN {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        woken.into_iter().for_each(Waker::wake);
    }
}
