//! The calls that have arrived and not ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Call, Query};
use crate::dfdaemon::mutex::Mutex;

/// A call that has not ended, as far as it has come. Its service changes it while readers of the journal
/// look at it.
#[derive(Debug)]
pub(crate) struct SharedCall {
    call: Mutex<Call>,
    started: Instant,
}

impl SharedCall {
    /// Reads or changes what is known of it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Call) -> T) -> T {
        work(&mut self.call.lock())
    }

    /// What is known of it now, with the time that it has taken.
    pub(crate) fn so_far(&self) -> Call {
        let mut call = self.call.lock().clone();
        let elapsed = self.started.elapsed().as_millis();
        call.duration_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        call
    }
}

/// The calls that have not ended, by number.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<BTreeMap<u64, Arc<SharedCall>>>);

impl Running {
    /// A call has arrived.
    pub(crate) fn begin(&self, call: Call) -> Arc<SharedCall> {
        let number = call.call;
        let running = Arc::new(SharedCall {
            call: Mutex::new(call),
            started: Instant::now(),
        });
        self.0.lock().insert(number, Arc::clone(&running));
        running
    }

    /// A call has ended: the call as it was in the end.
    pub(crate) fn end(&self, running: &SharedCall) -> Call {
        let call = running.so_far();
        self.0.lock().remove(&call.call);
        call
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Those that are asked for and have a number above `after`, by number. What they will answer is
    /// not known yet.
    pub(crate) fn find(&self, query: &Query, after: u64, limit: usize) -> Vec<Call> {
        let calls: Vec<_> = self.0.lock().values().map(Arc::clone).collect();
        let found = calls
            .iter()
            .map(|call| call.so_far())
            .filter(|call| call.call > after && query.matches(call));
        found.take(limit).collect()
    }
}
