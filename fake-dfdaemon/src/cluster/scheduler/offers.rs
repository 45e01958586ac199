//! What an export on a host is offered: the other hosts that the scheduler takes for parents, and what
//! each of them has by now.

use jiff::Timestamp;

use super::Scheduler;
use super::replicas::ReplicaState;
use super::state::{Generation, HostStatus, State, TaskEntry};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;

/// What an export is offered.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Offers {
    /// Whether there is any parent, whatever it has.
    pub(in crate::cluster) any: bool,
    /// Those whose replica has failed: they refuse.
    pub(in crate::cluster) refusing: Vec<HostNumber>,
    /// Those whose replica is neither finished nor failed: an export that asks them for pieces waits.
    pub(in crate::cluster) stalled: Vec<HostNumber>,
}

impl Scheduler {
    /// What an export of this very task on a host is offered.
    pub(in crate::cluster) fn offers(
        &self,
        to: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Offers {
        let state = self.state();
        let entry = state.tasks.get(id);
        let entry = entry.filter(|entry| entry.generation == generation);
        let Some(entry) = entry else {
            return Offers::default();
        };
        let parents = state.parents(entry, to, self.forgotten_before());
        let has_failed = |host: &HostNumber| {
            let replica = entry.replicas.get(*host);
            replica.is_some_and(ReplicaState::is_poisoned)
        };
        Offers {
            any: !parents.is_empty() || self.offers_what_is_gone(&state, entry, to),
            refusing: parents.into_iter().filter(has_failed).collect(),
            stalled: state.stalled_parents(entry, to),
        }
    }

    /// Whether an export on a host is offered any parent.
    pub(super) fn offers_any(&self, state: &State, entry: &TaskEntry, to: HostNumber) -> bool {
        let parents = state.parents(entry, to, self.forgotten_before());
        !parents.is_empty() || self.offers_what_is_gone(state, entry, to)
    }

    /// Whether the scheduler takes another host for a parent that does not have the whole, with the quirks for it.
    fn offers_what_is_gone(&self, state: &State, entry: &TaskEntry, to: HostNumber) -> bool {
        let mut counted = entry.counted_peers.offered_to(to);
        let is_untold = self.has_quirk(Quirk::UntoldChanges) && state.has_lost_parent(entry, to);
        counted.next().is_some() || is_untold
    }
}

impl State {
    /// Whole replicas of a task that running hosts can serve, except `to`'s own.
    pub(crate) fn parents(
        &self,
        entry: &TaskEntry,
        to: HostNumber,
        forgotten_before: Option<Timestamp>,
    ) -> Vec<HostNumber> {
        let serves = |host: &HostNumber| *host != to && self.status(*host) == HostStatus::Running;
        let whole = entry
            .replicas
            .iter()
            .filter(|(_, replica)| replica.is_whole() && replica.is_known(forgotten_before));
        whole.map(|(host, _)| host).filter(serves).collect()
    }

    /// Whether another host than `to` counts that has lost its replica or does not run: the scheduler
    /// has not heard of that.
    fn has_lost_parent(&self, entry: &TaskEntry, to: HostNumber) -> bool {
        let is_gone = |(host, replica): (HostNumber, &ReplicaState)| {
            let runs = self.status(host) == HostStatus::Running;
            host != to
                && self.status(host) != HostStatus::Left
                && replica.counts()
                && !(runs && replica.is_whole())
        };
        entry.replicas.iter().any(is_gone)
    }

    /// The running hosts that are offered to `to` and whose replica is neither finished nor failed.
    fn stalled_parents(&self, entry: &TaskEntry, to: HostNumber) -> Vec<HostNumber> {
        let stalls = |host: &HostNumber| {
            let replica = entry.replicas.get(*host);
            self.status(*host) == HostStatus::Running && replica.is_some_and(ReplicaState::stalls)
        };
        let mut stalled: Vec<_> = entry.counted_peers.offered_to(to).filter(stalls).collect();
        stalled.sort_unstable();
        stalled.dedup();
        stalled
    }
}
