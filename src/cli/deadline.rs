//! What surrounds a command: its deadline, and signals.
//!
//! A command runs on a thread of its own, since whatever touches a file system may hang there. The
//! main thread touches none: it waits for the command's end, for a signal, and for the deadline.
//!
//! The operation of a command is a future. When its time is over or a signal comes, it is dropped,
//! and its destructors clean up. If it hangs, another thread cleans up, and the main thread ends the
//! process.

use std::future::Future;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::oneshot;

use crate::cli::exit::exit_code;
use crate::cli::signals::{self, Heard, Signals};
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

/// More descriptors than a command ever has open for one file.
const DESCRIPTORS: usize = 24;

/// More descriptors than each further file takes that is on its way at a time.
const DESCRIPTORS_PER_JOB: usize = 8;

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
/// result.
pub(crate) fn run<T, F>(
    bounds: Option<Bounds>,
    operation: impl FnOnce() -> F + Send + 'static,
    report: impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static,
) -> ExitCode
where
    T: 'static,
    F: Future<Output = Result<T>>,
{
    let report = Arc::new(report);
    let jobs = bounds.as_ref().map_or(1, |bounds| bounds.jobs);
    match CommandThread::start(jobs, operation, Arc::clone(&report)) {
        Ok(command) => command.watch(bounds.as_ref(), report),
        Err(error) => report(Err(error)),
    }
}

/// A command that runs on its own thread.
struct CommandThread {
    signals: Signals,
    /// Breaks the operation off, which then fails with this error.
    break_off: oneshot::Sender<Error>,
    /// Whether a thread has begun to report how it ended. Only one does.
    reporting: Arc<AtomicBool>,
    ended: mpsc::Receiver<ExitCode>,
    leftovers: Leftovers,
}

impl CommandThread {
    fn start<T: 'static, F: Future<Output = Result<T>>>(
        jobs: usize,
        operation: impl FnOnce() -> F + Send + 'static,
        report: Arc<impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static>,
    ) -> Result<Self> {
        enough_descriptors(jobs)?;
        // Listen before the operation begins, so that no signal is missed.
        let (signals, bell) = Signals::listen().map_err(cannot_start)?;
        let (break_off, broken_off) = oneshot::channel::<Error>();
        let (sender, ended) = mpsc::channel();
        let reporting = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&reporting);
        let leftovers = Leftovers::default();
        let begins = leftovers.clone();
        let work = move || {
            begins.collect();
            // Rung also when this panics.
            let _bell = bell;
            let result = on_runtime(async {
                tokio::select! {
                    // What is done stands, also if it was done before it heard.
                    biased;
                    result = operation() => result,
                    Ok(why) = broken_off => Err(why),
                }
            });
            if let Err(error) = &result {
                log(error);
            }
            if !begun.swap(true, Ordering::SeqCst) {
                // Nobody listens any more if the process is about to end.
                let _ = sender.send(report(result));
            }
        };
        thread("command", work).map_err(cannot_start)?;
        Ok(Self {
            signals,
            break_off,
            reporting,
            ended,
            leftovers,
        })
    }

    fn watch<T: 'static>(
        mut self,
        bounds: Option<&Bounds>,
        report: Arc<impl Fn(Result<T>) -> ExitCode + Send + Sync + 'static>,
    ) -> ExitCode {
        let died = || report(Err(Error::new(ErrorKind::Failure, "a thread died")));
        let deadline =
            bounds.and_then(|bounds| Instant::now().checked_add(bounds.timeout.duration()));
        let streams = bounds.is_some_and(|bounds| bounds.streams);
        let mut unread_until = None;
        let signal = loop {
            if let Some(ended) = self.ended() {
                return ended.unwrap_or_else(|_| died());
            }
            // What is done is reported without haste: people read lists page by page.
            let deadline = deadline.filter(|_| !self.reporting());
            let until = [deadline, unread_until].into_iter().flatten().min();
            let for_reader = streams && unread_until.is_none();
            match self.signals.wait(until, for_reader) {
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
        let code = ExitCode::from(exit_code(why().kind()));
        let broken_off = Instant::now();
        let patience = if self.reporting() {
            REPORTED
        } else {
            CLEANUP_GRACE
        };
        let (sender, _) = oneshot::channel();
        // Nobody listens if it is done.
        let _ = std::mem::replace(&mut self.break_off, sender).send(why());
        if let Some(ended) = self.ended_by(broken_off, patience) {
            return ended.unwrap_or_else(|_| died());
        }
        if self.reporting.swap(true, Ordering::SeqCst) {
            // It has ended, and hangs in its report.
            return code;
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
        code
    }

    fn reporting(&self) -> bool {
        self.reporting.load(Ordering::SeqCst)
    }

    /// How it ended, if it did. An error if it panicked.
    fn ended(&self) -> Option<std::result::Result<ExitCode, TryRecvError>> {
        match self.ended.try_recv() {
            Err(TryRecvError::Empty) => None,
            ended => Some(ended),
        }
    }

    /// Waits for the end of what was broken off. A further signal cuts that short.
    fn ended_by(
        &mut self,
        broken_off: Instant,
        patience: Duration,
    ) -> Option<std::result::Result<ExitCode, TryRecvError>> {
        let until = broken_off + patience;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= until {
                return ended;
            }
            if self.signals.wait(Some(until), false).is_some()
                && broken_off.elapsed() >= SAME_SIGNAL
            {
                return None;
            }
        }
    }
}

/// Looks for room before anything is begun: without descriptors, nothing can be taken back either.
fn enough_descriptors(jobs: usize) -> Result<()> {
    let stdin = std::io::stdin();
    let needed = DESCRIPTORS.saturating_add(DESCRIPTORS_PER_JOB.saturating_mul(jobs - 1));
    let mut taken = Vec::new();
    for _ in 0..needed {
        let one = stdin.as_fd().try_clone_to_owned().map_err(|source| {
            let hint = format!(
                "a command needs {needed} more open files than it is started with: see ulimit -n"
            );
            cannot_start(source).hint(hint)
        })?;
        taken.push(one);
    }
    Ok(())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map(drop)
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
