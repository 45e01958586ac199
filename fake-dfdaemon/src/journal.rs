//! The journal: one JSON object a call, appended to a file when the call ends.
//!
//! The file is the journal: it can be read after a crash, and queries read it. Nothing of it is
//! kept in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::owned;
use crate::rpc::Rpc;

/// How much of the file is read at once, in bytes.
const BUFFER: usize = 64 << 10;

/// A call that has ended.
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
    pub request: Value,
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

/// What a daemon that goes on has to know of a call.
#[derive(Deserialize)]
struct Numbered {
    call: u64,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatus {
    /// The status code by name, such as `NOT_FOUND`; `OK` for none.
    pub code: String,
    /// The status message.
    pub message: String,
}

/// A fault that hit a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFault {
    /// The fault's id.
    pub id: u64,
    /// What it did.
    #[serde(rename = "do")]
    pub action: Value,
}

/// Which calls are asked for.
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

impl Query {
    fn matches(&self, call: &Call) -> bool {
        let task = call.request.get("task_id").and_then(Value::as_str);
        self.rpc.is_none_or(|rpc| rpc == call.rpc)
            && self
                .status
                .as_ref()
                .is_none_or(|status| *status == call.status.code)
            && self
                .task
                .as_deref()
                .is_none_or(|wanted| task == Some(wanted))
            && self.host.as_ref().is_none_or(|host| *host == call.host)
    }
}

/// The journal of one daemon.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    last_call: AtomicU64,
}

impl Journal {
    /// Opens the journal at `path` and goes on where it ends.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = owned::append(path)?;
        let mut last_call = 0;
        // Millions of calls may be in it: no more of them than their numbers is needed.
        for_each_line(&file, |Numbered { call }| last_call = last_call.max(call))?;
        if !ends_with_a_line(&file)? {
            // The last call of a daemon that was killed, cut short.
            file.write_all(b"\n")?;
        }
        let path = path.to_owned();
        Ok(Self {
            path,
            file: Mutex::new(file),
            last_call: AtomicU64::new(last_call),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every call of a kind that has ended, oldest first.
    #[must_use]
    pub fn calls(&self, rpc: Rpc) -> Vec<Call> {
        self.query(&Query {
            rpc: Some(rpc),
            ..Query::default()
        })
        .unwrap_or_default()
    }

    /// The calls that are asked for and have ended, oldest first.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn query(&self, query: &Query) -> io::Result<Vec<Call>> {
        let file = self.file().try_clone()?;
        let mut calls = Vec::new();
        for_each_line(&file, |call| {
            if query.matches(&call) {
                calls.push(call);
            }
        })?;
        calls.sort_by_key(|call| call.call);
        Ok(calls)
    }

    /// Forgets every call. Numbers go on.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn clear(&self) -> io::Result<()> {
        self.file().set_len(0)
    }

    /// The number of a call that arrives.
    pub(crate) fn number(&self) -> u64 {
        // What a file says that somebody else wrote may be the last number there is.
        self.last_call
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append(&self, call: &Call) {
        let written = serde_json::to_vec(call)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                // One write: lines of concurrent calls do not mix.
                self.file().write_all(&line)
            });
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "a call is missing in the journal");
        }
    }
}

/// Reads each line of a file. One that was cut short by a crash is passed over.
fn for_each_line<T: DeserializeOwned>(file: &File, mut each: impl FnMut(T)) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(BUFFER, FromStart { file, position: 0 });
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Ok(read) = serde_json::from_slice(&line) {
            each(read);
        }
        line.clear();
    }
    Ok(())
}

/// Reads a file from its start, wherever others are in it. The path is not asked again: something
/// else may be there by now.
struct FromStart<'a> {
    file: &'a File,
    position: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
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
mod tests {
    use serde_json::json;

    use super::*;

    fn call(journal: &Journal, rpc: Rpc, host: &str, code: &str, task: &str) -> Call {
        Call {
            call: journal.number(),
            at: Timestamp::UNIX_EPOCH,
            rpc,
            host: host.to_owned(),
            request: json!({"task_id": task}),
            pieces: 0,
            bytes: 0,
            status: CallStatus {
                code: code.to_owned(),
                message: String::new(),
            },
            fault: None,
            client_gone: false,
            duration_ms: 0,
        }
    }

    #[test]
    fn calls_are_found_by_what_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
        let stat = call(&journal, Rpc::Stat, "host-0", "OK", "1");
        let export = call(&journal, Rpc::Export, "host-1", "INTERNAL", "2");
        journal.append(&export);
        journal.append(&stat);
        assert_eq!(
            journal.query(&Query::default()).unwrap(),
            [stat.clone(), export.clone()]
        );
        assert_eq!(journal.calls(Rpc::Stat), std::slice::from_ref(&stat));
        let text = |text: &str| Some(text.to_owned());
        for query in [
            Query {
                status: text("INTERNAL"),
                ..Query::default()
            },
            Query {
                task: text("2"),
                ..Query::default()
            },
            Query {
                host: text("host-1"),
                ..Query::default()
            },
        ] {
            assert_eq!(
                journal.query(&query).unwrap(),
                std::slice::from_ref(&export),
                "{query:?}"
            );
        }
        journal.clear().unwrap();
        assert_eq!(journal.query(&Query::default()).unwrap(), []);
    }

    #[test]
    fn numbers_go_on_after_the_highest_wherever_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let journal = Journal::open(&path).unwrap();
        let calls: Vec<_> = (0..4)
            .map(|_| call(&journal, Rpc::Stat, "host-0", "OK", "1"))
            .collect();
        // As they end, which is not as they arrive.
        for index in [1, 3, 0, 2] {
            journal.append(&calls[index]);
        }
        assert_eq!(Journal::open(&path).unwrap().number(), 5);
    }

    #[test]
    fn the_last_number_there_is_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        std::fs::write(&path, format!("{{\"call\":{}}}\n", u64::MAX)).unwrap();
        assert_eq!(Journal::open(&path).unwrap().number(), 0);
    }

    #[test]
    fn a_journal_that_was_cut_short_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let journal = Journal::open(&path).unwrap();
        let first = call(&journal, Rpc::Stat, "host-0", "OK", "1");
        journal.append(&first);
        File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"call\":2,\"at")
            .unwrap();
        let journal = Journal::open(&path).unwrap();
        let second = call(&journal, Rpc::Stat, "host-0", "OK", "1");
        assert_eq!(second.call, 2);
        journal.append(&second);
        assert_eq!(journal.query(&Query::default()).unwrap(), [first, second]);
    }
}
