//! Calls that pass a proxy, with faults in their way and a journal that tells of them.
//!
//! Faults lie between the client and the daemon, or the cassette that stands for one: a call that is
//! hit before it has an effect does not get there. What passes is unaltered, but for what a fault
//! alters.

mod parts;
mod request_fields;
mod sending;
mod spool;
mod watched;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Body;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::request_fields::{fields_of, read_first, rpc_of};
use self::sending::{Sending, trailers_of};
use self::spool::Spool;
use self::watched::{Watched, broken, reset, status_of};
use super::relay::{Front, RequestBody};
use crate::call::clock::{Clock, ClockMode};
use crate::call::connection::Connection;
use crate::call::events::Events;
use crate::call::faults::reach::Reach;
use crate::call::faults::registry::{Faults, TagAndApplication};
use crate::call::faults::{Fault, FaultError, Phase};
use crate::call::gate::Gate;
use crate::call::journal::{DEFAULT_JOURNAL_LIMIT, Journal};
use crate::call::random::any_seed;
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::call::{Ahead, CallContext, RunningCall, Waits};
use crate::dfdaemon::release::Release;
use crate::grpc::request_head::metadata;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The answer to a call.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// The journal's file, by default.
const JOURNAL: &str = "journal.jsonl";

/// What is read of an answer that is lost, at most: the daemon is done with it then.
const MOST_LOST: usize = 4 << 20;

/// What the calls of a proxy share.
#[derive(Clone, Debug)]
pub(crate) struct ProxiedCalls {
    pub(crate) calls: Arc<CallContext>,
    /// What stands for the host in the journal.
    pub(crate) host: &'static str,
    /// Where pieces are put that wait for a fault.
    pub(crate) spool: Arc<Path>,
}

/// What a proxy does to calls, and where it tells of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallSettings {
    pub(crate) faults: Vec<Fault>,
    /// By default another one at each start.
    pub(crate) fault_seed: Option<u64>,
    /// By default a file beside the socket.
    pub(crate) journal: Option<PathBuf>,
}

/// Why calls cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallsError {
    /// A fault that cannot act on what passes.
    #[error("no such fault")]
    Fault(#[from] FaultError),
    /// The journal cannot be written.
    #[error("cannot use the journal {}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ProxiedCalls {
    /// Those of a proxy whose own files are in `dir`.
    pub(crate) fn open(
        settings: CallSettings,
        host: &'static str,
        dir: &Path,
    ) -> Result<Self, CallsError> {
        let seed = settings.fault_seed.unwrap_or_else(any_seed);
        let faults = Faults::starting_with(seed, settings.faults, Reach::Proxy)?;
        let path = settings.journal.unwrap_or_else(|| dir.join(JOURNAL));
        let journal = Journal::open(&path, DEFAULT_JOURNAL_LIMIT)
            .map_err(|source| CallsError::Journal { path, source })?;
        let calls = CallContext {
            faults: Arc::new(faults),
            journal: Arc::new(journal),
            clock: Clock::new(ClockMode::System),
            gate: Gate::default(),
            waits: Waits::default(),
            ahead: Ahead::default(),
            events: Events::default(),
            counters: Arc::default(),
            // Nobody knows: it decides the words of a few faults.
            release: Release::default(),
        };
        Ok(Self {
            calls: Arc::new(calls),
            host,
            spool: dir.into(),
        })
    }

    /// Passes a call on by `next`, and its answer back. `next` cancels the token that it gets when the
    /// daemon's connection breaks, and waits; `closes` closes the client's.
    pub(super) async fn pass<F, A, B, E>(
        &self,
        head: request::Parts,
        mut body: RequestBody,
        closes: CancellationToken,
        next: F,
    ) -> Result<Response<AnswerBody>, BoxError>
    where
        F: FnOnce(request::Parts, RequestBody, CancellationToken) -> A,
        A: Future<Output = Result<Response<B>, E>>,
        E: Into<BoxError>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let rpc = rpc_of(head.uri.path());
        let front = match rpc {
            // It may be a stream that begins when it is answered.
            Rpc::Unserved => Front::default(),
            _ => read_first(&mut body).await?,
        };
        let fields = fields_of(rpc, head.uri.path(), &front.data);
        body.put_back(front);
        let mut call = self.begin(rpc, fields, &head.headers, &closes).await;
        if let Err(status) = call.apply_faults(Phase::Before).await {
            call.answered(Some(&status)).wait().await;
            return Ok(refused(&status));
        }
        let breaks = closes.child_token();
        let answer = tokio::select! {
            answer = next(head, body, breaks.clone()) => answer,
            () = breaks.cancelled() => {
                call.answered(Some(&broken())).wait().await;
                closes.cancel();
                // The connection is dropped, and this with it.
                return std::future::pending().await;
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.into();
                call.answered(Some(&reset(error.as_ref()))).wait().await;
                return Err(error);
            }
        };
        self.answer(answer, (call, rpc), breaks, closes).await
    }

    async fn begin(
        &self,
        rpc: Rpc,
        fields: Value,
        headers: &HeaderMap,
        closes: &CancellationToken,
    ) -> RunningCall {
        let gate = self.calls.gate.enter().await;
        let connection = Connection {
            closes: closes.clone(),
            is_late: Arc::default(),
            limit: None,
            metadata: Arc::new(metadata(headers)),
        };
        let call = Call::arriving(rpc, self.host, fields);
        let of_task = TagAndApplication::default();
        RunningCall::begin(&self.calls, gate, call, &of_task, Some(&connection))
    }

    async fn answer<B>(
        &self,
        answer: Response<B>,
        (mut call, rpc): (RunningCall, Rpc),
        breaks: CancellationToken,
        closes: CancellationToken,
    ) -> Result<Response<AnswerBody>, BoxError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let (head, mut body) = answer.into_parts();
        let is_whole = body.is_end_stream();
        let failed = is_whole.then(|| status_of(&head.headers)).flatten();
        if rpc == Rpc::Export && !is_whole && !call.armed.is_empty() {
            let sending = Sending {
                call,
                body,
                spool: Spool::new(Arc::clone(&self.spool)),
                breaks,
                closes,
            };
            let mut frames = sending.start();
            let frames = futures_util::stream::poll_fn(move |context| frames.poll_recv(context));
            return Ok(Response::from_parts(
                head,
                StreamBody::new(frames).boxed_unsync(),
            ));
        }
        if failed.is_none()
            && let Err(status) = call.apply_faults(Phase::After).await
        {
            drain(&mut body).await;
            call.answered(Some(&status)).wait().await;
            return Ok(refused(&status));
        }
        if is_whole {
            call.answered(failed.as_ref()).wait().await;
            return Ok(Response::from_parts(head, empty()));
        }
        let body = Watched::new(body, (call, rpc), breaks, closes);
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }
}

/// An answer that is a status and nothing else.
fn refused(status: &Status) -> Response<AnswerBody> {
    let mut answer = Response::new(empty());
    *answer.headers_mut() = trailers_of(status);
    let grpc = http::HeaderValue::from_static("application/grpc");
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc);
    answer
}

fn empty() -> AnswerBody {
    http_body_util::Empty::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Takes an answer that nobody gets: the daemon does not have to see it broken off.
async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await
        && read < MOST_LOST
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}
