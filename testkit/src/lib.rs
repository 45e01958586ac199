//! A daemon that says what a test tells it to, however odd, and remembers what it was asked;
//! [content] from seeds; [`signals`] as programs under test expect them; [`schema`], which holds JSON to a JSON Schema; what tests ask of a [program]; and how a test
//! [waits](wait) for what the system announces.
//!
//! The unit tests of dfcache and the tests of its program share it. Tests of what an honest daemon
//! does take fake-dfdaemon instead.

#![expect(
    clippy::unwrap_used,
    reason = "it is a part of tests: a failure ends the test"
)]

pub mod content;
pub mod program;
pub mod schema;
mod service;
pub mod signals;
pub mod wait;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use dfdaemon_api::common::v2::{PersistentCacheTask, Piece};
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, StatLocalPersistentCacheTaskResponse,
    StatPersistentCacheTaskRequest, UploadPersistentCacheTaskRequest,
};
use dfdaemon_api::digest::{crc32, piece_digest};
use tempfile::TempDir;
use tokio::sync::Notify;
use tonic::Status;

use service::Service;

/// How long a piece is that [`whole`] makes, in bytes.
pub const PIECE: usize = 4 << 20;

/// What the daemon does next in the stream of an export, or before it answers another call.
#[derive(Clone, Debug)]
pub enum Step {
    /// The start of the content, with its length in bytes.
    Started(u64),
    /// A piece, whatever it says of itself.
    Piece(Piece),
    /// A message without a response.
    Nothing,
    /// Writes a file to the path that the export names.
    Write(Vec<u8>),
    /// As the first step: nothing is answered, not even that the export begins.
    Unanswered,
    /// The call fails.
    Fail(Status),
    /// The connection closes without a status, and the daemon is gone.
    Reset,
    /// What an import or a stat gets.
    Task(Box<PersistentCacheTask>),
    /// What the daemon's host has.
    Local(StatLocalPersistentCacheTaskResponse),
    /// Lets [`ScriptedDaemon::wait_until_reached`] return.
    Reached,
    /// Nothing until it is notified.
    Wait(Arc<Notify>),
    /// Nothing for longer than any test takes; a client that is still there then fails.
    Stall,
    /// Nothing any more, until the daemon is gone.
    Hang,
}

/// A piece as a daemon sends it.
#[must_use]
pub fn piece(number: u32, offset: u64, content: &[u8]) -> Piece {
    Piece {
        number,
        offset,
        length: content.len() as u64,
        digest: piece_digest(crc32(content)),
        content: Some(Bytes::copy_from_slice(content)),
        ..Piece::default()
    }
}

/// The steps of an honest export of `content`.
#[must_use]
pub fn whole(content: &[u8]) -> Vec<Step> {
    let pieces = content.chunks(PIECE).zip(0..).map(|(bytes, number)| {
        let offset = u64::from(number) * PIECE as u64;
        Step::Piece(piece(number, offset, bytes))
    });
    std::iter::once(Step::Started(content.len() as u64))
        .chain(pieces)
        .collect()
}

/// What answers requests `Q` with `A`.
pub type Script<Q, A> = Arc<dyn Fn(&Q) -> Result<A, Status> + Send + Sync>;

/// What the daemon answers.
#[derive(Clone)]
pub struct Answers {
    /// Imports.
    pub import: Script<UploadPersistentCacheTaskRequest, PersistentCacheTask>,
    /// Exports; an error is sent instead of a stream.
    pub export: Script<DownloadPersistentCacheTaskRequest, Vec<Step>>,
    /// Stats of a task.
    pub stat: Script<StatPersistentCacheTaskRequest, PersistentCacheTask>,
    /// Lists of what the host has.
    pub list: Script<(), Vec<StatLocalPersistentCacheTaskResponse>>,
    /// What happens before an import or a stat is answered.
    pub before: Vec<Step>,
}

/// Nothing is answered, but that the host has the task 7.
impl Default for Answers {
    fn default() -> Self {
        let task = StatLocalPersistentCacheTaskResponse {
            task_id: "7".to_owned(),
            ..StatLocalPersistentCacheTaskResponse::default()
        };
        Self {
            import: Arc::new(|_| Err(not_in_the_script())),
            export: Arc::new(|_| Err(not_in_the_script())),
            stat: Arc::new(|_| Err(not_in_the_script())),
            list: Arc::new(move |()| Ok(vec![task.clone()])),
            before: Vec::new(),
        }
    }
}

