//! A subscription of a transfer: its progress, and its end with the last subscription.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Arrival, Fetch, Progress};
use crate::cluster::Error;

/// A subscription of a transfer. The transfer ends with the last one.
#[derive(Debug)]
pub(in crate::cluster) struct Subscription {
    fetch: Arc<Fetch>,
    progress: watch::Receiver<Progress>,
    seen: usize,
    /// The piece that was on its way when an export joined the transfer: a dfdaemon has written no
    /// digest and no cost of it yet when it looks the pieces up.
    joined_at: Option<u32>,
    /// Holds the transfer back until it is used.
    begin: Option<Begin>,
}

/// Lets a transfer begin that is held back.
#[derive(Debug)]
struct Begin {
    /// Dropped, it lets the transfer look whether anybody still wants it.
    begins: Sender<()>,
    /// Ends with the transfer.
    runs: oneshot::Receiver<()>,
}

/// A transfer's side of [`Begin`].
#[derive(Debug)]
pub(super) struct HeldBack {
    pub(super) begins: Receiver<()>,
    /// Dropped at the end of the transfer.
    _runs: oneshot::Sender<()>,
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
            begin: None,
        }
    }

    /// The same for a transfer that waits for [`Self::begin`], if it is to be held back.
    pub(super) fn holding_back(mut self, held_back: bool) -> (Self, Option<HeldBack>) {
        if !held_back {
            return (self, None);
        }
        let (begin, begins) = mpsc::channel();
        let (ends, runs) = oneshot::channel();
        self.begin = Some(Begin {
            begins: begin,
            runs,
        });
        let held_back = HeldBack {
            begins,
            _runs: ends,
        };
        (self, Some(held_back))
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

    /// Lets the transfer begin that was held back.
    pub(in crate::cluster) fn begin(&mut self) {
        if let Some(begin) = self.begin.take() {
            // It has begun already if others want it too.
            let _ = begin.begins.send(());
        }
    }

    /// Says that the export was refused before its stream, and waits until what that leaves is in
    /// place. A transfer that others want goes on. Blocks on the disk.
    pub(in crate::cluster) fn refuse(mut self) {
        let is_alone = self.fetch.subscribers.load(Ordering::Relaxed) == 1;
        self.fetch.refused.fetch_or(is_alone, Ordering::Relaxed);
        let begin = self.begin.take();
        drop(self);
        if let Some(Begin { begins, runs }) = begin.filter(|_| is_alone) {
            drop(begins);
            // Nothing is sent: it fails when the transfer has ended.
            let _ = runs.blocking_recv();
        }
    }

    /// Waits for the end. Says at each step what holds the transfer up, for as long as that lasts.
    pub(in crate::cluster) async fn ended(
        mut self,
        holds_up: impl Fn(Option<CancellationToken>),
    ) -> Result<(), Error> {
        loop {
            let (ended, held_up) = {
                let progress = self.progress.borrow_and_update();
                (progress.ended.clone(), progress.held_up.clone())
            };
            holds_up(held_up.filter(|held_up| !held_up.is_cancelled()));
            if let Some(ended) = ended {
                return ended;
            }
            // The sender lives in `self.fetch`, so waiting cannot fail.
            let _ = self.progress.changed().await;
        }
    }

    /// The content as far as it has come.
    pub(in crate::cluster) fn file(&self) -> &File {
        &self.fetch.file
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.fetch.transfers.leave(&self.fetch);
    }
}
