//! A task as the scheduler of the model counts it, and what each host has of it.

use std::collections::BTreeMap;

use super::counted::Counted;
use super::files::Node;
use super::ops::HOSTS;

/// A task as the scheduler knows it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Whether its import found no room: it stays Uploading, and nobody has it.
    pub(crate) uploading: bool,
    pub(crate) wanted: u64,
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) length: u64,
    pub(crate) piece_length: u64,
    pub(crate) ttl: (i64, i32),
    pub(crate) created: i64,
    /// What is counted beside the replicas.
    pub(crate) counted: [Counted; HOSTS],
    pub(crate) replicas: BTreeMap<usize, Replica>,
}

/// What a host has of a task.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) content: Option<Node>,
    /// The file that was read through an absolute link and stays open.
    pub(crate) read: Option<usize>,
    /// The file of full length that lies there instead of content.
    pub(crate) preallocated: Option<Node>,
    /// CRC-32 of each piece when it came; `None` for a link to the source.
    pub(crate) crc32: Option<Vec<u32>>,
    pub(crate) persistent: bool,
    /// Whether the scheduler takes it for a persistent one, if it does not know of a change.
    pub(crate) known_persistent: Option<bool>,
    /// Whether the scheduler does not know of it: it is empty.
    pub(crate) unknown: bool,
    pub(crate) finished: bool,
    pub(crate) failed: bool,
    /// Whether only the scheduler still knows of it.
    pub(crate) lost: bool,
    /// Whether its host has left: it does not count.
    pub(crate) left: bool,
    /// `None` if the walk cannot tell.
    pub(crate) uploaded: Option<u64>,
}

impl Replica {
    pub(crate) fn whole(content: Node, crc32: Option<Vec<u32>>, persistent: bool) -> Self {
        Self {
            content: Some(content),
            read: None,
            preallocated: None,
            crc32,
            persistent,
            known_persistent: None,
            unknown: false,
            finished: true,
            failed: false,
            lost: false,
            left: false,
            uploaded: Some(0),
        }
    }

    /// What an export leaves that did not end well: it failed, or its link was refused.
    pub(crate) fn unfinished(failed: bool, persistent: bool) -> Self {
        Self {
            content: None,
            read: None,
            preallocated: None,
            crc32: None,
            persistent,
            known_persistent: None,
            unknown: false,
            finished: false,
            failed,
            lost: false,
            left: false,
            uploaded: None,
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.finished && !self.lost
    }

    /// Whether it is whole and no other host gets a byte of it.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_whole() && self.failed
    }

    pub(super) fn counts(&self) -> bool {
        self.finished && !self.left && !self.unknown
    }

    pub(super) fn is_persistent(&self) -> bool {
        let known = self.known_persistent.filter(|_| !self.unknown);
        known.unwrap_or(self.persistent)
    }
}

impl Task {
    pub(crate) fn piece_count(&self) -> usize {
        self.length.div_ceil(self.piece_length) as usize
    }

    pub(crate) fn range(&self, piece: usize) -> std::ops::Range<usize> {
        let start = piece * self.piece_length as usize;
        start..(start + self.piece_length as usize).min(self.length as usize)
    }

    /// The CRC-32 of each piece of these bytes.
    pub(crate) fn crc32(&self, bytes: &[u8]) -> Vec<u32> {
        let pieces = (0..self.piece_count()).map(|piece| &bytes[self.range(piece)]);
        pieces.map(dfdaemon_api::digest::crc32).collect()
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.uploading {
            true => "Uploading",
            false => "Succeeded",
        }
    }

    /// The file that a failed export left on a host.
    pub(crate) fn preallocated(&self, host: usize) -> Option<Node> {
        self.replicas.get(&host)?.preallocated
    }

    pub(crate) fn whole(&self, host: usize) -> Option<&Replica> {
        self.replicas
            .get(&host)
            .filter(|replica| replica.is_whole())
    }

    /// Persistent replicas and all, as a stat counts them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        if self.uploading {
            return (1, 1);
        }
        let counts = |replica: &&Replica| replica.counts();
        let counted = || self.replicas.values().filter(counts);
        let persistent = counted().filter(|replica| replica.is_persistent()).count();
        let beside = |number: fn(&Counted) -> u64| self.counted.iter().map(number).sum::<u64>();
        (
            persistent as u64 + beside(|counted| counted.persistent),
            counted().count() as u64 + beside(|counted| counted.all),
        )
    }

    /// Makes a whole replica persistent.
    pub(crate) fn persist(&mut self, host: usize) {
        if let Some(replica) = self.replicas.get_mut(&host) {
            (replica.persistent, replica.known_persistent) = (true, None);
        }
    }

    /// Makes a whole replica persistent or evictable, of which the scheduler hears nothing.
    pub(crate) fn flag(&mut self, host: usize, persistent: bool) {
        if let Some(replica) = self.replicas.get_mut(&host) {
            replica.known_persistent = Some(replica.is_persistent());
            replica.persistent = persistent;
        }
    }

    /// Puts a replica in place of one that the scheduler may know of: then it counts both.
    pub(crate) fn put(&mut self, host: usize, replica: Replica) {
        let there = self.replicas.insert(host, replica);
        if let Some(lost) = there.filter(|there| there.lost && there.finished && !there.unknown) {
            let counted = &mut self.counted[host];
            counted.add(lost.is_persistent());
            counted.lost += 1;
            counted.lost_persistent += u64::from(lost.is_persistent());
        }
    }

    /// A host has its replica no more; the scheduler goes on counting it, if it did.
    pub(super) fn lose(&mut self, host: usize) {
        let replica = self.replicas.get_mut(&host);
        match replica {
            Some(replica) if replica.counts() => {
                (replica.lost, replica.content, replica.uploaded) = (true, None, Some(0));
                (replica.read, replica.preallocated) = (None, None);
            }
            _ => drop(self.replicas.remove(&host)),
        }
    }

    pub(crate) fn count_uploads(&mut self, host: usize, pieces: usize) {
        let replica = self.replicas.get_mut(&host);
        if let Some(uploaded) = replica.and_then(|replica| replica.uploaded.as_mut()) {
            *uploaded += pieces as u64;
        }
    }
}
