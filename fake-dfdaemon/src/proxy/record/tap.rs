//! The part of the recorder on the thread that moves calls: it sends what passes to the recorder's thread, and opens
//! the files that calls name before they can be removed.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, request, response};
use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Shared;
use super::event::{Begin, Event, FileRole, What};
use super::files::{Before, Found, look, look_through};
use crate::proxy::paths::{RequestPaths, is_export, is_import};
use crate::proxy::tap::{CallTap, Ended, Tap, Waiting};

/// How long a file system may take to open a file before the call goes on without.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest request whose paths are looked at.
const MAX_REQUEST: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct RecordTap(pub(super) Arc<Shared>);

impl Tap for RecordTap {
    fn begin(&self, head: &request::Parts) -> Option<Box<dyn CallTap>> {
        let number = self.0.last_call.fetch_add(1, Ordering::Relaxed) + 1;
        let method = head.uri.path().to_owned();
        let has_paths = is_export(&method) || is_import(&method);
        let call = RecordCall {
            shared: Arc::clone(&self.0),
            number,
            began: Instant::now(),
            began_at: SystemTime::now(),
            method: method.clone(),
            request: has_paths.then(Vec::new),
            output: None,
            is_over: false,
        };
        call.tell(What::Begin(Box::new(Begin {
            at: Timestamp::now(),
            method,
            headers: head.headers.clone(),
        })));
        Some(Box::new(call))
    }
}

/// Empty until it was looked at, which may be never.
type SharedBefore = Arc<OnceLock<Before>>;

struct RecordCall {
    shared: Arc<Shared>,
    number: u64,
    began: Instant,
    began_at: SystemTime,
    method: String,
    /// The request so far, if it may name files and is not complete.
    request: Option<Vec<u8>>,
    output: Option<(PathBuf, SharedBefore)>,
    is_over: bool,
}

impl RecordCall {
    fn tell(&self, what: What) {
        // The recorder's thread has ended, if nobody receives this.
        let _ = self.shared.events.send(Event::Of {
            call: self.number,
            at: self.began.elapsed(),
            what,
        });
    }

    /// Looks at a file beside the call, and tells of it, whether anybody waits or not.
    fn look_at(
        &self,
        role: FileRole,
        look: impl FnOnce() -> Option<Found> + Send + 'static,
    ) -> Waiting {
        self.tell(What::FileBegins);
        let (events, call, at) = (
            self.shared.events.clone(),
            self.number,
            self.began.elapsed(),
        );
        let looking = spawn_blocking(move || {
            let _ = events.send(Event::Of {
                call,
                at,
                what: What::File(role, look()),
            });
        });
        // What hangs is noted when it hangs no more.
        patiently(looking)
    }

    /// Opens what an export by path has left, before the client knows that it is there.
    fn look_at_output(&mut self, status: &HeaderMap) -> Option<Waiting> {
        let (path, before) = self.output.take()?;
        let before = before.get().copied();
        let began = self.began_at;
        let has_succeeded = status.get("grpc-status").is_some_and(|code| code == "0");
        let is_of_this_call = move |found: &Found| {
            // An output may be written again so soon that the clock of the file system does not tell.
            let may_be_same = has_succeeded || before.is_none();
            before.is_some_and(|before| found.is_new(before))
                || (may_be_same && found.is_as_new_as(began))
        };
        Some(self.look_at(FileRole::Output, move || {
            look(&path).filter(is_of_this_call)
        }))
    }

    /// Looks at the paths that a request names, before the daemon has it.
    fn look_at_paths(&mut self, paths: RequestPaths) -> Option<Waiting> {
        if let Some(source) = paths.source {
            // Beside the call: it goes on at once.
            drop(self.look_at(FileRole::Source, move || look_through(&source)));
        }
        let path = paths.output?;
        let before = SharedBefore::default();
        self.output = Some((path.clone(), Arc::clone(&before)));
        let looking = spawn_blocking(move || {
            // Nobody else sets it.
            let _ = before.set(Before::look(&path));
        });
        Some(patiently(looking))
    }
}

fn patiently(looking: JoinHandle<()>) -> Waiting {
    Box::pin(async move {
        let _ = tokio::time::timeout(PATIENCE, looking).await;
    })
}

impl CallTap for RecordCall {
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.backlog.poll_ready(context)
    }

    fn request_data(&mut self, data: &Bytes) -> Option<Waiting> {
        self.shared.backlog.add(data.len());
        self.tell(What::RequestData(data.clone()));
        let mut request = self.request.take()?;
        if request.len() + data.len() > MAX_REQUEST {
            return None;
        }
        request.extend_from_slice(data);
        let paths = RequestPaths::of(&self.method, &request);
        if paths.is_none() {
            self.request = Some(request);
        }
        self.look_at_paths(paths?)
    }

    fn request_ended(&mut self) {
        self.tell(What::RequestEnded);
    }

    fn response_head(&mut self, head: &response::Parts, is_whole: bool) -> Option<Waiting> {
        let status = head.status.as_u16();
        self.tell(What::Head(status, head.headers.clone(), is_whole));
        is_whole
            .then(|| self.look_at_output(&head.headers))
            .flatten()
    }

    fn response_data(&mut self, data: &Bytes) {
        self.shared.backlog.add(data.len());
        self.tell(What::ResponseData(data.clone()));
    }

    fn response_trailers(&mut self, trailers: &HeaderMap) -> Option<Waiting> {
        self.tell(What::Trailers(trailers.clone()));
        self.look_at_output(trailers)
    }

    fn ended(&mut self, how: Ended) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.tell(What::Ended(Some(how)));
        }
    }
}

impl Drop for RecordCall {
    fn drop(&mut self) {
        if !self.is_over {
            self.tell(What::Ended(None));
        }
    }
}
