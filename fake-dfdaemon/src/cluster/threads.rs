//! Work on threads that may wait for a disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cluster, Error};

/// How many threads work on files that clients named: half of those that tokio has for blocking
/// work.
const CLIENT_FILE_THREADS: usize = 256;

/// How long a call waits for one of them while none becomes free.
const FREE_THREAD_WITHIN: Duration = Duration::from_secs(3);

/// The threads that may work on files that clients named. Such a file may lie in a file system that
/// hangs, and its thread with it.
#[derive(Debug)]
pub(super) struct ClientFileThreads {
    free: Arc<Semaphore>,
    /// How many calls have given theirs back.
    given_back: Arc<AtomicUsize>,
}

/// A thread for one call; dropped, it is given back.
struct ClientFileThread {
    given_back: Arc<AtomicUsize>,
    _taken: OwnedSemaphorePermit,
}

impl ClientFileThreads {
    pub(super) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(CLIENT_FILE_THREADS)),
            given_back: Arc::default(),
        }
    }

    /// Waits for a free thread as long as others become free.
    async fn take(&self) -> Result<ClientFileThread, Error> {
        let taken = Arc::clone(&self.free).acquire_owned();
        tokio::pin!(taken);
        let mut before = self.given_back.load(Ordering::Relaxed);
        loop {
            match tokio::time::timeout(FREE_THREAD_WITHIN, &mut taken).await {
                Ok(taken) => {
                    return Ok(ClientFileThread {
                        given_back: Arc::clone(&self.given_back),
                        // The semaphore is never closed.
                        _taken: taken.map_err(|_| Error::Stopping)?,
                    });
                }
                Err(_) => {
                    let now = self.given_back.load(Ordering::Relaxed);
                    if now == before {
                        return Err(Error::ClientFilesBusy);
                    }
                    before = now;
                }
            }
        }
    }
}

impl Drop for ClientFileThread {
    fn drop(&mut self) {
        self.given_back.fetch_add(1, Ordering::Relaxed);
    }
}

impl Cluster {
    /// Runs blocking work that belongs to a call and that [`Self::stop`] waits for.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let held = self.calls.gate.try_enter().ok_or(Error::Stopping)?;
        self.blocking_while(held, work).await
    }

    /// Runs blocking work of a call as [`Self::blocking`] does, on a file that a client
    /// named. Such work takes only a part of the threads.
    pub(crate) async fn blocking_on_client_file<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let gate = &self.calls.gate;
        let ends = gate.ends();
        let entered = gate.try_enter().ok_or(Error::Stopping)?;
        let thread = tokio::select! {
            thread = self.client_file_threads.take() => thread?,
            () = ends.cancelled() => return Err(Error::Stopping),
        };
        self.blocking_while((entered, thread), work).await
    }

    /// Does what takes no time, unless the daemon is stopping.
    pub(super) fn while_running<T>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _held = self.calls.gate.try_enter().ok_or(Error::Stopping)?;
        work()
    }

    /// Runs blocking work that holds on to something until it has ended, also if nobody waits.
    pub(super) async fn blocking_while<T: Send + 'static>(
        self: &Arc<Self>,
        held: impl Send + 'static,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cluster = Arc::clone(self);
        let work = self.running.spawn_blocking(move || {
            let _held = held;
            work(&cluster)
        });
        work.await
            .unwrap_or_else(|error| Err(Error::Io(Arc::new(io::Error::other(error)))))
    }

    /// Runs blocking work on the state as a whole, which [`Self::stop`] waits for, also if nobody
    /// else does.
    pub(crate) async fn blocking_on_all<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let cluster = Arc::clone(self);
        self.running.spawn_blocking(move || work(&cluster)).await
    }

    /// Runs a task that [`Self::stop`] waits for. It has to end when the daemon is
    /// [`stopping`](Self::stopping).
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(task);
    }
}
