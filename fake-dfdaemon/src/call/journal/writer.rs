//! The thread that writes the journal's file. No other thread writes to it, so that a file system that
//! hangs stops this thread only.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use super::file::{From, JournalFile};
use super::shared::{Clear, Held, Shared, say_lost};
use crate::dfdaemon::mutex::unpoisoned;
use crate::store::private_files;

/// How long the file is at least before it is made shorter, in bytes.
pub(super) const SHORT: u64 = 64 << 10;

/// Writes lines to the end of the file.
pub(super) type Put = Box<dyn FnMut(&File, &[u8]) -> io::Result<()> + Send>;

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
        let _ = self.file.file.unlock();
    }

    /// Waits for something to do. `None` when there is no more.
    fn next(&self) -> Option<Work> {
        let held = self.shared.held();
        let is_idle = |held: &mut Held| {
            held.is_idle = held.queue.is_empty() && held.clears.is_empty() && !held.is_finished;
            held.is_idle
        };
        let waited = self.shared.work.wait_while(held, is_idle);
        let mut held = unpoisoned(waited);
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

    /// Replaces the file by one without the forgotten calls.
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
            return Err(io::Error::other("another file has taken its place"));
        }
        let directory = self.path.parent().filter(|path| *path != Path::new(""));
        let directory = directory.unwrap_or(Path::new("."));
        let mut rest = BufReader::new(From {
            file: Arc::clone(&self.file),
            place: from,
        });
        let mut beside = private_files::beside(directory, ".journal-")?;
        io::copy(&mut rest, beside.file())?;
        super::lock(beside.file())?;
        Ok(Some(JournalFile {
            file: beside.persist(&self.path)?,
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
