//! What can be changed of a daemon while it runs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::limits::Block;
use super::quirks::{Quirk, Quirks};

/// Settings that can be changed while a daemon runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adjustable {
    /// Of each host, in bytes; `None` for what the file system holds.
    pub(crate) capacity: Option<u64>,
    /// How many requests a host has in hand before it refuses more.
    pub(crate) max_requests: Option<usize>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) replication_delay: Duration,
    pub(crate) gc_interval: Duration,
    pub(crate) quirks: Quirks,
}

impl Adjustable {
    /// As the control API shows them.
    pub(crate) fn to_value(&self) -> Value {
        let text = |duration: Duration| humantime::format_duration(duration).to_string();
        let quirks = Quirk::all().filter(|quirk| self.quirks.has(*quirk));
        json!({
            "capacity": self.capacity,
            "max_requests": self.max_requests,
            "block": self.blocks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "replication_delay": text(self.replication_delay),
            "gc_interval": text(self.gc_interval),
            "quirks": quirks.map(Quirk::name).collect::<Vec<_>>(),
        })
    }
}

/// How they are now.
#[derive(Debug)]
pub(crate) struct Adjusted {
    /// At the start.
    given: Arc<Adjustable>,
    now: RwLock<Arc<Adjustable>>,
}

impl Adjusted {
    pub(crate) fn new(given: Adjustable) -> Self {
        let given = Arc::new(given);
        Self {
            now: RwLock::new(Arc::clone(&given)),
            given,
        }
    }

    pub(crate) fn now(&self) -> Arc<Adjustable> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes them, all at once or, after an error, none.
    pub(crate) fn change<E>(
        &self,
        change: impl FnOnce(&mut Adjustable) -> Result<(), E>,
    ) -> Result<Arc<Adjustable>, E> {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Adjustable::clone(&now);
        change(&mut changed)?;
        *now = Arc::new(changed);
        Ok(Arc::clone(&now))
    }

    /// Back to how they were at the start.
    pub(crate) fn start_anew(&self) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&self.given);
    }
}
