//! Counters of calls since the start, for metrics.

use std::collections::BTreeMap;

use super::record::Call;
use super::rpc::Rpc;
use crate::dfdaemon::mutex::Mutex;

/// The upper bounds of the buckets that calls are sorted into by how long they took, in milliseconds.
pub(crate) const BOUNDS: [u64; 9] = [1, 5, 25, 100, 500, 2_500, 10_000, 60_000, 600_000];

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counts>);

/// The counts at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Calls that ended, by kind and status code.
    pub(crate) calls: BTreeMap<(&'static str, String), u64>,
    pub(crate) by_rpc: BTreeMap<&'static str, OfRpc>,
    /// Firings of faults, by kind of the call and by what the fault does.
    pub(crate) fired: BTreeMap<(&'static str, String), u64>,
}

/// What is counted of all calls of a kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfRpc {
    pub(crate) bytes: u64,
    pub(crate) pieces: u64,
    /// Calls whose client went away.
    pub(crate) gone: u64,
    pub(crate) milliseconds: u64,
    /// Calls that took no longer than each of [`BOUNDS`].
    pub(crate) within: [u64; BOUNDS.len()],
    pub(crate) count: u64,
}

impl Counters {
    /// A call has ended.
    pub(crate) fn count(&self, call: &Call) {
        let mut counts = self.0.lock();
        let status = call.status.code.clone();
        *counts.calls.entry((call.rpc.as_str(), status)).or_default() += 1;
        let of_rpc = counts.by_rpc.entry(call.rpc.as_str()).or_default();
        of_rpc.count += 1;
        of_rpc.bytes += call.bytes;
        of_rpc.pieces += call.pieces;
        of_rpc.gone += u64::from(call.client_gone);
        of_rpc.milliseconds += call.duration_ms;
        for (within, bound) in of_rpc.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(call.duration_ms <= bound);
        }
    }

    /// A fault has fired.
    pub(crate) fn count_firing(&self, rpc: Rpc, action: &str) {
        let key = (rpc.as_str(), action.to_owned());
        *self.0.lock().fired.entry(key).or_default() += 1;
    }

    /// All of them.
    pub(crate) fn now(&self) -> Counts {
        self.0.lock().clone()
    }
}
