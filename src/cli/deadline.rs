//! What surrounds a command: its deadline, and signals.
//!
//! A command runs on the main thread, and may hang there in whatever touches a file system. Another
//! thread touches none: it waits for a signal, for the deadline, and for the command's end. The other
//! way round, a short command would wait until its thread runs, and the process for the main thread.
//!
//! The operation of a command is a future. When its time is over or a signal comes, it is dropped,
//! and its destructors clean up. If it hangs, a further thread cleans up, and the one that watches ends
//! the process.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::oneshot;

use crate::cli::descriptors;
use crate::cli::exit::exit_code;
use crate::cli::signals::{self, Bell, Heard, Signals};
use crate::output::leftovers::Leftovers;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Interruption, Result};
use crate::types::options::Timeout;

/// How long an operation that was broken off may take to clean up. One that hangs in a system call
/// never does.
const CLEANUP_GRACE: Duration = Duration::from_secs(2);

/// How long a further signal does not end the process. Some senders send each signal twice, as
/// timeout(1) does: to the process, and to its group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// How long a report that is being written may still take after a signal.
const REPORTED: Duration = Duration::from_millis(200);

/// How long the last attempts of a process that gives up may take.
const LAST_ATTEMPTS: Duration = Duration::from_secs(1);

/// How long a command whose reader is gone may still take to end by itself: all may have been read.
const UNREAD: Duration = Duration::from_secs(1);

/// How long an operation may take.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// What fails if it takes longer.
    pub(crate) attempt: Attempt,
    pub(crate) timeout: Timeout,
    /// How many files may be on their way at a time.
    pub(crate) jobs: usize,
    /// Whether content goes to stdout, and is of no use once its reader is gone.
    pub(crate) streams: bool,
}

/// Runs what `operation` makes to its end, but not beyond its bounds or a signal, and reports its
/// result. Ends the process if the operation hangs.
pub(crate) fn run<T, F>(
    bounds: Option<Bounds>,
    operation: impl FnOnce() -> F,
    report: impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static,
) -> ExitCode
where
    T: 'static,
    F: Future<Output = Result<T>>,
{
    run_or_leave(bounds, operation, report, leave)
}

/// Ends the process, whatever hangs in it. Not by `main`, which may.
#[allow(clippy::exit)]
fn leave(code: u8) {
    std::process::exit(code.into());
}

fn run_or_leave<T, F>(
    bounds: Option<Bounds>,
    operation: impl FnOnce() -> F,
    report: impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static,
    leave: impl FnOnce(u8) + Send + 'static,
) -> ExitCode
where
    T: 'static,
    F: Future<Output = Result<T>>,
{
    let report = Arc::new(report);
    match Watched::start(bounds, Arc::clone(&report), leave) {
        Ok(watched) => watched.run(operation, &*report),
        Err(error) => report(Err(error)),
    }
}

/// What the thread of the command has of the one that watches it.
struct Watched {
    /// Tells why the operation is to be broken off.
    broken_off: oneshot::Receiver<Error>,
    reporting: Arc<AtomicBool>,
    leftovers: Leftovers,
    watcher: JoinHandle<()>,
    /// Rung once the command has ended.
    bell: Bell,
}

impl Watched {
    fn start<T: 'static>(
        bounds: Option<Bounds>,
        report: Arc<impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static>,
        leave: impl FnOnce(u8) + Send + 'static,
    ) -> Result<Self> {
        let jobs = bounds.as_ref().map_or(1, |bounds| bounds.jobs);
        descriptors::take_room(jobs).map_err(|(error, hint)| cannot_start(error).hint(hint))?;
        // Listen before the operation begins, so that no signal is missed.
        let (signals, bell) = Signals::listen().map_err(cannot_start)?;
        let (break_off, broken_off) = oneshot::channel::<Error>();
        let reporting = Arc::new(AtomicBool::new(false));
        let leftovers = Leftovers::default();
        let watcher = Watcher {
            signals,
            break_off,
            reporting: Arc::clone(&reporting),
            leftovers: leftovers.clone(),
        };
        let watches = move || {
            if let Some(code) = watcher.watch(bounds.as_ref(), report) {
                leave(code);
            }
        };
        let watcher = thread("watcher", watches).map_err(cannot_start)?;
        Ok(Self {
            broken_off,
            reporting,
            leftovers,
            watcher,
            bell,
        })
    }

    fn run<T, F: Future<Output = Result<T>>>(
        self,
        operation: impl FnOnce() -> F,
        report: &impl Fn(Result<T>) -> ExitCode,
    ) -> ExitCode {
        self.leftovers.collect();
        let broken_off = self.broken_off;
        let work = || {
            on_runtime(async {
                tokio::select! {
                    // What is done stands, also if it was done before it heard.
                    biased;
                    result = operation() => result,
                    Ok(why) = broken_off => Err(why),
                }
            })
        };
        let died = |_| Err(Error::new(ErrorKind::Failure, "a thread died"));
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(died);
        if let Err(error) = &result {
            log(error);
        }
        if self.reporting.swap(true, Ordering::SeqCst) {
            // The process is about to end.
            let _ = self.watcher.join();
            return ExitCode::FAILURE;
        }
        let code = report(result);
        drop(self.bell);
        code
    }
}

