//! Work on threads that may wait for a disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cluster, Error};
use crate::store::CancelFlag;

/// How many threads work on files that clients named: half of those that tokio has for blocking
/// work.
const CLIENT_FILE_THREADS: usize = 256;

/// How long a call waits for one of them while none becomes free, and none of them comes on.
const FREE_THREAD_WITHIN: Duration = Duration::from_secs(3);

/// The threads that may work on files that clients named. Such a file may lie in a file system that
/// hangs, and its thread with it.
#[derive(Debug)]
pub(super) struct ClientFileThreads {
    free: Arc<Semaphore>,
    /// Counts what calls have done with theirs: steps, and giving them back.
    steps: Arc<AtomicUsize>,
    within: Duration,
}

/// A thread for one call; dropped, it is given back.
struct ClientFileThread {
    steps: Arc<AtomicUsize>,
    _taken: OwnedSemaphorePermit,
}

impl ClientFileThreads {
    pub(super) fn new() -> Self {
        Self::with(CLIENT_FILE_THREADS, FREE_THREAD_WITHIN)
    }

    fn with(threads: usize, within: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(threads)),
            steps: Arc::default(),
            within,
        }
    }

    /// Waits for a free thread as long as others become free, or come on: that a file system hangs,
    /// and not only a crowd is at work, is seen by nothing else.
    async fn take(&self) -> Result<ClientFileThread, Error> {
        let taken = Arc::clone(&self.free).acquire_owned();
        tokio::pin!(taken);
        let mut before = self.steps.load(Ordering::Relaxed);
        loop {
            match tokio::time::timeout(self.within, &mut taken).await {
                Ok(taken) => {
                    return Ok(ClientFileThread {
                        steps: Arc::clone(&self.steps),
                        // The semaphore is never closed.
                        _taken: taken.map_err(|_| Error::Stopping)?,
                    });
                }
                Err(_) => {
                    let now = self.steps.load(Ordering::Relaxed);
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
        self.steps.fetch_add(1, Ordering::Relaxed);
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
    /// named. Such work takes only a part of the threads, and shows by its flag that it comes on.
    pub(crate) async fn blocking_on_client_file<T: Send + 'static>(
        self: &Arc<Self>,
        cancel: CancelFlag,
        work: impl FnOnce(&Arc<Self>, &CancelFlag) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let gate = &self.calls.gate;
        let ends = gate.ends();
        let entered = gate.try_enter().ok_or(Error::Stopping)?;
        let thread = tokio::select! {
            thread = self.client_file_threads.take() => thread?,
            () = ends.cancelled() => return Err(Error::Stopping),
        };
        cancel.count_steps(&self.client_file_threads.steps);
        let work = move |cluster: &Arc<Self>| work(cluster, &cancel);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Time stands still but for those who wait for it.
    #[tokio::test(start_paused = true)]
    async fn a_thread_is_waited_for_as_long_as_others_come_on() {
        let threads = Arc::new(ClientFileThreads::with(1, FREE_THREAD_WITHIN));
        let taken = threads.take().await.unwrap();
        let hangs = threads.take().await;
        assert!(matches!(hangs, Err(Error::ClientFilesBusy)));

        let flag = CancelFlag::default();
        flag.count_steps(&threads.steps);
        let waiting = Arc::clone(&threads);
        let waiting = tokio::spawn(async move { waiting.take().await.map(drop) });
        for _ in 0..10 {
            tokio::time::sleep(FREE_THREAD_WITHIN / 2).await;
            flag.check().unwrap();
            assert!(!waiting.is_finished());
        }
        drop(taken);
        waiting.await.unwrap().unwrap();
    }
}
