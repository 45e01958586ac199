//! How many connections there is room for: each takes a file descriptor, and calls take more.
//!
//! A process that has none left cannot accept, so whoever comes then would wait. Some are kept back
//! to tell them that they are one too many.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};

/// Of the descriptors that a process may have: those for connections, the rest is for files.
const SERVED_OF: usize = 2;

/// Of the same: those for connections that are told that they are one too many.
const REFUSED_OF: usize = 16;

/// The room of a fake, for the connections of all its hosts.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    taken: Arc<AtomicUsize>,
    served: usize,
    refused: usize,
    /// A descriptor to give up when there is no other.
    spare: Arc<Mutex<Option<File>>>,
}

/// What a connection that has come is to get.
#[derive(Debug)]
pub(crate) enum Place {
    /// What it asks for.
    Served(Taken),
    /// The answer that there is no place for it.
    Refused(Taken),
    /// Not even that.
    None,
}

/// A connection that counts; dropped, it does not.
#[derive(Debug)]
pub(crate) struct Taken(Arc<AtomicUsize>);

impl Room {
    /// As the process is limited now.
    pub(crate) fn of_process() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(usize::try_from(descriptors).unwrap_or(usize::MAX))
    }

    fn of(descriptors: usize) -> Self {
        let served = (descriptors / SERVED_OF).max(1);
        Self {
            taken: Arc::default(),
            served,
            refused: served.saturating_add((descriptors / REFUSED_OF).max(1)),
            spare: Arc::new(Mutex::new(spare())),
        }
    }

    pub(crate) fn take(&self) -> Place {
        let taken = Taken(Arc::clone(&self.taken));
        match self.taken.fetch_add(1, Ordering::Relaxed) {
            before if before < self.served => Place::Served(taken),
            before if before < self.refused => Place::Refused(taken),
            _ => Place::None,
        }
    }

    /// Gives the spare descriptor up while one who waits is turned away with it.
    pub(crate) async fn with_spare<T>(&self, turn_away: impl Future<Output = T>) -> T {
        drop(self.spare().take());
        let turned_away = turn_away.await;
        *self.spare() = spare();
        turned_away
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_served_some_refused_and_the_rest_left_to_files() {
        let room = Room::of(32);
        let served: Vec<_> = (0..16).map(|_| room.take()).collect();
        assert!(served.iter().all(|place| matches!(place, Place::Served(_))));
        let refused = [room.take(), room.take()];
        let told = |place: &Place| matches!(place, Place::Refused(_));
        assert!(refused.iter().all(told));
        assert!(matches!(room.take(), Place::None));
        drop(served);
        assert!(matches!(room.take(), Place::Served(_)));
    }

    #[test]
    fn there_is_a_place_under_any_limit() {
        for descriptors in [0, 1, 64, usize::MAX] {
            assert!(matches!(Room::of(descriptors).take(), Place::Served(_)));
        }
    }
}
