//! What surrounds an operation: the runtime, the deadline, and signals.
//!
//! An operation is a future. When its time is over or a signal comes, it is dropped, and its
//! destructors take back what it had begun. One that blocks its thread runs beside the thread that
//! watches over it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::content::{finished, on_thread};
use crate::error::{Error, ErrorKind, Interruption, Result};
use crate::options::Timeout;

/// How long an operation that was broken off may take to take back what it had begun. One that
/// hangs in a system call never does.
const TAKES_BACK: Duration = Duration::from_secs(3);

/// Runs `operation` to its end, but no longer than `timeout`, and not beyond a signal.
/// `failure` is what an error says could not be done in time.
pub(crate) fn run<T>(
    failure: &str,
    timeout: Timeout,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    on_runtime(bounded(failure, timeout, operation))
}

/// Runs what `operation` makes as [`run`] does, for one that blocks its thread: it has one of its
/// own, which is left behind if it hangs.
pub(crate) fn run_apart<T: Send + 'static, F: Future<Output = Result<T>>>(
    failure: &str,
    timeout: Timeout,
    operation: impl FnOnce() -> F + Send + 'static,
) -> Result<T> {
    let (go_on, broken_off) = oneshot::channel::<()>();
    let work = || {
        crate::memory::keep_for_content();
        on_runtime(async {
            tokio::select! {
                result = operation() => result,
                _ = broken_off => Err(Error::new(ErrorKind::Failure, "broken off")),
            }
        })
    };
    let mut thread = None;
    on_runtime(async {
        let watched = async { finished(thread.insert(on_thread("operation", work)?)).await };
        let result = bounded(failure, timeout, watched).await;
        drop(go_on);
        let Some(thread) = thread.filter(|thread| !thread.is_terminated()) else {
            return result;
        };
        match tokio::time::timeout(TAKES_BACK, thread).await {
            // It was done before it heard: what it has made stands.
            Ok(Ok(done @ Ok(_))) => done,
            _ => result,
        }
    })
}

fn on_runtime<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::new(ErrorKind::Failure, "cannot start").because(source))?;
    let result = runtime.block_on(future);
    // Threads that hang in a system call are left behind.
    runtime.shutdown_background();
    result
}

async fn bounded<T>(
    failure: &str,
    timeout: Timeout,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    let signals = async {
        long_files_end_no_process()?;
        second_signal_ends_the_process()?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let interruption = tokio::select! {
            _ = interrupt.recv() => Interruption::Interrupt,
            _ = terminate.recv() => Interruption::Terminate,
        };
        std::io::Result::Ok(interruption)
    };
    tokio::select! {
        // A signal is heard before the operation begins, lest it be missed.
        biased;
        Ok(interruption) = signals => Err(interrupted(interruption)),
        result = tokio::time::timeout(timeout.duration(), operation) => {
            result.unwrap_or_else(|_| Err(timed_out(failure, timeout)))
        }
    }
}

/// The first signal is left to the runtime, which may never get to it if the file system hangs.
fn second_signal_ends_the_process() -> std::io::Result<()> {
    for (number, interruption) in [
        (SIGINT, Interruption::Interrupt),
        (SIGTERM, Interruption::Terminate),
    ] {
        let heard = Arc::new(AtomicBool::new(false));
        let exit_code = ErrorKind::Interrupted(interruption).exit_code();
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_shutdown(
            number,
            exit_code.into(),
            Arc::clone(&heard),
        )?;
        signal_hook::flag::register(number, heard)?;
    }
    Ok(())
}

/// A file that may not grow longer fails the write, which takes back what was begun; unheard, the
/// signal would end the process before.
fn long_files_end_no_process() -> std::io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

fn interrupted(interruption: Interruption) -> Error {
    let message = match interruption {
        Interruption::Terminate => "terminated",
        _ => "interrupted",
    };
    Error::new(ErrorKind::Interrupted(interruption), message)
}

fn timed_out(failure: &str, timeout: Timeout) -> Error {
    Error::new(ErrorKind::Timeout, failure)
        .because(format!("it took longer than {timeout}"))
        .hint("--timeout gives it more time")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    const SOON: &str = "50ms";

    fn apart<T: Send + 'static>(
        operation: impl AsyncFnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        run_apart("cannot", SOON.parse().unwrap(), async move || {
            operation().await
        })
    }

    #[test]
    fn an_operation_that_hangs_is_left_behind() {
        let (_keep, never) = mpsc::channel::<()>();
        let began = Instant::now();
        let ended = apart(async move || {
            let _ = never.recv();
            Ok(())
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(began.elapsed() < 10 * TAKES_BACK);
    }

    #[test]
    fn an_operation_that_is_broken_off_takes_back_what_it_began() {
        struct Begun(mpsc::Sender<()>);
        impl Drop for Begun {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (sender, taken_back) = mpsc::channel();
        let ended = apart(async move || {
            let _begun = Begun(sender);
            std::future::pending::<Result<()>>().await
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(taken_back.try_recv(), Ok(()));
    }

    #[test]
    fn an_operation_that_is_done_before_it_hears_is_done() {
        let (sender, over) = mpsc::channel();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            sender.send(7)
        });
        let ended = apart(async move || Ok(over.recv().unwrap()));
        assert_eq!(ended.unwrap(), 7);
    }
}
