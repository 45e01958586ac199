//! Which faults can act where calls pass.

use super::table::Scope;
use super::{Fault, FaultError};
use crate::call::rpc::Rpc;
use crate::dfdaemon::HostNumber;

/// Where calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A fake of this many hosts.
    Hosts(usize),
    /// Between clients and another daemon, which may be a cassette.
    Proxy,
}

impl From<usize> for Reach {
    fn from(hosts: usize) -> Self {
        Self::Hosts(hosts)
    }
}

impl Reach {
    /// Refuses what can never happen there.
    pub(super) fn check(self, fault: &Fault) -> Result<(), FaultError> {
        fault.check()?;
        match self {
            Self::Hosts(hosts) => check_host(fault, hosts),
            Self::Proxy => check_proxied(fault),
        }
    }
}

fn check_host(fault: &Fault, hosts: usize) -> Result<(), FaultError> {
    if let Some(host) = &fault.host
        && !HostNumber::all(hosts).any(|number| number.name() == *host)
    {
        let last = HostNumber::all(hosts).last().map(HostNumber::name);
        let last = last.unwrap_or_default();
        return Err(FaultError::new(format!(
            "host: no such host: {host}; the last is {last}"
        )));
    }
    Ok(())
}

fn check_proxied(fault: &Fault) -> Result<(), FaultError> {
    let refuse = |text: String| Err(FaultError::new(text));
    let name = fault.action.name();
    if fault.action.scope() == Scope::Store {
        return refuse(format!(
            "{name}: a proxy has no store; faults of a store are for serve and run"
        ));
    }
    if let Some(on @ (Rpc::Replicate | Rpc::Transfer | Rpc::Connect)) = fault.on {
        return refuse(format!(
            "on: a proxy sees no {on}; there are the calls of clients"
        ));
    }
    if fault.host.is_some() {
        return refuse("host: a proxy has one daemon behind it; leave host out".to_owned());
    }
    Ok(())
}
