//! The thread that an instance has of its own, with a runtime on it: a test that blocks its own
//! thread, or has no runtime at all, does not block the fake.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::runtime;

/// How the threads are named.
const NAME: &str = "fake-dfdaemon";

/// How long work that was begun may go on when the thread is to end: a stop waits that long for
/// calls that hang in a file system.
const FINISHED_WITHIN: Duration = Duration::from_secs(12);

/// How long system calls that block may go on after that. One on a file system that hangs never
/// returns.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(1);

/// How long a drop waits for the thread: longer than the two above.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// How long one that cannot await waits for work: the file systems in it have five seconds.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(6);

/// A thread with a runtime. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct OwnThread {
    runtime: Handle,
    /// Work that the thread finishes before it ends.
    work: TaskTracker,
    quit: CancellationToken,
    /// Cancelled when the runtime is gone.
    gone: CancellationToken,
    /// Until it is joined.
    thread: Option<thread::JoinHandle<()>>,
}

impl OwnThread {
    pub(crate) fn start() -> io::Result<Self> {
        let (work, quit, gone) = <(TaskTracker, CancellationToken, CancellationToken)>::default();
        let (until, tracked, ends) = (quit.clone(), work.clone(), gone.clone().drop_guard());
        let (built, is_built) = mpsc::sync_channel(1);
        let main = move || {
            let _ends = ends;
            // Built and dropped here: a runtime must not be dropped inside of another one.
            let runtime = match runtime::build(Builder::new_current_thread().thread_name(NAME)) {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = built.send(Err(error));
                    return;
                }
            };
            let _ = built.send(Ok(runtime.handle().clone()));
            runtime.block_on(async {
                until.cancelled().await;
                tracked.close();
                let _ = tokio::time::timeout(FINISHED_WITHIN, tracked.wait()).await;
            });
            runtime.shutdown_timeout(SHUT_DOWN_WITHIN);
        };
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(main)?;
        let runtime = is_built.recv().map_err(io::Error::other)??;
        Ok(Self {
            runtime,
            work,
            quit,
            gone,
            thread: Some(thread),
        })
    }

    /// Runs work on the thread, which does not end before it has ended, within a bound.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.work.spawn_on(work, &self.runtime)
    }

    /// Ends the thread and waits until it has ended.
    pub(crate) async fn end(mut self) {
        self.quit.cancel();
        self.gone.cancelled().await;
        self.join();
    }

    fn join(&mut self) {
        // How it ended concerns nobody any more.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }

    fn is_current(&self) -> bool {
        let id = self.thread.as_ref().map(|thread| thread.thread().id());
        id == Some(thread::current().id())
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        self.quit.cancel();
        if self.thread.is_none() || self.is_current() {
            return;
        }
        match wait_for(self.gone.cancelled(), ENDED_WITHIN) {
            Some(()) => self.join(),
            None => tracing::warn!("a fake that was dropped goes on running: something blocks it"),
        }
    }
}

/// Runs work on a runtime, wherever it is waited for: it needs no runtime there, and goes on if
/// nobody waits any more.
pub(crate) async fn run_on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match runtime.spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is gone, and what is asked of it never comes.
            Err(_) => pending().await,
        },
    }
}

/// Runs work on a runtime, and waits for it on a thread that cannot await, within a bound. What takes
/// longer goes on.
pub(crate) fn finish_on(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    let done = runtime.spawn(work);
    let is_current = Handle::try_current().is_ok_and(|current| current.id() == runtime.id());
    // The work would wait for this thread.
    if !is_current {
        let _ = wait_for(done, FOLLOWED_WITHIN);
    }
}

/// Waits for what a fake does, on a thread that has no runtime or must not yield to it.
///
/// Each fake runs on a thread of its own, so blocking this one blocks none. It is for the futures of
/// this crate: others may need a runtime.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// block_on(daemon.settle());
/// block_on(daemon.stop());
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
pub fn block_on<T>(future: impl IntoFuture<Output = T>) -> T {
    let mut future = pin!(unconstrained(future.into_future()));
    loop {
        if let Some(output) = wait_until(future.as_mut(), None) {
            return output;
        }
    }
}

fn wait_for<T>(future: impl Future<Output = T>, longest: Duration) -> Option<T> {
    let future = pin!(unconstrained(future));
    wait_until(future, Some(Instant::now() + longest))
}

/// Parks this thread until the future is ready or the time has come. The future is not one that a
/// runtime makes wait for its turn: no turn comes while its thread is parked.
fn wait_until<T>(
    mut future: Pin<&mut Unconstrained<impl Future<Output = T>>>,
    end: Option<Instant>,
) -> Option<T> {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_finishes_what_was_begun_and_drops_the_rest() {
        for drops in [false, true] {
            let thread = OwnThread::start().unwrap();
            let name = run_on(&thread.runtime, async {
                thread::current().name().map(str::to_owned)
            });
            assert_eq!(name.await.as_deref(), Some(NAME));
            let waits_for_ever = Arc::new(());
            let held = Arc::clone(&waits_for_ever);
            let waiting = thread.runtime.spawn(async move {
                let _held = held;
                pending::<()>().await;
            });
            let begun = thread.spawn(tokio::task::yield_now());
            if drops {
                drop(thread);
            } else {
                thread.end().await;
            }
            assert!(begun.is_finished() && begun.await.is_ok());
            assert!(waiting.await.unwrap_err().is_cancelled());
            assert_eq!(Arc::strong_count(&waits_for_ever), 1);
        }
    }

    #[tokio::test]
    async fn a_panic_comes_to_where_it_is_waited_for() {
        let thread = OwnThread::start().unwrap();
        let runtime = thread.runtime.clone();
        let panics = async { std::panic::resume_unwind(Box::new("why")) };
        let failed = tokio::spawn(async move { run_on::<()>(&runtime, panics).await });
        let why = failed.await.unwrap_err().into_panic();
        assert_eq!(why.downcast_ref(), Some(&"why"));
    }
}
