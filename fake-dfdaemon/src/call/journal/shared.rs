//! The state of the journal, shared by the calls that end, the readers, and the thread that writes its
//! file.
//!
//! Readers find a call as soon as it is appended. Its line is written afterwards; the answer to the
//! client waits for that, but not for long. No lock is held during a step on the disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::{Duration, Instant};
use std::{fmt, io};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Call;
use super::file::{Contents, JournalFile};
use super::index::{Index, UNWRITTEN};
use super::waits::Waits;
use crate::dfdaemon::mutex::{Mutex, unpoisoned};

/// Lines that wait to be written, in bytes. What comes on top of them is lost.
const QUEUE: usize = 8 << 20;

/// How long the answer to a client waits for the line of its call.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);

/// How long a stop waits for the lines that are not written yet.
const FINISHED_WITHIN: Duration = Duration::from_secs(2);

/// How long a `clear` waits.
const CLEARED_WITHIN: Duration = Duration::from_secs(5);

/// What the writer shares.
#[derive(Debug)]
pub(super) struct Shared {
    held: Mutex<Held>,
    /// There is something to do for the writer.
    pub(super) work: Condvar,
    /// How many lines have been dealt with.
    pub(super) dealt: watch::Sender<u64>,
    /// Whether the writer kept a caller waiting for too long, and has made no progress since.
    pub(super) is_behind: AtomicBool,
    /// Cancelled when the writer has ended.
    pub(super) ended: CancellationToken,
}

/// What is known of the journal. It is held over no step of the disk.
#[derive(Debug)]
pub(super) struct Held {
    /// How many calls are kept.
    limit: usize,
    /// Calls that are not: those that could not be written, and the oldest.
    pub(super) lost: u64,
    /// Whether it was said that some could not be written.
    pub(super) is_said: bool,
    pub(super) index: Index,
    pub(super) waits: Waits,
    /// Until the writer has ended.
    pub(super) file: Option<Arc<JournalFile>>,
    /// Lines that are not in the file yet, by the numbers of their calls.
    pub(super) unwritten: HashMap<u64, Arc<[u8]>>,
    /// Those of them that the writer has not taken, in the order in which the calls ended.
    pub(super) queue: Vec<(u64, Arc<[u8]>)>,
    pub(super) unwritten_bytes: usize,
    /// How many lines were ever put into the queue.
    pub(super) queued: u64,
    pub(super) clears: Vec<Clear>,
    pub(super) is_finished: bool,
    /// Whether the writer sleeps. To wake one that does not would be a system call for each call.
    pub(super) is_idle: bool,
}

/// A wait until the journal is cleared, up to a time.
#[derive(Debug)]
pub(super) struct Clear {
    pub(super) reply: SyncSender<io::Result<()>>,
    pub(super) until: Instant,
}

impl Held {
    /// The line of a call, if it is not in the file yet.
    pub(super) fn unwritten(&self, call: u64) -> Option<Arc<[u8]>> {
        self.unwritten.get(&call).cloned()
    }

    pub(super) fn is_written(&mut self, call: u64) {
        if let Some(line) = self.unwritten.remove(&call) {
            self.unwritten_bytes -= line.len();
        }
    }

    /// Whether this is the first that is lost: it is said once, not for every call while the disk is
    /// full.
    pub(super) fn count_lost(&mut self) -> bool {
        self.lost += 1;
        !std::mem::replace(&mut self.is_said, true)
    }
}

pub(super) fn say_lost(why: &dyn fmt::Display) {
    tracing::warn!(error = %why, "calls are missing in the journal from now on");
}

