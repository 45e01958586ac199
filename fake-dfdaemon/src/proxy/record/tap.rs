//! On the thread that moves calls: hands what it sees to the recorder's thread, and opens files
//! before their names can go.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, request, response};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::Shared;
use super::event::{Begin, Event, FileRole, What};
use super::files::{Found, look, look_through};
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

struct RecordCall {
    shared: Arc<Shared>,
    number: u64,
    began: Instant,
    began_at: SystemTime,
    method: String,
    /// The request so far, if it may name files.
    request: Option<Vec<u8>>,
    output: Option<PathBuf>,
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
        path: PathBuf,
        look: fn(&std::path::Path) -> Option<Found>,
    ) -> Waiting {
        self.tell(What::FileBegins);
        let (events, call, at) = (
            self.shared.events.clone(),
            self.number,
            self.began.elapsed(),
        );
        let looking = spawn_blocking(move || {
            let found = look(&path);
            let _ = events.send(Event::Of {
                call,
                at,
                what: What::File(role, found),
            });
        });
        Box::pin(async move {
            // What hangs is noted when it hangs no more.
            let _ = tokio::time::timeout(PATIENCE, looking).await;
        })
    }

    /// Opens what an export by path has left, before the client knows that it is there.
    fn look_at_output(&mut self) -> Option<Waiting> {
        let path = self.output.take()?;
        Some(self.look_at(FileRole::Output(self.began_at), path, look))
    }
}

impl CallTap for RecordCall {
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.backlog.poll_ready(context)
    }

    fn request_data(&mut self, data: &Bytes) {
        if let Some(request) = &mut self.request
            && request.len() + data.len() <= MAX_REQUEST
        {
            request.extend_from_slice(data);
        } else {
            self.request = None;
        }
        self.shared.backlog.add(data.len());
        self.tell(What::RequestData(data.clone()));
    }

    fn request_ended(&mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        let paths = RequestPaths::of(&self.method, &request);
        self.output = paths.output;
        if let Some(source) = paths.source {
            // Beside the call: it goes on at once.
            drop(self.look_at(FileRole::Source, source, look_through));
        }
    }

    fn response_head(&mut self, head: &response::Parts, is_whole: bool) -> Option<Waiting> {
        let status = head.status.as_u16();
        self.tell(What::Head(status, head.headers.clone(), is_whole));
        is_whole.then(|| self.look_at_output()).flatten()
    }

    fn response_data(&mut self, data: &Bytes) {
        self.shared.backlog.add(data.len());
        self.tell(What::ResponseData(data.clone()));
    }

    fn response_trailers(&mut self, trailers: &HeaderMap) -> Option<Waiting> {
        self.tell(What::Trailers(trailers.clone()));
        self.look_at_output()
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
