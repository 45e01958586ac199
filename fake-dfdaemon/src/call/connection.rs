//! What a call has of the connection that it came by.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

/// The connection that a call came by.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Closes it.
    pub(crate) closes: CancellationToken,
    /// Whether the time is over that the client gave this call.
    pub(crate) is_late: Arc<AtomicBool>,
    /// What came with this call, as the journal tells it.
    pub(crate) metadata: Arc<Map<String, Value>>,
}
