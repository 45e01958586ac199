//! What the handlers of the control API act on: a fake, or the calls that pass a proxy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use tokio_util::sync::CancellationToken;

use super::answer::ApiError;
use crate::call::CallContext;
use crate::call::faults::reach::Reach;
use crate::dfdaemon::HostNumber;
use crate::instance::Instance;

/// What the handlers act on. The API alone does not keep a fake alive.
#[derive(Clone, Debug)]
pub(super) struct Api(pub(super) Subject);

#[derive(Clone, Debug)]
pub(super) enum Subject {
    Fake(Weak<Instance>),
    Proxy(Arc<Proxied>),
}

/// A proxy, as far as the API is concerned.
#[derive(Debug)]
pub(crate) struct Proxied {
    pub(crate) calls: Arc<CallContext>,
    /// What stands for the host in the journal.
    pub(crate) host: &'static str,
    /// `proxy`, `record` or `replay`.
    pub(crate) role: &'static str,
    /// What answers: the daemon's socket, or the cassette.
    pub(crate) answers: PathBuf,
    pub(crate) stopping: CancellationToken,
    /// The address of this API, if it has one.
    pub(crate) control_tcp: OnceLock<SocketAddr>,
}

impl Api {
    /// The fake. No path of a proxy asks for one.
    pub(super) fn instance(&self) -> Result<Arc<Instance>, ApiError> {
        match &self.0 {
            Subject::Fake(instance) => instance
                .upgrade()
                .ok_or_else(|| ApiError::conflict("the daemon is stopping")),
            Subject::Proxy(_) => Err(ApiError::not_found(
                "a proxy does not know what the daemon behind it holds",
            )),
        }
    }

    pub(super) fn is_proxy(&self) -> bool {
        matches!(self.0, Subject::Proxy(_))
    }

    pub(super) fn calls(&self) -> Result<Arc<CallContext>, ApiError> {
        match &self.0 {
            Subject::Fake(_) => Ok(Arc::clone(&self.instance()?.calls)),
            Subject::Proxy(proxy) => Ok(Arc::clone(&proxy.calls)),
        }
    }

    /// Forgets the calls in the journal.
    pub(super) async fn clear_journal(&self) -> Result<(), ApiError> {
        let calls = self.calls()?;
        let journal = Arc::clone(&calls.journal);
        let readers = journal.readers().clone();
        let cleared = readers.run(move || journal.clear()).await;
        cleared
            .flatten()
            .map_err(|error| ApiError::internal(&error))?;
        calls.note_cleared_journal();
        Ok(())
    }

    /// Where faults act.
    pub(super) fn reach(&self) -> Result<Reach, ApiError> {
        match &self.0 {
            Subject::Fake(_) => Ok(self.instance()?.hosts.len().into()),
            Subject::Proxy(_) => Ok(Reach::Proxy),
        }
    }

    pub(super) fn stopping(&self) -> Result<CancellationToken, ApiError> {
        match &self.0 {
            Subject::Fake(_) => Ok(self.instance()?.cluster.stopping().clone()),
            Subject::Proxy(proxy) => Ok(proxy.stopping.clone()),
        }
    }

    /// The names of the hosts that the journal may tell of.
    pub(super) fn hosts(&self) -> Result<Vec<String>, ApiError> {
        match &self.0 {
            Subject::Fake(_) => {
                let hosts = HostNumber::all(self.instance()?.hosts.len());
                Ok(hosts.map(HostNumber::name).collect())
            }
            Subject::Proxy(proxy) => Ok(vec![proxy.host.to_owned()]),
        }
    }

    /// Why a name is no host's.
    pub(super) fn no_host(&self, name: &str) -> Result<String, ApiError> {
        let there_are = match &self.hosts()?[..] {
            [first, .., last] => format!("there are {first} to {last}"),
            hosts => format!("there is {}", hosts.concat()),
        };
        Ok(format!("there is no host {name}; {there_are}"))
    }

    /// Whether the journal may tell of a host with this name.
    pub(super) fn has_host(&self, name: &str) -> Result<bool, ApiError> {
        match &self.0 {
            Subject::Fake(_) => Ok(self.instance()?.host(name).is_some()),
            Subject::Proxy(proxy) => Ok(proxy.host == name),
        }
    }
}