fn not_in_the_script() -> Status {
    Status::unimplemented("not in the script")
}

/// Requests as they came.
#[derive(Debug, Default)]
pub struct Requests {
    /// Those of imports.
    pub imports: Vec<UploadPersistentCacheTaskRequest>,
    /// Those of exports.
    pub exports: Vec<DownloadPersistentCacheTaskRequest>,
    /// Those of stats.
    pub stats: Vec<StatPersistentCacheTaskRequest>,
}

/// A running daemon, on a thread of its own. Dropped, its connections break without a status.
#[derive(Debug)]
pub struct ScriptedDaemon {
    /// Its socket.
    pub endpoint: PathBuf,
    requests: Arc<Mutex<Requests>>,
    reached: Receiver<()>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl ScriptedDaemon {
    /// # Panics
    ///
    /// Where there is no room for its directory or its socket.
    #[must_use]
    pub fn start(answers: Answers) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Users without rights ask it too.
        let rights = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), rights).unwrap();
        let endpoint = directory.path().join("scripted.sock");
        // Bound before the thread starts, so that it is ready when this returns.
        let listener = UnixListener::bind(&endpoint).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(Notify::new());
        let requests = Arc::default();
        let (sender, reached) = channel();
        let service = Service {
            answers,
            requests: Arc::clone(&requests),
            stop: Arc::clone(&stop),
            reached: sender,
        };
        let thread = std::thread::spawn(move || service.serve(listener));
        Self {
            endpoint,
            requests,
            reached,
            stop,
            thread: Some(thread),
            _directory: directory,
        }
    }

    /// A daemon that answers every export with these steps, and nothing else.
    #[must_use]
    pub fn exporting(steps: Vec<Step>) -> Self {
        Self::start(Answers {
            export: Arc::new(move |_| Ok(steps.clone())),
            ..Answers::default()
        })
    }

    /// A daemon that answers every call with these steps. After the last one an export ends; an
    /// import or a stat gets a task with the id 7. A failure that is the first step comes instead of
    /// the stream.
    #[must_use]
    pub fn answering(steps: Vec<Step>) -> Self {
        Self::start(scripted(steps))
    }

    /// Waits for [`Step::Reached`].
    ///
    /// # Panics
    ///
    /// If the daemon is gone.
    pub fn wait_until_reached(&self) {
        self.reached.recv().unwrap();
    }

    /// What it was asked so far.
    pub fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedDaemon {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What [`ScriptedDaemon::answering`] answers.
fn scripted(steps: Vec<Step>) -> Answers {
    let local = steps.iter().filter_map(|step| match step {
        Step::Local(task) => Some(task.clone()),
        _ => None,
    });
    let local: Vec<_> = local.collect();
    let is_answer = |step: &Step| matches!(step, Step::Fail(_) | Step::Task(_));
    let before = steps.iter().take_while(|step| !is_answer(step));
    let before = before.cloned().collect();
    let answer = steps.iter().find(|step| is_answer(step)).cloned();
    let task = move |content_length| match &answer {
        Some(Step::Fail(status)) => Err(status.clone()),
        Some(Step::Task(task)) => Ok(*task.clone()),
        _ => Ok(PersistentCacheTask {
            id: "7".to_owned(),
            state: "Succeeded".to_owned(),
            content_length,
            ..PersistentCacheTask::default()
        }),
    };
    let imported = task.clone();
    Answers {
        import: Arc::new(move |request| {
            imported(std::fs::metadata(&request.path).map_or(0, |file| file.len()))
        }),
        export: Arc::new(move |_| match steps.first() {
            Some(Step::Fail(status)) => Err(status.clone()),
            _ => Ok(steps.clone()),
        }),
        stat: Arc::new(move |_| task(0)),
        list: Arc::new(move |()| match local.is_empty() {
            true => Err(not_in_the_script()),
            false => Ok(local.clone()),
        }),
        before,
    }
}
