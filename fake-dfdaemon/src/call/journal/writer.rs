//! The thread that writes the journal's file, and what it shares with those who end calls and those
//! who ask for them.
//!
//! Nobody else touches the file to write it. A call is found as soon as it is appended; its line
//! follows, and the answer to the client waits for it, but not for long: a file system that hangs
//! keeps this thread alone.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Call;
use super::index::{Index, UNWRITTEN};
use super::reading::{Contents, From, JournalFile};
use super::waiting::Waits;
use crate::store::private_files;

/// Lines that wait to be written, in bytes. What comes on top of them is lost.
const QUEUE: usize = 8 << 20;

/// How long the file is at least before it is made shorter, in bytes.
pub(super) const SHORT: u64 = 64 << 10;

/// How long the answer to a client waits for the line of its call.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);

/// How long a stop waits for the lines that are not written yet.
const FINISHED_WITHIN: Duration = Duration::from_secs(2);

/// How long somebody waits who clears the journal.
const CLEARED_WITHIN: Duration = Duration::from_secs(5);

/// Writes lines to the end of the file.
pub(super) type Put = Box<dyn FnMut(&File, &[u8]) -> io::Result<()> + Send>;

/// What the writer shares.
#[derive(Debug)]
pub(super) struct Shared {
    held: Mutex<Held>,
    /// There is something to do for the writer.
    work: Condvar,
    /// How many lines have been dealt with.
    dealt: watch::Sender<u64>,
    /// Whether the writer let somebody wait for too long, and has not come on since.
    is_behind: AtomicBool,
    /// Cancelled when the writer has ended.
    ended: CancellationToken,
}

/// What is known of the journal. It is held over no step of the disk.
#[derive(Debug)]
pub(super) struct Held {
    /// How many calls are kept.
    limit: usize,
    /// Calls that are not: those that could not be written, and the oldest.
    pub(super) lost: u64,
    /// Whether it was said that some could not be written.
    is_said: bool,
    pub(super) index: Index,
    pub(super) waits: Waits,
    /// Until the writer has ended.
    pub(super) file: Option<Arc<JournalFile>>,
    /// Lines that are not in the file yet, by the numbers of their calls.
    unwritten: HashMap<u64, Arc<[u8]>>,
    /// Those of them that the writer has not taken, in the order in which the calls ended.
    queue: Vec<(u64, Arc<[u8]>)>,
    unwritten_bytes: usize,
    /// How many lines were ever put into the queue.
    queued: u64,
    clears: Vec<Clear>,
    is_finished: bool,
}

/// Somebody who waits for the journal to be cleared, until a time.
#[derive(Debug)]
struct Clear {
    reply: SyncSender<io::Result<()>>,
    until: Instant,
}

impl Held {
    /// The line of a call, if it is not in the file yet.
    pub(super) fn unwritten(&self, call: u64) -> Option<Arc<[u8]>> {
        self.unwritten.get(&call).cloned()
    }

    fn is_written(&mut self, call: u64) {
        if let Some(line) = self.unwritten.remove(&call) {
            self.unwritten_bytes -= line.len();
        }
    }

    /// Whether this is the first that is lost: it is said once, not for every call while the disk is
    /// full.
    fn count_lost(&mut self) -> bool {
        self.lost += 1;
        !std::mem::replace(&mut self.is_said, true)
    }
}

fn say_lost(why: &dyn fmt::Display) {
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
            }),
            work: Condvar::new(),
            dealt: watch::Sender::new(0),
            is_behind: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
                // One that is longer than all of the queue goes alone.
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
        drop(held);
        self.work.notify_one();
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
        let (held, waited) = waited.unwrap_or_else(PoisonError::into_inner);
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

/// What runs on the thread.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    pub(super) file: Arc<JournalFile>,
    pub(super) put: Put,
    /// Whether the file may end in the middle of a line.
    pub(super) is_cut: bool,
    /// Whether the file cannot be made shorter.
    pub(super) grows: bool,
    /// How long the file gets before it is looked at whether it can be made shorter.
    pub(super) looks_at: u64,
}

/// Dropped, it says that the writer has ended. The writer's own file is closed after that, on its
/// thread.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.held().file = None;
        self.0.work.notify_all();
        self.0.ended.cancel();
    }
}

/// What there is to do.
struct Work {
    lines: Vec<(u64, Arc<[u8]>)>,
    clears: Vec<Clear>,
    /// How many lines were put into the queue with these.
    queued: u64,
}

impl Writer {
    pub(super) fn start(self) -> io::Result<()> {
        let thread = thread::Builder::new().name("journal".to_owned());
        thread.spawn(|| self.run()).map(drop)
    }

    fn run(mut self) {
        // Also if it panics.
        let _ended = Ended(Arc::clone(&self.shared));
        while let Some(work) = self.next() {
            self.write(&work.lines);
            self.shorten();
            self.shared.is_behind.store(false, Ordering::Relaxed);
            self.shared.dealt.send_replace(work.queued);
            self.clear(work.clears);
        }
        // Closing is not enough: a process that was forked at this moment shares the open file until
        // it runs its program.
        let _ = rustix::fs::flock(&self.file.file, FlockOperation::Unlock);
    }

