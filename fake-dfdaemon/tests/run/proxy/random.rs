//! Random calls: neither side can tell whether a proxy stands between them, and a cassette answers
//! as the daemon did.

mod calls;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fake_dfdaemon::{Recorder, Replay, block_on};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::net::UnixListener;
use tokio::sync::watch;

use self::calls::{Answer, Call, Ending, NAMES, PATHS, call};
use super::raw::{connect, proxy, read};
use crate::support::process::Process;

/// The header that numbers calls, so that the daemon knows what to do.
const CALL: &str = "x-call";

/// What one side saw: the head, the bytes, how it ended.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    head: String,
    metadata: HeaderMap,
    bytes: Vec<u8>,
    end: End,
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    Trailers(Option<HeaderMap>),
    Reset(Option<Reason>),
}

fn headers(metadata: &[(&'static str, String)]) -> HeaderMap {
    let pairs = metadata.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

fn status(code: u32, text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", code.into());
    if !text.is_empty() {
        headers.insert("grpc-message", HeaderValue::from_str(text).unwrap());
    }
    headers
}

async fn seen(head: String, metadata: HeaderMap, body: RecvStream) -> Seen {
    let (bytes, end) = match read(body).await {
        Ok((bytes, trailers)) => (bytes, End::Trailers(trailers)),
        Err(error) => (Vec::new(), End::Reset(error.reason())),
    };
    Seen {
        head,
        metadata,
        bytes,
        end,
    }
}

/// What was seen of a call, and why it was reset, if it was.
type SeenUntil = (Seen, Option<Reason>);

/// A daemon that does what calls say, and what it saw of each.
struct Scripted {
    calls: Arc<Vec<Call>>,
    seen: Arc<watch::Sender<BTreeMap<usize, SeenUntil>>>,
}

impl Scripted {
    fn start(listener: UnixListener, calls: Vec<Call>) -> (Self, tokio::task::JoinHandle<()>) {
        let scripted = Self {
            calls: Arc::new(calls),
            seen: Arc::default(),
        };
        let (calls, all_seen) = (Arc::clone(&scripted.calls), Arc::clone(&scripted.seen));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (calls, all_seen) = (Arc::clone(&calls), Arc::clone(&all_seen));
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let number: usize =
                            request.headers()[CALL].to_str().unwrap().parse().unwrap();
                        let answer = calls[number].answer.clone();
                        let all_seen = Arc::clone(&all_seen);
                        tokio::spawn(async move {
                            let (head, body) = request.into_parts();
                            let line = format!("{} {}", head.method, head.uri);
                            let seen = seen(line, head.headers, body).await;
                            let cancelled = answered(answer, respond).await;
                            let seen = (seen, cancelled);
                            all_seen.send_modify(|all| _ = all.insert(number, seen));
                        });
                    }
                });
            }
        });
        (scripted, serving)
    }
}

/// Answers; what the client cancelled it with, if it was to.
async fn answered(answer: Answer, mut respond: SendResponse<Bytes>) -> Option<Reason> {
    let head = |metadata: HeaderMap| {
        let mut head = Response::builder().body(()).unwrap();
        *head.headers_mut() = metadata;
        let grpc = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert("content-type", grpc);
        head
    };
    let (metadata, bytes, ending) = match answer {
        Answer::Whole(Ending::Status(code, text)) => {
            respond
                .send_response(head(status(code, &text)), true)
                .unwrap();
            return None;
        }
        Answer::Reset(reason) => {
            respond.send_reset(reason.into());
            return None;
        }
        Answer::Stream(metadata, bytes, ending) => (metadata, bytes, ending),
        Answer::Whole(_) => unreachable!("a status alone"),
    };
    let mut body = respond
        .send_response(head(headers(&metadata)), false)
        .unwrap();
    body.send_data(bytes.into(), false).unwrap();
    match ending {
        Ending::Status(code, text) => {
            body.send_trailers(status(code, &text)).unwrap();
            None
        }
        Ending::Reset(reason) => {
            body.send_reset(reason.into());
            None
        }
        Ending::Cancelled => {
            let reset = std::future::poll_fn(|context| body.poll_reset(context));
            Some(reset.await.unwrap())
        }
    }
}

/// Does these calls on one connection to `socket`, one after the other: what the client saw.
async fn ask(socket: &Path, calls: &[Call], numbers: impl Iterator<Item = usize>) -> Vec<Seen> {
    let mut client = connect(socket).await;
    let mut all = Vec::new();
    for number in numbers {
        let call = &calls[number];
        client = client.ready().await.unwrap();
        let mut request = Request::post(format!("http://localhost{}", call.path))
            .body(())
            .unwrap();
        *request.headers_mut() = headers(&call.metadata);
        request.headers_mut().insert(CALL, number.into());
        let (answer, mut send) = client.send_request(request, false).unwrap();
        send.send_data(call.asked.clone().into(), !call.has_trailers)
            .unwrap();
        if call.has_trailers {
            send.send_trailers(headers(&[("x-client", "trails".to_owned())]))
                .unwrap();
        }
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => {
                all.push(Seen {
                    head: String::new(),
                    metadata: HeaderMap::new(),
                    bytes: Vec::new(),
                    end: End::Reset(error.reason()),
                });
                continue;
            }
        };
        let (head, mut body) = answer.into_parts();
        let is_whole = body.is_end_stream();
        let line = format!("{} {is_whole}", head.status);
        if let Answer::Stream(_, bytes, Ending::Cancelled) = &call.answer {
            let mut got = Vec::new();
            while got.len() < bytes.len() {
                let data = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                got.extend_from_slice(&data);
            }
            send.send_reset(Reason::CANCEL);
            all.push(Seen {
                head: line,
                metadata: head.headers,
                bytes: got,
                end: End::Reset(Some(Reason::CANCEL)),
            });
            continue;
        }
        all.push(seen(line, head.headers, body).await);
    }
    all
}

