//! Work on threads that may wait for a disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lanes::Lanes;
use super::turns::Turns;
use super::{Cluster, Error};
use crate::call::gate::{CALLS_END_WITHIN, Gate};
use crate::store::CancelFlag;

/// How many threads work on files that clients named: half of those that tokio has for blocking
/// work.
const CLIENT_FILE_THREADS: usize = 256;

/// How long a call waits for one of them while none becomes free, and none of them comes on.
const FREE_THREAD_WITHIN: Duration = Duration::from_secs(3);

/// The threads that may work on files that clients named. Such a file may lie in a file system that
/// hangs, and its thread with it.
#[derive(Debug)]
struct ClientFileThreads {
    free: Arc<Semaphore>,
    /// Counts what calls have done with theirs: steps, and giving them back.
    steps: Arc<AtomicUsize>,
    within: Duration,
}

/// A permit for a thread of one call, released on drop.
struct ClientFileThread {
    steps: Arc<AtomicUsize>,
    _taken: OwnedSemaphorePermit,
}

impl ClientFileThreads {
    fn new() -> Self {
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

/// The tasks and threads that work for a cluster, and what ends them.
#[derive(Debug)]
pub(super) struct Workers {
    gate: Gate,
    stopping: CancellationToken,
    running: TaskTracker,
    client_files: ClientFileThreads,
    turns: Turns,
    lanes: Lanes,
}

impl Workers {
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            gate,
            stopping: CancellationToken::new(),
            running: TaskTracker::new(),
            client_files: ClientFileThreads::new(),
            turns: Turns::new(),
            lanes: Lanes::default(),
        }
    }

    /// Is cancelled when the daemon begins to stop.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The turns that replicas take.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Runs a task that [`stop`](Self::stop) waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(task);
    }

    /// Runs blocking work that [`stop`](Self::stop) waits for.
    pub(super) fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.running.spawn_blocking(work)
    }

    /// Keeps the state as it is for work that belongs to a call, unless it is about to be replaced.
    pub(super) fn enter(&self) -> Result<OwnedRwLockReadGuard<()>, Error> {
        self.gate.try_enter().ok_or(Error::Stopping)
    }

    /// Does work that does not block, unless the daemon is stopping.
    pub(super) fn if_not_stopping<T>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _held = self.enter()?;
        work()
    }

    /// Cancelled when the calls that run now are to end.
    pub(super) fn ends(&self) -> CancellationToken {
        self.gate.ends()
    }

    /// Takes a thread for a file that a client named, which shows by the flag that it comes on.
    async fn take_for_client_file(&self, cancel: &CancelFlag) -> Result<ClientFileThread, Error> {
        let ends = self.ends();
        let thread = tokio::select! {
            thread = self.client_files.take() => thread?,
            () = ends.cancelled() => return Err(Error::Stopping),
        };
        cancel.count_steps(&self.client_files.steps);
        Ok(thread)
    }

    /// Breaks off what is running and waits until nothing is, but for what hangs in a file system.
    pub(super) async fn stop(&self) {
        self.stopping.cancel();
        self.gate.end_all();
        self.running.close();
        let ended = tokio::time::timeout(CALLS_END_WITHIN, self.running.wait());
        if ended.await.is_err() {
            tracing::warn!("a call hangs in a file system, and is left behind");
        }
    }
}

impl Cluster {
    /// Is cancelled when the daemon begins to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        self.workers().stopping()
    }

    /// Runs blocking work that belongs to a call and that [`Self::stop`] waits for.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let held = self.workers().enter()?;
        self.blocking_holding(held, work).await
    }

    /// Runs blocking work of a call as [`Self::blocking`] does, on a file that a client
    /// named. Such work takes only a part of the threads, and shows by its flag that it comes on.
    pub(crate) async fn blocking_on_client_file<T: Send + 'static>(
        self: &Arc<Self>,
        cancel: CancelFlag,
        work: impl FnOnce(&Arc<Self>, &CancelFlag) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let entered = self.workers().enter()?;
        let thread = self.workers().take_for_client_file(&cancel).await?;
        let (cluster, tracked) = (Arc::clone(self), self.workers().running.token());
        let (sender, done) = oneshot::channel();
        self.workers().lanes.spawn(Box::new(move || {
            let done = work(&cluster, &cancel);
            drop((entered, thread, cluster, tracked));
            let _ = sender.send(done);
        }));
        done.await
            .unwrap_or_else(|error| Err(Error::Io(Arc::new(io::Error::other(error)))))
    }

    /// Runs blocking work that holds on to something until it has ended, also if nobody waits.
    pub(super) async fn blocking_holding<T: Send + 'static>(
        self: &Arc<Self>,
        held: impl Send + 'static,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cluster = Arc::clone(self);
        let work = self.workers().spawn_blocking(move || {
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
    ) -> Result<T, JoinError> {
        let cluster = Arc::clone(self);
        self.workers().spawn_blocking(move || work(&cluster)).await
    }

    /// Runs a task that [`Self::stop`] waits for. It has to end when the daemon is
    /// [`stopping`](Self::stopping).
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.workers().spawn(task);
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
