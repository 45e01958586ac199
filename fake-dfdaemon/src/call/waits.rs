//! Calls that wait for a time of the daemon's clock. `settle` lists them: under a manual clock they
//! wait until a test moves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::dfdaemon::mutex::Mutex;

/// The calls that wait, by number: what each is, and until when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Arc<Mutex<BTreeMap<u64, (String, Timestamp)>>>);

/// The numbers of what waits and is no call: above those of all calls.
static NEXT: AtomicU64 = AtomicU64::new(1 << 63);

/// Says that a call waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    waits: Waits,
    call: u64,
}

impl Waits {
    pub(super) fn note(&self, call: u64, what: String, until: Timestamp) -> Waiting {
        self.0.lock().insert(call, (what, until));
        Waiting {
            waits: self.clone(),
            call,
        }
    }

    /// The same for what is no call.
    pub(crate) fn note_other(&self, what: String, until: Timestamp) -> Waiting {
        self.note(NEXT.fetch_add(1, Ordering::Relaxed), what, until)
    }

    /// Those that wait for a time to come, by number.
    pub(crate) fn beyond(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        let waits = self.0.lock();
        // If its time has come, it goes on and is only not woken yet.
        let beyond = waits.values().filter(|(_, until)| *until > now);
        beyond.cloned().collect()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.0.lock().remove(&self.call);
    }
}
