//! What a call knows of its connection and of its request's head: time limit, metadata, how to close it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

/// The least that a question to a scheduler takes.
pub(crate) const SCHEDULER_ANSWERS_AFTER: Duration = Duration::from_millis(1);

/// The connection that a call came by.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Closes it.
    pub(crate) closes: CancellationToken,
    /// Whether the time is over that the client gave this call.
    pub(crate) is_late: Arc<AtomicBool>,
    /// The time that the client gives this call, if it gives one.
    pub(crate) limit: Option<Duration>,
    /// What came with this call, as the journal tells it.
    pub(crate) metadata: Arc<Map<String, Value>>,
}
