//! The limit of connections: each takes a file descriptor, and calls take more. The control API has a limit
//! of its own, so that many clients do not keep it out.
//!
//! A process without descriptors cannot accept, so new clients would wait. Some descriptors are kept back
//! to refuse new clients with RESOURCE_EXHAUSTED.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::dfdaemon::mutex::Mutex;

/// Of the descriptors that a process may have: those for connections, the rest is for files.
const SERVED_OF: usize = 2;

/// Of the same: those for connections over the limit, which are answered so.
const REFUSED_OF: usize = 16;

/// Of the same: those for connections to the control API, and the most there are.
const CONTROL_OF: usize = 8;
const MOST_CONTROL: usize = 1024;

/// The limit of connections of one kind: those to all hosts of a fake, or those to its control API.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimit {
    taken: Arc<AtomicUsize>,
    served: usize,
    refused: usize,
    /// A descriptor to give up when there is no other.
    spare: Arc<Mutex<Option<File>>>,
}

/// What a connection that has come is to get.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// What it asks for.
    Served(Slot),
    /// The answer that there is no place for it.
    Refused(Slot),
    /// Not even that.
    None,
}

/// A connection that counts towards the limit, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl ConnectionLimit {
    /// As the process is limited now.
    pub(crate) fn of_process() -> Self {
        Self::of(descriptors())
    }

    /// For the control API of a process that may have this many descriptors.
    pub(crate) fn of_control(descriptors: usize) -> Self {
        Self::with(
            (descriptors / CONTROL_OF).min(MOST_CONTROL),
            (descriptors / REFUSED_OF).min(MOST_CONTROL),
        )
    }

    fn of(descriptors: usize) -> Self {
        Self::with(descriptors / SERVED_OF, descriptors / REFUSED_OF)
    }

    fn with(served: usize, refused: usize) -> Self {
        let served = served.max(1);
        Self {
            taken: Arc::default(),
            served,
            refused: served.saturating_add(refused.max(1)),
            spare: Arc::new(Mutex::new(spare())),
        }
    }

    pub(crate) fn take(&self) -> Admitted {
        let taken = Slot(Arc::clone(&self.taken));
        match self.taken.fetch_add(1, Ordering::Relaxed) {
            before if before < self.served => Admitted::Served(taken),
            before if before < self.refused => Admitted::Refused(taken),
            _ => Admitted::None,
        }
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Gives the spare descriptor up to refuse a waiting client.
    pub(crate) async fn with_spare<T>(&self, turn_away: impl Future<Output = T>) -> T {
        drop(self.spare.lock().take());
        let turned_away = turn_away.await;
        *self.spare.lock() = spare();
        turned_away
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors).unwrap_or(usize::MAX)
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_served_some_refused_and_the_rest_left_to_files() {
        let limit = ConnectionLimit::of(32);
        let served: Vec<_> = (0..16).map(|_| limit.take()).collect();
        assert!(
            served
                .iter()
                .all(|place| matches!(place, Admitted::Served(_)))
        );
        let refused = [limit.take(), limit.take()];
        let is_refused = |place: &Admitted| matches!(place, Admitted::Refused(_));
        assert!(refused.iter().all(is_refused));
        assert!(matches!(limit.take(), Admitted::None));
        drop(served);
        assert!(matches!(limit.take(), Admitted::Served(_)));
    }

    #[test]
    fn there_is_a_place_under_any_limit() {
        for descriptors in [0, 1, 64, usize::MAX] {
            assert!(matches!(
                ConnectionLimit::of(descriptors).take(),
                Admitted::Served(_)
            ));
        }
    }
}
