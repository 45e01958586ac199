//! Somebody's interest in a transfer: what has come of it, and its end with the last interest.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::{Arrival, Fetch, Progress};
use crate::cluster::Error;

/// Somebody's interest in a transfer. With the last one the transfer ends.
#[derive(Debug)]
pub(in crate::cluster) struct Subscription {
    fetch: Arc<Fetch>,
    progress: watch::Receiver<Progress>,
    seen: usize,
    /// The piece that was on its way when an export joined the transfer: a dfdaemon has written no
    /// digest and no cost of it yet when it looks the pieces up.
    joined_at: Option<u32>,
}

impl Subscription {
    /// Callers hold the registry's lock, so that no transfer is joined while its last
    /// subscriber leaves.
    pub(super) fn new(fetch: Arc<Fetch>) -> Self {
        fetch.subscribers.fetch_add(1, Ordering::Relaxed);
        let progress = fetch.progress.subscribe();
        Self {
            fetch,
            progress,
            seen: 0,
            joined_at: None,
        }
    }

    /// The same for a transfer that runs already.
    pub(super) fn joining(fetch: Arc<Fetch>) -> Self {
        let joined_at = fetch.progress.borrow().in_flight;
        let mut joined = Self::new(fetch);
        joined.joined_at = joined_at;
        joined
    }

    /// The next piece that has come, in whatever order; `None` when all have, and the replica is
    /// in place.
    pub(in crate::cluster) async fn next(&mut self) -> Result<Option<Arc<Arrival>>, Error> {
        loop {
            let (arrival, ended) = {
                let progress = self.progress.borrow_and_update();
                (
                    progress.arrived.get(self.seen).cloned(),
                    progress.ended.clone(),
                )
            };
            match (arrival, ended) {
                (Some(arrival), _) => {
                    self.seen += 1;
                    if self.joined_at == Some(arrival.number) && self.joined_at.take().is_some() {
                        return Ok(Some(Arc::new(Arrival {
                            crc32: None,
                            cost: None,
                            ..(*arrival).clone()
                        })));
                    }
                    return Ok(Some(arrival));
                }
                (None, Some(ended)) => return ended.map(|()| None),
                // The sender lives in `self.fetch`, so waiting cannot fail.
                (None, None) => _ = self.progress.changed().await,
            }
        }
    }

    /// Says that the export was refused before its stream.
    pub(in crate::cluster) fn refuse(&self) {
        self.fetch.refused.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub(in crate::cluster) async fn ended(mut self) -> Result<(), Error> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// The content as far as it has come.
    pub(in crate::cluster) fn file(&self) -> &File {
        &self.fetch.file
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let cluster = Arc::clone(&self.fetch.cluster);
        let mut fetches = cluster.fetches();
        if self.fetch.subscribers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.fetch.cancel.cancel();
            self.fetch.unregister(&mut fetches);
        }
    }
}
