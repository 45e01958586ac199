//! The journal: one JSON object a call, appended to a file when the call ends.
//!
//! The file is the journal: it can be read after a crash, and queries read it. Where each call stands
//! in it is kept in memory, and so are the lines that are not in the file yet: a thread of its own
//! writes them, so that a file system that hangs stops nothing else.

mod claimed;
mod file;
mod index;
mod line;
mod query;
mod readers;
mod reading;
mod running;
mod shared;
mod wait;
mod waiting;
mod waits;
mod writer;

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;

pub(crate) use self::claimed::Claimed;
pub use self::query::Query;
pub(crate) use self::readers::Readers;
pub(crate) use self::reading::Calls;
use self::running::Running;
pub(crate) use self::running::SharedCall;
use self::shared::Shared;
pub(crate) use self::shared::Written;
pub use self::wait::{WaitError, WaitFor};
use self::waiting::MOST_NEAR;
use self::writer::Put;
use super::record::Call;
use super::rpc::Rpc;

/// How many calls a journal keeps by default.
pub(crate) const DEFAULT_JOURNAL_LIMIT: usize = 1_000_000;

/// The journal of one daemon.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Rpc};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// assert_eq!(daemon.journal().calls(Rpc::Stat), []);
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    shared: Arc<Shared>,
    last_call: AtomicU64,
    running: Running,
    readers: Readers,
    /// The fake's runtime.
    runtime: Option<Handle>,
}

impl Journal {
    /// Opens the journal at `path` and goes on where it ends. It keeps the last `limit` calls.
    pub(crate) fn open(path: &Path, limit: usize) -> io::Result<Self> {
        Self::claim(path, limit)?.read()
    }

    /// The first part of [`Self::open`]: takes the file, without reading it.
    pub(crate) fn claim(path: &Path, limit: usize) -> io::Result<Claimed> {
        let put: Put = Box::new(|mut file, lines| file.write_all(lines));
        Claimed::new(path, limit, put)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every call of a kind that has ended, oldest first.
    ///
    /// # Panics
    ///
    /// If the file cannot be read, or calls are [lost](Self::lost): a test that counts calls must not
    /// mistake lost calls for calls that were never made.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn calls(&self, rpc: Rpc) -> Vec<Call> {
        let path = self.path.display();
        let calls = self.query(&Query::of(rpc));
        let calls = calls.unwrap_or_else(|error| panic!("cannot read the journal {path}: {error}"));
        let lost = self.lost();
        assert!(lost == 0, "{lost} calls are missing in the journal {path}");
        calls
    }

    /// Every call of a kind that has ended, oldest first. Their number must be in `count`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use fake_dfdaemon::{FakeDfdaemon, Rpc};
    ///
    /// let daemon = FakeDfdaemon::start_blocking()?;
    /// daemon.journal().expect(Rpc::Import, ..1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there are more, with the latest of them; if there are fewer, with the calls that come near and
    /// what differs. Also where [`Self::calls`] panics.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn expect(&self, rpc: Rpc, count: impl RangeBounds<usize> + fmt::Debug) -> Vec<Call> {
        let calls = self.calls(rpc);
        if count.contains(&calls.len()) {
            return calls;
        }
        let came = calls.len();
        let too_many = match count.end_bound() {
            Bound::Included(most) => came > *most,
            Bound::Excluded(limit) => came >= *limit,
            Bound::Unbounded => false,
        };
        let (which, named): (_, Vec<String>) = if too_many {
            let latest = calls.iter().rev().take(MOST_NEAR);
            ("the latest", latest.map(in_a_line).collect())
        } else {
            let near = self.near_misses(&Query::of(rpc), 0);
            (
                "near misses",
                near.iter().map(ToString::to_string).collect(),
            )
        };
        let named = named.join("\n  ");
        panic!("{came} {rpc} calls have ended, expected {count:?}; {which}:\n  {named}")
    }

    /// The calls that match `query` and have ended, oldest first.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn query(&self, query: &Query) -> io::Result<Vec<Call>> {
        self.find(query.clone(), 0).collect()
    }

    /// The same, one after the other as they are read, and only those with a number above `after`.
    /// Each step blocks on the disk.
    pub(crate) fn find(&self, query: Query, after: u64) -> Calls {
        let held = self.shared.held();
        let found = held.index.find(&query, after);
        Calls::new(&self.shared, held.file.clone(), query, found)
    }

    /// What runs work that reads the file.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// How many calls are asked for, have ended, and have a number above `after`; nothing is read.
    pub(crate) fn count(&self, query: &Query, after: u64) -> u64 {
        let found = self.shared.held().index.find(query, after);
        found.count_all()
    }

    /// Whether any call is asked for and has a number above `after`.
    pub(crate) fn has_any(&self, query: &Query, after: u64) -> bool {
        self.shared.held().index.find(query, after).next().is_some()
    }

    /// The highest number of a call that has ended.
    pub(crate) fn last(&self) -> Option<u64> {
        self.shared.held().index.last()
    }

    /// The calls that have not ended.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// How many calls are missing: the oldest, beyond the limit, and calls that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.held().lost
    }

    /// Removes every call, and sets [`lost`](Self::lost) to 0. The numbers of calls go on.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or does not answer.
    pub fn clear(&self) -> io::Result<()> {
        self.shared.clear()
    }

    /// Forgets every call, and that there were any: the next is the first. No call is running.
    pub(crate) fn start_anew(&self) -> io::Result<()> {
        self.clear()?;
        self.last_call.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Fails while the file is known not to answer.
    pub(crate) fn check_answers(&self) -> io::Result<()> {
        self.shared.check_answers()
    }

    /// The number of a call that arrives.
    pub(crate) fn number(&self) -> u64 {
        // A file that another program wrote may have the highest possible number.
        self.last_call
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }

    /// Notes a call that has ended. From now on it is found; what is returned says when its line is
    /// in the file.
    pub(crate) fn append(&self, call: &Call) -> Written {
        self.shared.append(call)
    }

    /// Waits until all lines are in the file, which gets no more; not for long where it does not
    /// answer.
    pub(crate) async fn finish(&self) {
        self.shared.finish().await;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.finish_here();
    }
}

fn in_a_line(call: &Call) -> String {
    let code = &call.status.code;
    format!("call {} ({} on {}): {code}", call.call, call.rpc, call.host)
}

/// Locks a journal that is a file, against a second daemon: it would mix its calls in.
fn lock(file: &File) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Ok(());
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::other("a running fake-dfdaemon writes it")),
        // Where files cannot be locked, it goes without.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
