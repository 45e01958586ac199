//! The journal: one JSON object a call, appended to a file when the call ends.
//!
//! The file is the journal: it can be read after a crash, and queries read it. Where each call stands
//! in it is kept in memory, and so are the lines that are not in the file yet: a thread of its own
//! writes them, so that a file system that hangs stops nothing else.

mod file;
mod index;
mod readers;
mod reading;
mod running;
mod shared;
mod wait;
mod waiting;
mod waits;
mod writer;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeBounds;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tonic::Code;

use self::file::JournalFile;
pub(crate) use self::readers::Readers;
pub(crate) use self::reading::Calls;
use self::running::Running;
pub(crate) use self::running::RunningCall;
use self::shared::Shared;
pub(crate) use self::shared::Written;
pub use self::wait::{WaitError, WaitFor};
use self::writer::{Put, SHORT, Writer};
use super::faults::code_name;
use super::rpc::Rpc;
use crate::store::private_files;

/// How many calls a journal keeps by default.
pub(crate) const DEFAULT_JOURNAL_LIMIT: usize = 1_000_000;

/// A call that has ended.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Rpc};
///
/// let models = tempfile::tempdir()?;
/// std::fs::write(models.path().join("model.bin"), "content")?;
/// let daemon = FakeDfdaemon::builder().preload(models.path()).start_blocking()?;
/// let copied = fake_dfdaemon::block_on(daemon.journal().wait_for(Rpc::Replicate))?;
/// assert_eq!(copied[0].task_id(), Some(daemon.tasks()[0].id.as_str()));
/// assert_eq!((copied[0].host.as_str(), copied[0].status.code.as_str()), ("host-1", "OK"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Counts the calls of this daemon in the order in which they arrived, from 1.
    pub call: u64,
    /// When it arrived, by the daemon's clock.
    pub at: Timestamp,
    /// What was asked.
    pub rpc: Rpc,
    /// The host that was asked.
    pub host: String,
    /// The request's fields.
    pub(crate) request: Value,
    /// The request's metadata, by key: a text, or a list of them where the key comes more than once.
    /// Binary values are base64.
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
    /// Pieces that were sent.
    pub pieces: u64,
    /// Content that was sent, in bytes.
    pub bytes: u64,
    /// What was answered.
    pub status: CallStatus,
    /// The fault that hit the call, the last if there were several.
    pub fault: Option<CallFault>,
    /// Whether the client went away before it had the whole answer.
    pub client_gone: bool,
    /// How long the call took, in milliseconds of the machine's time.
    pub duration_ms: u64,
}

impl Call {
    /// A field of the request, by its name in the journal: a text as it is, anything else as JSON. `None`
    /// if the request has no such field, or says nothing in it.
    #[must_use]
    pub fn request(&self, field: &str) -> Option<String> {
        let value = self.request.get(field).filter(|value| !value.is_null())?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    }

    /// The task that the call was for, if the request names one.
    #[must_use]
    pub fn task_id(&self) -> Option<&str> {
        self.request.get("task_id").and_then(Value::as_str)
    }

    /// What the client sent as metadata under a key, in order. Binary values are base64.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Vec<&str> {
        match self.metadata.get(key) {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            text => text.and_then(Value::as_str).into_iter().collect(),
        }
    }
}

impl CallFault {
    /// The name of what it did, such as `error`.
    #[must_use]
    pub fn action(&self) -> &str {
        let names = self.action.as_object().into_iter().flat_map(Map::keys);
        names.map(String::as_str).next().unwrap_or_default()
    }
}

/// The JSON of a running call, which has no status yet.
pub(crate) fn unanswered(call: &Call) -> Value {
    let mut told = serde_json::json!(call);
    if let Some(status) = told.get_mut("status") {
        *status = Value::Null;
    }
    told
}

/// How a call ended.
///
/// ```
/// use fake_dfdaemon::{Call, CallStatus};
///
/// /// Whether a call was answered as a full disk is.
/// fn is_refused(call: &Call) -> bool {
///     let CallStatus { code, message } = &call.status;
///     code == "INTERNAL" && message.contains("space")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatus {
    /// The status code by name, such as `NOT_FOUND`; `OK` for none.
    pub code: String,
    /// The status message.
    pub message: String,
}

/// A fault that hit a call.
///
/// ```
/// use fake_dfdaemon::{Call, CallFault};
///
/// /// Whether a fault broke the call off.
/// fn is_reset(call: &Call) -> bool {
///     call.fault.as_ref().map(CallFault::action) == Some("reset")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFault {
    /// The fault's id.
    pub id: u64,
    /// What it did.
    #[serde(rename = "do")]
    pub(crate) action: Value,
}

