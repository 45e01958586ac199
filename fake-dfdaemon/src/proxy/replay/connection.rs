//! One client of a replay.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::matching::Asked;
use super::play::{PlayBody, Playing};
use super::script::Script;
use super::{ReplayClients, Replayer};
use crate::proxy::calls::{AnswerBody, BoxError};
use crate::proxy::connection::{run_until_ended, server};
use crate::proxy::frames::{Part, Splitter};
use crate::proxy::outlet::Outlet;
use crate::proxy::paths::RequestPaths;
use crate::proxy::relay::{Front, RequestBody, Sender, call};
use crate::proxy::upstream;

/// The longest request that is looked for in a cassette.
const MAX_REQUEST: usize = 64 << 20;

pub(super) async fn serve(
    stream: UnixStream,
    clients: Arc<ReplayClients>,
    graceful: CancellationToken,
    abrupt: CancellationToken,
) {
    let closes = abrupt.child_token();
    let service = {
        let closes = closes.clone();
        hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(request, Arc::clone(&clients), closes.clone())
        })
    };
    let (outlet, fullness) = Outlet::new(stream);
    let connection = server().serve_connection(TokioIo::new(outlet), service);
    let drained = CancellationToken::new();
    run_until_ended((connection, fullness), &closes, &graceful, &drained).await;
}

async fn answer(
    request: Request<Incoming>,
    clients: Arc<ReplayClients>,
    closes: CancellationToken,
) -> Result<Response<AnswerBody>, BoxError> {
    let (head, body) = request.into_parts();
    let body = RequestBody::new(body);
    let next = |head, body, closes| from_cassette(head, body, &clients.replayer, closes);
    match &clients.calls {
        Some(calls) => calls.pass(head, body, closes, next).await,
        None => next(head, body, closes).await,
    }
}

async fn from_cassette(
    head: request::Parts,
    mut body: RequestBody,
    replayer: &Replayer,
    closes: CancellationToken,
) -> Result<Response<AnswerBody>, BoxError> {
    let began = Instant::now();
    let method = head.uri.path().to_owned();
    let asked = match Reader::default().read(&method, &mut body, replayer).await {
        Ok(asked) => asked,
        Err(error) => return Err(error),
    };
    if let Some(script) = asked.script {
        let output = output(&method, &asked.bytes);
        let playing = Playing {
            script,
            began,
            speed: replayer.settings.speed,
            output,
            closes,
            going: TaskTracker::new(),
        };
        let answer = playing.answer().await?;
        return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
    }
    let why = replayer.calls.explain(&method, &asked.messages);
    replayer.missed(&why);
    let Some(upstream) = &replayer.settings.on_miss else {
        let status = Status::failed_precondition(format!("not in the cassette: {why}"));
        let answer = status.into_http::<()>();
        return Ok(answer.map(|()| PlayBody::empty().map_err(Into::into).boxed_unsync()));
    };
    let front = Front {
        data: asked.bytes.into(),
        trailers: asked.trailers,
    };
    pass_on(head, front, body, upstream, closes).await
}

/// Where the client wants the output of an export, and whether it may replace what is there.
fn output(method: &str, request: &[u8]) -> Option<(PathBuf, bool)> {
    let paths = RequestPaths::of(method, request)?;
    Some((paths.output?, paths.overwrite))
}

/// Has a daemon answer what is not recorded.
async fn pass_on(
    head: request::Parts,
    front: Front,
    mut rest: RequestBody,
    upstream: &std::path::Path,
    closes: CancellationToken,
) -> Result<Response<AnswerBody>, BoxError> {
    let (sender, connection) = match upstream::connect(upstream).await {
        Ok(connected) => connected,
        Err(error) => {
            let answer = upstream::unreachable(upstream, &error).into_http::<()>();
            return Ok(answer.map(|()| PlayBody::empty().map_err(Into::into).boxed_unsync()));
        }
    };
    tokio::spawn(connection);
    rest.put_back(front);
    let answer = call(head, rest, Sender::new(sender), None, closes).await?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// A request as far as it was read.
#[derive(Default)]
struct Reader {
    messages: Vec<Asked>,
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    script: Option<Arc<Script>>,
}

impl Reader {
    /// Reads until a recorded call answers, or to the end.
    async fn read(
        mut self,
        method: &str,
        body: &mut RequestBody,
        replayer: &Replayer,
    ) -> Result<Self, BoxError> {
        let mut splitter = Splitter::new(false);
        let mut long = Vec::new();
        while let Some(frame) = next(body).await {
            let data = match frame?.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok();
                    continue;
                }
            };
            self.bytes.extend_from_slice(&data);
            if self.bytes.len() > MAX_REQUEST {
                // Without an answer; longer than any that was recorded.
                return Ok(self);
            }
            let mut messages = Vec::new();
            splitter.push(&data, &mut |part| {
                match part {
                    Part::Begin { .. } => {}
                    Part::Content(bytes) => long.extend_from_slice(bytes),
                    Part::Frame(frame) => {
                        let rest = std::mem::take(&mut long);
                        messages.push([frame.head, rest].concat());
                    }
                }
                Ok(())
            })?;
            for message in messages {
                self.messages.push(Asked::new(method, message));
                self.script = replayer.calls.take(method, &self.messages);
                if self.script.is_some() {
                    return Ok(self);
                }
            }
        }
        if self.messages.is_empty() {
            self.script = replayer.calls.take(method, &self.messages);
        }
        Ok(self)
    }
}

async fn next(body: &mut RequestBody) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|context: &mut Context<'_>| -> Poll<_> {
        Pin::new(&mut *body).poll_frame(context)
    })
    .await
}
