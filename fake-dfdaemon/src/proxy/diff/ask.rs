//! Sends one recorded call to a daemon, and returns the answer in the form of a recorded one.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::SendRequest;
use jiff::Timestamp;

use crate::proxy::cassette::content::ContentStore;
use crate::proxy::cassette::{Call, End, Metadata};
use crate::proxy::record::{Before, Begin, Data, FileRole, RecordSettings, Recording, Sinks, look};
use crate::proxy::relay::reset_reason;
use crate::proxy::tap::Ended;

/// How long a call may take, beside a multiple of what it took when it was recorded.
const AT_LEAST: Duration = Duration::from_secs(30);
const TIMES: f64 = 10.0;

/// What is asked.
pub(super) struct Asking<'a> {
    pub(super) recorded: &'a Call,
    pub(super) requests: Vec<Vec<u8>>,
    /// Where the output goes.
    pub(super) output: Option<PathBuf>,
    /// What was there before.
    pub(super) before: Before,
    pub(super) content: ContentStore,
}

/// The answer, in the form of a recorded call. One that does not end in time is
/// [`End::ClientGone`]: it was given up.
pub(super) async fn ask(asking: Asking<'_>, mut sender: SendRequest<Full<Bytes>>) -> Call {
    let settings = RecordSettings {
        metadata: names(asking.recorded),
        ..RecordSettings::default()
    };
    let begin = Begin {
        at: Timestamp::now(),
        method: asking.recorded.method.clone(),
        headers: HeaderMap::new(),
    };
    let mut recording = Recording::begin(
        asking.recorded.call,
        begin,
        Sinks::Here(asking.content.clone()),
        &settings,
    );
    let limit = Duration::try_from_secs_f64(asking.recorded.answer.end_ms / 1e3 * TIMES);
    let limit = limit.unwrap_or(AT_LEAST).max(AT_LEAST);
    let answered = answer(&asking, &mut sender, &mut recording, &settings);
    let ended = tokio::time::timeout(limit, answered).await.ok();
    // It writes nothing, and so does not fail.
    let _ = recording.ended(Duration::ZERO, ended);
    if let Some(output) = asking.output {
        let (content, before) = (asking.content, asking.before);
        let seen = tokio::task::spawn_blocking(move || {
            let found = look(&output).filter(|found| found.is_new(before))?;
            found.read(&content).ok()
        });
        recording.file(FileRole::Output, seen.await.ok().flatten());
    }
    recording.finish(&settings).0
}

/// The names of the metadata that was kept of the answer.
fn names(recorded: &Call) -> Vec<String> {
    let mut kept: Vec<&Metadata> = vec![&recorded.answer.metadata];
    if let End::Status(status) = &recorded.answer.end {
        kept.push(&status.metadata);
    }
    kept.into_iter().flat_map(Metadata::keys).cloned().collect()
}

async fn answer(
    asking: &Asking<'_>,
    sender: &mut SendRequest<Full<Bytes>>,
    recording: &mut Recording,
    settings: &RecordSettings,
) -> Ended {
    let began = Instant::now();
    let Ok(request) = request(asking) else {
        return Ended::Broken;
    };
    let broke = |error: &hyper::Error| reset_reason(error).map_or(Ended::Broken, Ended::Reset);
    let answer = match sender.send_request(request).await {
        Ok(answer) => answer,
        Err(error) => return broke(&error),
    };
    let (head, mut body) = answer.into_parts();
    let is_whole = body.is_end_stream();
    let status = head.status.as_u16();
    recording.head(began.elapsed(), status, &head.headers, is_whole, settings);
    while let Some(frame) = next(&mut body).await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return broke(&error),
        };
        match frame.into_data() {
            // It writes nothing, and so does not fail.
            Ok(data) => drop(recording.response_data(began.elapsed(), &Data::from(data))),
            Err(frame) => {
                if let Some(trailers) = frame.trailers_ref() {
                    recording.trailers(trailers, settings);
                }
            }
        }
    }
    Ended::Complete
}

async fn next(body: &mut Incoming) -> Option<Result<hyper::body::Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

fn request(asking: &Asking<'_>) -> http::Result<Request<Full<Bytes>>> {
    let mut bytes = Vec::new();
    for (message, recorded) in asking.requests.iter().zip(&asking.recorded.requests) {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        bytes.push(u8::from(recorded.compressed));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(message);
    }
    let recorded = asking.recorded;
    let mut request = Request::post(format!("http://localhost{}", recorded.method))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(bytes))?;
    if let Some(deadline) = &recorded.deadline {
        let deadline = HeaderValue::from_str(deadline)?;
        request.headers_mut().insert("grpc-timeout", deadline);
    }
    for (name, values) in &recorded.metadata {
        let name: http::HeaderName = name.parse()?;
        for value in values {
            let value = HeaderValue::from_str(value)?;
            request.headers_mut().append(name.clone(), value);
        }
    }
    Ok(request)
}