/// Which calls are asked for. A kind of call is a query for all of its calls.
///
/// ```
/// use fake_dfdaemon::{Code, FakeDfdaemon, Query, Rpc};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let query = Query::of(Rpc::Stat).status(Code::NotFound).host("host-1");
/// assert_eq!(daemon.journal().query(&query)?, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Only calls of this kind.
    pub rpc: Option<Rpc>,
    /// Only calls that ended with this status code, such as `NOT_FOUND`.
    pub status: Option<String>,
    /// Only calls for this task.
    pub task: Option<String>,
    /// Only calls to this host.
    pub host: Option<String>,
}

impl From<Rpc> for Query {
    fn from(rpc: Rpc) -> Self {
        Self::of(rpc)
    }
}

impl Query {
    /// The calls of a kind.
    #[must_use]
    pub fn of(rpc: Rpc) -> Self {
        Self {
            rpc: Some(rpc),
            ..Self::default()
        }
    }

    /// Only calls that ended with this status.
    #[must_use]
    pub fn status(mut self, code: Code) -> Self {
        self.status = Some(code_name(code).to_owned());
        self
    }

    /// Only calls for this task.
    #[must_use]
    pub fn task(mut self, id: impl Into<String>) -> Self {
        self.task = Some(id.into());
        self
    }

    /// Only calls to this host, such as `host-1`.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.rpc.is_none_or(|rpc| rpc == call.rpc)
            && self
                .status
                .as_ref()
                .is_none_or(|status| *status == call.status.code)
            && self
                .task
                .as_deref()
                .is_none_or(|wanted| call.task_id() == Some(wanted))
            && self.host.as_ref().is_none_or(|host| *host == call.host)
    }
}

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
        let put: Put = Box::new(|mut file, lines| file.write_all(lines));
        Self::open_with(path, limit, put)
    }

    /// The same; lines are written by `put`.
    fn open_with(path: &Path, limit: usize, put: Put) -> io::Result<Self> {
        let file = private_files::append(path)?;
        lock(&file)?;
        if !file::is_journal(&file)? {
            let why = "its first line is no call of a journal: name a file that does not exist yet";
            return Err(io::Error::other(why));
        }
        // By a daemon that was killed.
        let is_cut = !ends_with_a_line(&file)?;
        let file = Arc::new(JournalFile { file, begins: 0 });
        let contents = file::index(&file, limit)?;
        let last_call = contents.last;
        let shared = Arc::new(Shared::new(&file, contents, limit));
        let writer = Writer {
            shared: Arc::clone(&shared),
            path: path.to_owned(),
            file,
            put,
            is_cut,
            grows: false,
            looks_at: SHORT,
        };
        writer.start()?;
        Ok(Self {
            path: path.to_owned(),
            shared,
            last_call: AtomicU64::new(last_call),
            running: Running::default(),
            readers: Readers::default(),
            runtime: Handle::try_current().ok(),
        })
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
    /// take them for calls that were not made.
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

    /// Every call of a kind that has ended, oldest first: so many that `count` contains their number.
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
    /// If there are more or fewer: the message names the calls that come near, and what differs. And
    /// as of [`Self::calls`].
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn expect(&self, rpc: Rpc, count: impl RangeBounds<usize> + fmt::Debug) -> Vec<Call> {
        let calls = self.calls(rpc);
        if count.contains(&calls.len()) {
            return calls;
        }
        let near = self.near_misses(&Query::of(rpc), 0);
        let near: String = near.iter().map(|miss| format!("\n  {miss}")).collect();
        let came = calls.len();
        panic!("{came} {rpc} calls have ended, expected {count:?}; near misses:{near}")
    }

    /// The calls that are asked for and have ended, oldest first.
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

    /// How many calls are missing: the oldest, which a limit forgets, and those that could not be
    /// written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.held().lost
    }

    /// Forgets every call, also that some were lost. Numbers go on.
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
        // What a file says that somebody else wrote may be the last number there is.
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

/// Locks a journal that is a file, against a second daemon: it would mix its calls in.
fn lock(file: &File) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Ok(());
    }
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::other("a running fake-dfdaemon writes it")),
        // Where files cannot be locked, it goes without.
        _ => Ok(()),
    }
}

fn ends_with_a_line(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests;
