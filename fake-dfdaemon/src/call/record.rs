//! What is known of a call: from its arrival on, and in the journal when it has ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::rpc::Rpc;

/// A call that has ended.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Rpc};
///
/// let models = tempfile::tempdir()?;
/// std::fs::write(models.path().join("model.bin"), "content")?;
/// let daemon = FakeDfdaemon::builder().preload(models.path()).start_blocking()?;
/// let copied = fake_dfdaemon::block_on(daemon.journal().wait_for(Rpc::Replicate))?;
/// assert_eq!(copied[0].task_id(), Some(daemon.tasks()[0].id.as_str()));
/// assert_eq!((copied[0].host.as_str(), copied[0].status.code.as_str()), ("host-1", "OK"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Counts the calls of this daemon in the order in which they arrived, from 1.
    pub call: u64,
    /// When it arrived, by the daemon's clock.
    pub at: Timestamp,
    /// The kind of call.
    pub rpc: Rpc,
    /// The host that was asked.
    pub host: String,
    /// The request's fields.
    pub(crate) request: Value,
    /// The request's metadata, by key: a text, or a list of them where the key comes more than once.
    /// Binary values are base64.
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
    /// Pieces that were sent.
    pub pieces: u64,
    /// Content that was sent, in bytes.
    pub bytes: u64,
    /// The status that the client got.
    pub status: CallStatus,
    /// The fault that hit the call, the last if there were several.
    pub fault: Option<CallFault>,
    /// Whether the client went away before it had the whole answer.
    pub client_gone: bool,
    /// How long the call took, in milliseconds of the machine's time.
    pub duration_ms: u64,
}

impl Call {
    /// A call that arrives: its number and its time are known when it begins.
    pub(crate) fn arriving(rpc: Rpc, host: impl Into<String>, request: Value) -> Self {
        Self {
            call: 0,
            at: Timestamp::UNIX_EPOCH,
            rpc,
            host: host.into(),
            request,
            metadata: Map::new(),
            pieces: 0,
            bytes: 0,
            status: CallStatus {
                code: "OK".to_owned(),
                message: String::new(),
            },
            fault: None,
            client_gone: false,
            duration_ms: 0,
        }
    }

    /// The task of an import, once it is known.
    pub(crate) fn set_task(&mut self, id: &str) {
        if let Some(request) = self.request.as_object_mut() {
            request.insert("task_id".to_owned(), id.into());
        }
    }

    /// The JSON of a call that is running: it has no status yet.
    pub(crate) fn unanswered(&self) -> Value {
        let mut fields = serde_json::json!(self);
        if let Some(status) = fields.get_mut("status") {
            *status = Value::Null;
        }
        fields
    }

    /// A field of the request that is a text.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.request.get(field).and_then(Value::as_str)
    }

    /// A field of the request, by its name in the journal: a text as it is, anything else as JSON. `None`
    /// if the request has no such field, or says nothing in it.
    #[must_use]
    pub fn request(&self, field: &str) -> Option<String> {
        let value = self.request.get(field).filter(|value| !value.is_null())?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    }

    /// The task that the call was for, if the request names one.
    #[must_use]
    pub fn task_id(&self) -> Option<&str> {
        self.text("task_id")
    }

    /// What the client sent as metadata under a key, in order. Binary values are base64.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Vec<&str> {
        match self.metadata.get(key) {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            text => text.and_then(Value::as_str).into_iter().collect(),
        }
    }
}

impl CallFault {
    /// The name of what it did, such as `error`.
    #[must_use]
    pub fn action(&self) -> &str {
        let names = self.action.as_object().into_iter().flat_map(Map::keys);
        names.map(String::as_str).next().unwrap_or_default()
    }
}

/// How a call ended.
///
/// ```
/// use fake_dfdaemon::{Call, CallStatus};
///
/// /// Whether a call failed because a disk was full.
/// fn is_out_of_space(call: &Call) -> bool {
///     let CallStatus { code, message } = &call.status;
///     code == "INTERNAL" && message.contains("space")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatus {
    /// The status code by name, such as `NOT_FOUND`; `OK` for none.
    pub code: String,
    /// The status message.
    pub message: String,
}

/// A fault that hit a call.
///
/// ```
/// use fake_dfdaemon::{Call, CallFault};
///
/// /// Whether a fault broke the call off.
/// fn is_reset(call: &Call) -> bool {
///     call.fault.as_ref().map(CallFault::action) == Some("reset")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFault {
    /// The fault's id.
    pub id: u64,
    /// What it did.
    #[serde(rename = "do")]
    pub(crate) action: Value,
}
