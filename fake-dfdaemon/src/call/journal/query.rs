//! A query of the journal: which calls it selects. How they are found is in `index` and `reading`.

use serde::{Deserialize, Serialize};
use tonic::Code;

use crate::call::faults::code_name;
use crate::call::record::Call;
use crate::call::rpc::Rpc;

/// Selects calls of the journal. An [`Rpc`] converts into a query for all calls of its kind.
///
/// ```
/// use fake_dfdaemon::{Code, FakeDfdaemon, Query, Rpc};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let query = Query::of(Rpc::Stat).status(Code::NotFound).host("host-1");
/// assert_eq!(daemon.journal().query(&query)?, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Only calls of this kind.
    pub rpc: Option<Rpc>,
    /// Only calls that ended with this status code, such as `NOT_FOUND`.
    pub status: Option<String>,
    /// Only calls for this task.
    pub task: Option<String>,
    /// Only calls to this host.
    pub host: Option<String>,
}

impl From<Rpc> for Query {
    fn from(rpc: Rpc) -> Self {
        Self::of(rpc)
    }
}

impl Query {
    /// Selects all calls of a kind.
    #[must_use]
    pub fn of(rpc: Rpc) -> Self {
        Self {
            rpc: Some(rpc),
            ..Self::default()
        }
    }

    /// Only calls that ended with this status.
    #[must_use]
    pub fn status(mut self, code: Code) -> Self {
        self.status = Some(code_name(code).to_owned());
        self
    }

    /// Only calls for this task.
    #[must_use]
    pub fn task(mut self, id: impl Into<String>) -> Self {
        self.task = Some(id.into());
        self
    }

    /// Only calls to this host, such as `host-1`.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    pub(super) fn matches(&self, call: &Call) -> bool {
        self.rpc.is_none_or(|rpc| rpc == call.rpc)
            && self
                .status
                .as_ref()
                .is_none_or(|status| *status == call.status.code)
            && self
                .task
                .as_deref()
                .is_none_or(|wanted| call.task_id() == Some(wanted))
            && self.host.as_ref().is_none_or(|host| *host == call.host)
    }
}
