//! Peers of a task that the scheduler counts although their hosts have no replica, with the quirks for
//! that.

use crate::dfdaemon::HostNumber;

/// Exports that run or have failed, an import that broke, replicas that were lost on hosts that have
/// fetched the task again since. They count until the task is gone or their host leaves.
#[derive(Debug, Default)]
pub(crate) struct CountedPeers(Box<[CountedPeer]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CountedPeer {
    host: HostNumber,
    persistent: bool,
    state: PeerState,
}

/// What the scheduler takes a peer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerState {
    /// An export that has parents and has not ended: it is a parent for others.
    Running,
    /// An export or an import that failed.
    Failed,
    /// A replica that was lost: it is a parent for others, as far as the scheduler knows.
    Lost,
}

impl CountedPeer {
    fn lost(host: HostNumber, persistent: bool) -> Self {
        Self {
            host,
            persistent,
            state: PeerState::Lost,
        }
    }
}

impl CountedPeers {
    /// Adds an export that runs.
    pub(crate) fn add_running(&mut self, host: HostNumber, persistent: bool) {
        self.push(host, persistent, PeerState::Running);
    }

    /// Adds an import that broke.
    pub(crate) fn add_failed(&mut self, host: HostNumber, persistent: bool) {
        self.push(host, persistent, PeerState::Failed);
    }

    /// Adds a replica that was lost.
    pub(crate) fn add_lost(&mut self, host: HostNumber, persistent: bool) {
        self.push(host, persistent, PeerState::Lost);
    }

    fn push(&mut self, host: HostNumber, persistent: bool, state: PeerState) {
        let peer = CountedPeer {
            host,
            persistent,
            state,
        };
        self.0 = self.0.iter().copied().chain([peer]).collect();
    }

    /// Notes that an export has failed that was added like this.
    pub(crate) fn fail(&mut self, host: HostNumber, persistent: bool) {
        if let Some(place) = self.running(host, persistent)
            && let Some(peer) = self.0.get_mut(place)
        {
            peer.state = PeerState::Failed;
        }
    }

    /// Takes an export out that was added like this.
    pub(crate) fn remove(&mut self, host: HostNumber, persistent: bool) {
        if let Some(place) = self.running(host, persistent) {
            let mut left = std::mem::take(&mut self.0).into_vec();
            left.remove(place);
            self.0 = left.into();
        }
    }

    /// Where an export is that was added like this.
    fn running(&self, host: HostNumber, persistent: bool) -> Option<usize> {
        let state = PeerState::Running;
        let peer = CountedPeer {
            host,
            persistent,
            state,
        };
        self.0.iter().position(|there| *there == peer)
    }

    /// Takes those of a host out.
    pub(crate) fn remove_host(&mut self, host: HostNumber) {
        if self.0.iter().all(|peer| peer.host != host) {
            return;
        }
        let left = self.0.iter().copied();
        self.0 = left.filter(|peer| peer.host != host).collect();
    }

    /// Whether one of a host is persistent, whatever became of it.
    pub(crate) fn has_persistent(&self, host: HostNumber) -> bool {
        (self.0.iter()).any(|peer| peer.host == host && peer.persistent)
    }

    /// Whether a host has lost a persistent replica.
    pub(crate) fn has_lost_persistent(&self, host: HostNumber) -> bool {
        let is_it = |peer: &CountedPeer| peer.host == host && peer.state == PeerState::Lost;
        self.0.iter().any(|peer| is_it(peer) && peer.persistent)
    }

    /// How many evictable replicas a host has lost.
    pub(crate) fn lost_evictable(&self, host: HostNumber) -> usize {
        let lost = CountedPeer::lost(host, false);
        self.0.iter().filter(|peer| **peer == lost).count()
    }

    /// Takes an evictable replica that a host has lost for a persistent one.
    pub(crate) fn promote_lost(&mut self, host: HostNumber) {
        let lost = CountedPeer::lost(host, false);
        if let Some(peer) = self.0.iter_mut().find(|peer| **peer == lost) {
            peer.persistent = true;
        }
    }

    /// The hosts that are offered to this one for what they have lost, or for exports that run.
    pub(crate) fn offered_to(&self, host: HostNumber) -> impl Iterator<Item = HostNumber> {
        let offered = self.0.iter();
        let offered = offered.filter(|peer| peer.state != PeerState::Failed);
        offered
            .map(|peer| peer.host)
            .filter(move |peer| *peer != host)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn count_persistent(&self) -> u64 {
        let persistent = self.0.iter().filter(|peer| peer.persistent);
        persistent.count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_count_until_they_or_their_hosts_go() {
        let [first, second] = [0, 1].map(HostNumber::of);
        let mut peers = CountedPeers::default();
        for (host, persistent) in [(first, true), (first, true), (second, false)] {
            peers.add_running(host, persistent);
        }
        assert_eq!((peers.count(), peers.count_persistent()), (3, 2));
        peers.remove(first, false);
        peers.remove(first, true);
        assert_eq!((peers.count(), peers.count_persistent()), (2, 1));
        peers.add_lost(first, false);
        peers.remove(first, false);
        assert_eq!((peers.count(), peers.count_persistent()), (3, 1));
        peers.remove_host(first);
        assert_eq!((peers.count(), peers.count_persistent()), (1, 0));
    }

    #[test]
    fn one_after_another_of_the_evictable_replicas_that_a_host_lost_becomes_persistent() {
        let [first, second] = [0, 1].map(HostNumber::of);
        let mut peers = CountedPeers::default();
        peers.add_failed(first, false);
        for (host, persistent) in [
            (first, false),
            (first, true),
            (first, false),
            (second, false),
        ] {
            peers.add_lost(host, persistent);
        }
        for left in [1, 0, 0] {
            peers.promote_lost(first);
            assert_eq!(peers.lost_evictable(first), left);
        }
        assert_eq!((peers.count(), peers.count_persistent()), (5, 3));
        assert_eq!(peers.lost_evictable(second), 1);
    }

    #[test]
    fn what_runs_and_what_was_lost_is_offered_to_other_hosts_and_what_failed_is_not() {
        let [first, second] = [0, 1].map(HostNumber::of);
        let mut peers = CountedPeers::default();
        let offered = |peers: &CountedPeers, host| peers.offered_to(host).collect::<Vec<_>>();
        peers.add_failed(first, true);
        assert_eq!(offered(&peers, second), []);
        peers.add_running(first, true);
        assert_eq!(offered(&peers, second), [first]);
        assert_eq!(offered(&peers, first), []);
        peers.fail(first, true);
        assert_eq!(offered(&peers, second), []);
        peers.add_lost(first, false);
        peers.fail(first, false);
        assert_eq!(offered(&peers, second), [first]);
        peers.remove_host(first);
        assert_eq!(offered(&peers, second), []);
    }
}
