//! Runs steps on a file system that may hang on a thread other than the one that serves.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a step may take that is only a few system calls.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How long one may take where nothing can be awaited.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Does a step on a thread of its own, and waits for it within a bound. What comes later is dropped
/// there: a guard in it takes the step back.
///
/// # Errors
///
/// If the file system does not answer, with [`io::ErrorKind::TimedOut`].
pub(crate) async fn aside<T: Send + 'static>(
    step: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    aside_within(ANSWERS_WITHIN, step).await
}

/// [`aside`] with a bound of its own.
pub(crate) async fn aside_within<T: Send + 'static>(
    bound: Duration,
    step: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match timeout(bound, spawn_blocking(step)).await {
        Ok(done) => done.map_err(io::Error::other),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "its file system does not answer",
        )),
    }
}

/// Does a step of a drop, which is left behind on a file system that hangs.
pub(crate) fn aside_of_drop(step: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::sync_channel(1);
    let stepping = move || {
        step();
        let _ = done.send(());
    };
    // Where no thread is left, a later start does what this leaves undone.
    if thread::Builder::new().spawn(stepping).is_ok() {
        let _ = is_done.recv_timeout(ENDS_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct TakesBack(Arc<AtomicBool>);

    impl Drop for TakesBack {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[tokio::test]
    async fn a_step_that_hangs_is_left_and_taken_back_when_it_ends() {
        let (ends, waits) = mpsc::channel::<()>();
        let is_taken_back = Arc::new(AtomicBool::new(false));
        let guard = TakesBack(Arc::clone(&is_taken_back));
        let (dropped, is_dropped) = mpsc::channel::<()>();
        let hanging = move || {
            let _ = waits.recv();
            (guard, dropped)
        };
        let left = aside_within(Duration::ZERO, hanging).await;
        assert_eq!(
            left.err().map(|error| error.kind()),
            Some(io::ErrorKind::TimedOut)
        );
        assert!(!is_taken_back.load(Ordering::Acquire));
        drop(ends);
        // Ends when the other side is dropped with the guard.
        let _ = is_dropped.recv();
        assert!(is_taken_back.load(Ordering::Acquire));
        assert_eq!(aside(|| 7).await.unwrap(), 7);
    }

    #[test]
    fn a_drop_waits_for_its_step() {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        aside_of_drop(move || done.store(true, Ordering::Release));
        assert!(is_done.load(Ordering::Acquire));
    }
}