fn no_answer() -> io::Error {
    let why = "the file system of the journal does not answer";
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl Shared {
    pub(super) fn new(file: &Arc<JournalFile>, contents: Contents, limit: usize) -> Self {
        Self {
            held: Mutex::new(Held {
                limit,
                lost: contents.forgot,
                is_said: false,
                index: contents.index,
                waits: Waits::default(),
                file: Some(Arc::clone(file)),
                unwritten: HashMap::new(),
                queue: Vec::new(),
                unwritten_bytes: 0,
                queued: 0,
                clears: Vec::new(),
                is_finished: false,
                is_idle: false,
            }),
            work: Condvar::new(),
            dealt: watch::Sender::new(0),
            is_behind: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    /// Notes a call, and lets its line be written.
    pub(super) fn append(self: &Arc<Self>, call: &Call) -> Written {
        let line = serde_json::to_vec(call).map(|mut line| {
            line.push(b'\n');
            Arc::<[u8]>::from(line)
        });
        let mut held = self.held();
        let refused = match &line {
            Err(error) => Some(error.to_string()),
            Ok(_) if held.is_finished => Some("the daemon has stopped".to_owned()),
            Ok(line) => {
                let is_too_much = held.unwritten_bytes.saturating_add(line.len()) > QUEUE;
                let why = || "the file system of the journal does not keep up".to_owned();
                // A line that is longer than the queue is taken when the queue is empty.
                (is_too_much && held.unwritten_bytes > 0).then(why)
            }
        };
        let (Ok(line), None) = (line, &refused) else {
            let is_first = held.count_lost();
            drop(held);
            if is_first {
                say_lost(&refused.unwrap_or_default());
            }
            return Written(None);
        };
        held.index.add(call, UNWRITTEN);
        let limit = held.limit;
        held.lost += held.index.keep(limit);
        held.waits.note(call);
        held.unwritten_bytes += line.len();
        held.unwritten.insert(call.call, Arc::clone(&line));
        held.queue.push((call.call, line));
        held.queued += 1;
        let number = held.queued;
        let is_idle = std::mem::replace(&mut held.is_idle, false);
        drop(held);
        if is_idle {
            self.work.notify_one();
        }
        Written(Some((Arc::clone(self), number)))
    }

    pub(super) fn check_answers(&self) -> io::Result<()> {
        if self.is_behind.load(Ordering::Relaxed) {
            return Err(no_answer());
        }
        Ok(())
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        let (reply, answer) = sync_channel(1);
        let until = Instant::now() + CLEARED_WITHIN;
        {
            let mut held = self.held();
            if held.is_finished {
                return Err(io::Error::other("the daemon has stopped"));
            }
            held.clears.push(Clear { reply, until });
        }
        self.work.notify_one();
        match answer.recv_timeout(CLEARED_WITHIN) {
            Ok(cleared) => cleared,
            Err(RecvTimeoutError::Timeout) => Err(no_answer()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the daemon has stopped")),
        }
    }

    fn end(&self) {
        self.held().is_finished = true;
        self.work.notify_all();
    }

    pub(super) async fn finish(&self) {
        self.end();
        let ended = tokio::time::timeout(FINISHED_WITHIN, self.ended.cancelled());
        if ended.await.is_err() {
            self.leave_behind();
        }
    }

    /// As [`Self::finish`], on a thread that waits. Nothing is left to wait for after that one.
    pub(super) fn finish_here(&self) {
        self.end();
        let is_open = |held: &mut Held| held.file.is_some();
        let waited = self
            .work
            .wait_timeout_while(self.held(), FINISHED_WITHIN, is_open);
        let (held, waited) = unpoisoned(waited);
        drop(held);
        if waited.timed_out() {
            self.leave_behind();
        }
    }

    /// The writer hangs: it keeps the file, which nobody waits for.
    fn leave_behind(&self) {
        let mut held = self.held();
        // Closing it would hang as well, where this were the last to hold it.
        held.file = None;
        let missing = held.unwritten.len();
        drop(held);
        tracing::warn!(
            missing,
            "the file system of the journal hangs: calls are missing in it"
        );
    }
}

/// Whether the line of a call is in the file.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Written(Option<(Arc<Shared>, u64)>);

impl Written {
    /// Waits until it is, or can never be; not for long where the file does not answer, and not at
    /// all while it is known not to.
    pub(crate) async fn wait(self) {
        let Some((shared, number)) = self.0 else {
            return;
        };
        if shared.is_behind.load(Ordering::Relaxed) {
            return;
        }
        let mut dealt = shared.dealt.subscribe();
        let dealt = dealt.wait_for(|dealt| *dealt >= number);
        if tokio::time::timeout(WRITTEN_WITHIN, dealt).await.is_err() {
            shared.is_behind.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
impl Written {
    /// Waits until it is, or can never be, however long that takes.
    pub(super) async fn dealt_with(self) {
        let Some((shared, number)) = self.0 else {
            return;
        };
        let mut dealt = shared.dealt.subscribe();
        let _ = dealt.wait_for(|dealt| *dealt >= number).await;
    }
}