/// Watches a command from another thread.
struct Watcher {
    signals: Signals,
    /// Breaks the operation off, which then fails with this error.
    break_off: oneshot::Sender<Error>,
    /// Whether a thread has begun to report how the command ended. Only one does.
    reporting: Arc<AtomicBool>,
    leftovers: Leftovers,
}

impl Watcher {
    /// The code that the process is to end with at once, if the command does not end by itself.
    fn watch<T: 'static>(
        mut self,
        bounds: Option<&Bounds>,
        report: Arc<impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static>,
    ) -> Option<u8> {
        let deadline =
            bounds.and_then(|bounds| Instant::now().checked_add(bounds.timeout.duration()));
        let streams = bounds.is_some_and(|bounds| bounds.streams);
        let mut unread_until = None;
        let signal = loop {
            // What is done is reported without haste: people read lists page by page.
            let deadline = deadline.filter(|_| !self.reporting());
            let until = [deadline, unread_until].into_iter().flatten().min();
            let for_reader = streams && unread_until.is_none();
            match self.signals.wait(until, for_reader) {
                Some(Heard::Ended) => return None,
                Some(Heard::Signal(signal)) => break Some(signal),
                Some(Heard::ReaderGone) => unread_until = Instant::now().checked_add(UNREAD),
                None => {}
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break None;
            }
        };
        let is_unread = unread_until.is_some_and(|until| Instant::now() >= until);
        let why = || match (signal, bounds) {
            (None, _) if is_unread => unread(),
            (None, Some(bounds)) => Error::timed_out(bounds.attempt.clone(), bounds.timeout),
            (signal, _) => interrupted(signal.unwrap_or_default()),
        };
        let code = exit_code(why().kind());
        let broken_off = Instant::now();
        let patience = if self.reporting() {
            REPORTED
        } else {
            CLEANUP_GRACE
        };
        let (sender, _) = oneshot::channel();
        // Nobody listens if it is done.
        let _ = std::mem::replace(&mut self.break_off, sender).send(why());
        if self.ends_by(broken_off, patience) {
            return None;
        }
        if self.reporting.swap(true, Ordering::SeqCst) {
            // It has ended, and hangs in its report.
            return Some(code);
        }
        let (sender, attempts) = mpsc::channel();
        let removed = sender.clone();
        let error = why();
        let leftovers = self.leftovers.clone();
        let _ = thread("clean-up", move || {
            leftovers.remove_all();
            let _ = removed.send(());
        });
        let _ = thread("report", move || {
            report(Err(error));
            let _ = sender.send(());
        });
        let until = Instant::now() + LAST_ATTEMPTS;
        // Ends early when both are done, and have dropped their ends.
        while attempts
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        Some(code)
    }

    fn reporting(&self) -> bool {
        self.reporting.load(Ordering::SeqCst)
    }

    /// Waits for the end of what was broken off. A further signal cuts that short.
    fn ends_by(&mut self, broken_off: Instant, patience: Duration) -> bool {
        let until = broken_off + patience;
        while Instant::now() < until {
            match self.signals.wait(Some(until), false) {
                Some(Heard::Ended) => return true,
                Some(_) if broken_off.elapsed() >= SAME_SIGNAL => return false,
                _ => {}
            }
        }
        false
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work)
}

fn on_runtime<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    // On the heap: each function that passes it on would have a copy of it on its stack.
    let result = runtime.block_on(Box::pin(async {
        let result = future.await;
        crate::export::mended().await;
        result
    }));
    // Threads that hang in a system call are left behind.
    runtime.shutdown_background();
    result
}

fn log(error: &Error) {
    let message = crate::types::escape::printable(&error.to_string());
    tracing::error!(causes = ?error.causes(), "{message}");
}

fn cannot_start(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Failure, "cannot start").because(source)
}

fn unread() -> Error {
    let gone = ErrorKind::Interrupted(Interruption::ReaderGone);
    Error::new(gone, "the reader of the content went away")
}

fn interrupted(signal: i32) -> Error {
    let message = match Signal::from_named_raw(signal) {
        Some(Signal::INT) => "interrupted".to_owned(),
        Some(Signal::TERM) => "terminated".to_owned(),
        _ => {
            let name = signals::name(signal).map(str::to_owned);
            let name = name.unwrap_or_else(|| format!("signal {signal}"));
            format!("ended by {name}")
        }
    };
    let number = u8::try_from(signal).unwrap_or_default();
    Error::new(
        ErrorKind::Interrupted(Interruption::Signal(number)),
        message,
    )
}

#[cfg(test)]
mod tests;
