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
    /// Whether it is a parent for others, as far as the scheduler knows: a replica that was lost.
    is_offered: bool,
}

impl CountedPeers {
    /// Adds an export or an import.
    pub(crate) fn add(&mut self, host: HostNumber, persistent: bool) {
        self.push(CountedPeer {
            host,
            persistent,
            is_offered: false,
        });
    }

    /// Adds a replica that was lost.
    pub(crate) fn add_lost(&mut self, host: HostNumber, persistent: bool) {
        self.push(CountedPeer {
            host,
            persistent,
            is_offered: true,
        });
    }

    fn push(&mut self, peer: CountedPeer) {
        self.0 = self.0.iter().copied().chain([peer]).collect();
    }

    /// Takes an export out that was added like this.
    pub(crate) fn remove(&mut self, host: HostNumber, persistent: bool) {
        let peer = CountedPeer {
            host,
            persistent,
            is_offered: false,
        };
        let place = self.0.iter().position(|there| *there == peer);
        let mut left = std::mem::take(&mut self.0).into_vec();
        if let Some(place) = place {
            left.remove(place);
        }
        self.0 = left.into();
    }

    /// Takes those of a host out.
    pub(crate) fn remove_host(&mut self, host: HostNumber) {
        if self.0.iter().all(|peer| peer.host != host) {
            return;
        }
        let left = self.0.iter().copied();
        self.0 = left.filter(|peer| peer.host != host).collect();
    }

    /// Whether a host has lost a persistent replica.
    pub(crate) fn has_lost_persistent(&self, host: HostNumber) -> bool {
        let mut peers = self.0.iter();
        peers.any(|peer| peer.host == host && peer.is_offered && peer.persistent)
    }

    /// The hosts whose replicas were lost and are offered to this one.
    pub(crate) fn offered_to(&self, host: HostNumber) -> impl Iterator<Item = HostNumber> {
        let peers = self.0.iter();
        let offered = peers.filter(move |peer| peer.is_offered && peer.host != host);
        offered.map(|peer| peer.host)
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
            peers.add(host, persistent);
        }
        assert_eq!((peers.count(), peers.count_persistent()), (3, 2));
        peers.remove(first, false);
        peers.remove(first, true);
        assert_eq!((peers.count(), peers.count_persistent()), (2, 1));
        assert_eq!(peers.offered_to(second).next(), None);
        peers.add_lost(first, false);
        peers.remove(first, false);
        assert_eq!(peers.offered_to(second).next(), Some(first));
        assert_eq!(peers.offered_to(first).next(), None);
        peers.remove_host(first);
        assert_eq!((peers.count(), peers.count_persistent()), (1, 0));
        assert_eq!(peers.offered_to(second).next(), None);
    }
}
