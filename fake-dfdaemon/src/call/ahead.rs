//! How much content is in memory for clients that have not taken it yet. It stays bounded for any number
//! of clients: the more there is, the less is read at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// How much content is read at once, in bytes, and how little if there is no room.
const MOST: u64 = 256 << 10;
const LEAST: u64 = 16 << 10;

/// How much there may be of it before nobody gets more than the least, in bytes.
const ENOUGH: u64 = 64 << 20;

/// The part of what is left that one export may have.
const SHARE: u64 = 64;

/// The content that is on its way from one daemon, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead(Arc<AtomicU64>);

impl Ahead {
    /// How much to read next.
    pub(crate) fn chunk(&self) -> u64 {
        let left = ENOUGH.saturating_sub(self.0.load(Ordering::Relaxed));
        (left / SHARE).clamp(LEAST, MOST)
    }

    /// Counts content until it has been sent.
    pub(crate) fn count(&self, content: Bytes) -> Bytes {
        self.0.fetch_add(content.len() as u64, Ordering::Relaxed);
        Bytes::from_owner(Counted {
            content,
            ahead: self.clone(),
        })
    }
}

struct Counted {
    content: Bytes,
    ahead: Ahead,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let length = self.content.len() as u64;
        self.ahead.0.fetch_sub(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_ahead_the_less_is_read() {
        let ahead = Ahead::default();
        assert_eq!(ahead.chunk(), MOST);
        let mut held = Vec::new();
        let mut chunks = Vec::new();
        for _ in 0..10_000 {
            let chunk = ahead.chunk();
            chunks.push(chunk);
            held.push(ahead.count(vec![0; usize::try_from(chunk).unwrap()].into()));
        }
        assert!(chunks.is_sorted_by(|a, b| a >= b));
        let held_in_all: u64 = chunks.iter().sum();
        assert!(held_in_all < ENOUGH + 10_000 * LEAST);
        assert_eq!(ahead.chunk(), LEAST);
        held.clear();
        assert_eq!(ahead.chunk(), MOST);
    }
}