    /// Waits for something to do. `None` when there is no more.
    fn next(&self) -> Option<Work> {
        let held = self.shared.held();
        let is_idle =
            |held: &mut Held| held.queue.is_empty() && held.clears.is_empty() && !held.is_finished;
        let waited = self.shared.work.wait_while(held, is_idle);
        let mut held = waited.unwrap_or_else(PoisonError::into_inner);
        if held.queue.is_empty() && held.clears.is_empty() {
            return None;
        }
        Some(Work {
            lines: std::mem::take(&mut held.queue),
            clears: std::mem::take(&mut held.clears),
            queued: held.queued,
        })
    }

    /// Writes lines, all at once if that goes.
    fn write(&mut self, lines: &[(u64, Arc<[u8]>)]) {
        let written = self.put(lines);
        match written {
            Ok(()) => {}
            // The disk may have room for some of them.
            Err(_) if lines.len() > 1 => {
                for line in lines {
                    self.write(std::slice::from_ref(line));
                }
            }
            Err(error) => {
                let mut held = self.shared.held();
                let mut is_first = false;
                for (call, _) in lines {
                    held.is_written(*call);
                    if held.index.remove(*call) {
                        is_first = held.count_lost();
                    }
                }
                drop(held);
                if is_first {
                    say_lost(&format_args!("{}: {error}", self.path.display()));
                }
            }
        }
    }

    fn put(&mut self, lines: &[(u64, Arc<[u8]>)]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let length = self.file.file.metadata()?.len();
        let mut bytes = Vec::new();
        if self.is_cut {
            bytes.push(b'\n');
        }
        let begins = self.file.begins + length + bytes.len() as u64;
        for (_, line) in lines {
            bytes.extend_from_slice(line);
        }
        // One write: a crash leaves all of a line, or its start.
        let written = (self.put)(&self.file.file, &bytes);
        if let Err(error) = written {
            // Half a line would spoil the next one.
            self.is_cut |= self.file.file.set_len(length).is_err();
            return Err(error);
        }
        self.is_cut = false;
        let mut held = self.shared.held();
        let mut place = begins;
        for (call, line) in lines {
            held.index.set_place(*call, place);
            held.is_written(*call);
            place += line.len() as u64;
        }
        Ok(())
    }

    /// Takes the calls that are forgotten out of the file, once they are more than the rest of it.
    fn shorten(&mut self) {
        if self.grows {
            return;
        }
        match self.shortened() {
            Ok(None) => {}
            Ok(Some(file)) => {
                let file = Arc::new(file);
                self.looks_at = SHORT;
                self.shared.held().file = Some(Arc::clone(&file));
                self.file = file;
            }
            Err(error) => {
                self.grows = true;
                let path = self.path.display();
                tracing::warn!(%path, %error, "the journal cannot be made shorter, and grows");
            }
        }
    }

    /// A file with the calls that are not forgotten, in the place of the one that is there.
    fn shortened(&mut self) -> io::Result<Option<JournalFile>> {
        let metadata = self.file.file.metadata()?;
        let first = {
            let held = self.shared.held();
            // To look for it takes a millisecond for a million calls.
            if metadata.len() < self.looks_at || held.lost == 0 {
                return Ok(None);
            }
            held.index.first_place()
        };
        self.looks_at = metadata.len() / 4 * 5;
        let Some(first) = first else {
            return Ok(None);
        };
        let from = first.saturating_sub(self.file.begins);
        if from < metadata.len().saturating_sub(from) {
            return Ok(None);
        }
        let there = fs::symlink_metadata(&self.path)?;
        if (there.dev(), there.ino()) != (metadata.dev(), metadata.ino()) {
            return Err(io::Error::other("another file is in its place"));
        }
        let directory = self.path.parent().filter(|path| *path != Path::new(""));
        let directory = directory.unwrap_or(Path::new("."));
        let mut beside = tempfile::Builder::new();
        let beside = beside
            .prefix(".journal-")
            .make_in(directory, private_files::append)?;
        let mut rest = BufReader::new(From {
            file: Arc::clone(&self.file),
            place: from,
        });
        io::copy(&mut rest, &mut beside.as_file())?;
        super::lock(beside.as_file())?;
        let file = beside.persist(&self.path)?;
        Ok(Some(JournalFile {
            file,
            begins: self.file.begins + from,
        }))
    }

    fn clear(&mut self, clears: Vec<Clear>) {
        let now = Instant::now();
        let (waiting, given_up): (Vec<_>, Vec<_>) =
            clears.into_iter().partition(|clear| clear.until > now);
        drop(given_up);
        if waiting.is_empty() {
            return;
        }
        let cleared = self.file.file.set_len(0);
        if cleared.is_ok() {
            self.is_cut = false;
            let mut held = self.shared.held();
            held.lost = 0;
            held.is_said = false;
            held.index.clear();
            held.waits.begin_again();
            // They ended while the journal was being cleared.
            held.queue.clear();
            held.unwritten.clear();
            held.unwritten_bytes = 0;
            self.shared.dealt.send_replace(held.queued);
        }
        for clear in waiting {
            let again = match &cleared {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            let _ = clear.reply.try_send(again);
        }
    }
}