/// What clients and a daemon see of these calls, by so many clients at once, each with its share.
async fn session(
    listener: UnixListener,
    socket: &Path,
    calls: &[Call],
    clients: usize,
) -> (Vec<Seen>, Vec<SeenUntil>) {
    let (scripted, serving) = Scripted::start(listener, calls.to_vec());
    let asking = (0..clients).map(|client| {
        let numbers = (0..calls.len()).filter(move |number| number % clients == client);
        ask(socket, calls, numbers)
    });
    let at_clients = futures_util::future::join_all(asking).await.concat();
    let mut seen = scripted.seen.subscribe();
    let whole = seen.wait_for(|seen| seen.len() == calls.len());
    let whole = tokio::time::timeout(testkit::wait::HANGS, whole).await;
    let at_daemon = whole.expect("the daemon sees every call").unwrap();
    let at_daemon = at_daemon.values().cloned().collect();
    serving.abort();
    (at_clients, at_daemon)
}

fn check<A>(
    cases: u32,
    calls: impl Strategy<Value = A>,
    law: impl AsyncFn(A) -> Result<(), TestCaseError>,
) where
    A: std::fmt::Debug,
{
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let law = |calls| runtime.block_on(law(calls));
    runner.run(&calls, law).unwrap();
}

fn listen(path: &Path) -> UnixListener {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).unwrap()
}

/// A replay of no call, which asks the daemon.
fn nothing_recorded(upstream: &Path) -> Replay {
    let cassette = tempfile::tempdir().unwrap();
    let recorder = Recorder::builder(upstream, cassette.path())
        .start_blocking()
        .unwrap();
    assert_eq!(block_on(recorder.stop()).unwrap(), 0);
    let replay = Replay::builder(cassette.path()).on_miss(upstream);
    replay.start_blocking().unwrap()
}

#[test]
fn random_calls_are_the_same_with_a_proxy_and_without() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, journal) = (dir.path().join("up"), dir.path().join("journal"));
    let (plain, looking) = (dir.path().join("plain"), dir.path().join("looking"));
    let _plain = Process::start(&mut proxy(&upstream, &plain));
    let mut command = proxy(&upstream, &looking);
    let _looking = Process::start(command.arg("--journal").arg(&journal));
    let missing = nothing_recorded(&upstream);
    let calls = (prop::collection::vec(call(false), 1..10), 1..5_usize);
    check(25, calls, async |(calls, clients)| {
        let direct = session(listen(&upstream), &upstream, &calls, clients).await;
        for socket in [&plain, &looking, missing.endpoint()] {
            let between = session(listen(&upstream), socket, &calls, clients).await;
            prop_assert_eq!(
                &between.0,
                &direct.0,
                "at the clients, {}",
                socket.display()
            );
            prop_assert_eq!(&between.1, &direct.1, "at the daemon, {}", socket.display());
        }
        Ok(())
    });
}

/// As it is held up on its way, at most.
#[tokio::test]
async fn a_request_that_is_longer_than_any_that_is_recorded_passes_whole() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = dir.path().join("up");
    let missing = tokio::task::spawn_blocking({
        let upstream = upstream.clone();
        move || nothing_recorded(&upstream)
    });
    let missing = missing.await.unwrap();
    let call = Call {
        path: PATHS[0],
        metadata: Vec::new(),
        asked: vec![7; (64 << 20) + 100_000],
        has_trailers: true,
        answer: Answer::Whole(Ending::Status(0, String::new())),
    };
    let (_, at_daemon) = session(
        listen(&upstream),
        missing.endpoint(),
        std::slice::from_ref(&call),
        1,
    )
    .await;
    assert!(at_daemon[0].0.bytes == call.asked, "other bytes came");
}

/// A cassette holds the words of a status, not how they were encoded.
fn decoded(mut seen: Vec<Seen>) -> Vec<Seen> {
    for seen in &mut seen {
        let trailers = match &mut seen.end {
            End::Trailers(trailers) => trailers.as_mut(),
            End::Reset(_) => None,
        };
        for headers in [Some(&mut seen.metadata), trailers].into_iter().flatten() {
            if let Some(message) = headers.get_mut("grpc-message") {
                let words = percent_encoding::percent_decode(message.as_bytes());
                let words: Vec<u8> = words.collect();
                *message = HeaderValue::from_bytes(&words).unwrap();
            }
        }
    }
    seen
}

#[test]
fn random_calls_are_answered_from_a_cassette_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = dir.path().join("up");
    let calls = prop::collection::vec(call(true), 1..10);
    check(12, calls, async |calls| {
        let cassette = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::builder(&upstream, cassette.path());
        for name in NAMES {
            recorder = recorder.keep_metadata(name);
        }
        let recorder = recorder.start().await.unwrap();
        let recorded = session(listen(&upstream), recorder.endpoint(), &calls, 1)
            .await
            .0;
        prop_assert_eq!(recorder.stop().await.unwrap(), calls.len() as u64);
        let replay = Replay::builder(cassette.path()).start().await.unwrap();
        let replayed = ask(replay.endpoint(), &calls, 0..calls.len()).await;
        prop_assert_eq!(decoded(replayed), decoded(recorded));
        prop_assert_eq!(replay.misses(), 0);
        Ok(())
    });
}
