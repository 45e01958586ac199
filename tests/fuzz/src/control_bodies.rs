//! The control API, when it is asked for arbitrary things.

use std::fs;

use arbitrary::{Arbitrary, Unstructured};
use fake_dfdaemon::FakeDfdaemon;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::stage::{directory, runtime, within_time};
use crate::{Target, series};

/// The paths that there are; what stands in braces may be anything.
const PATHS: [&str; 18] = [
    "/health",
    "/openapi.json",
    "/hosts",
    "/hosts/{}/stop",
    "/hosts/{}/start",
    "/hosts/{}/leave",
    "/tasks",
    "/tasks/{}",
    "/clock",
    "/settle",
    "/gc",
    "/faults",
    "/faults/{}",
    "/journal",
    "/journal?{}",
    "/snapshots/{}",
    "/snapshots/{}/restore",
    "/reset",
];

/// So many requests make an input at most.
const MAX_REQUESTS: usize = 12;

/// Worlds are made anew after so many inputs: snapshots outlive a reset.
const WORN_OUT: usize = 500;

/// Each input is a series of requests to a fake with a task.
#[derive(Debug)]
pub struct ControlBodies {
    fake: Fake,
    inputs: usize,
}

impl Default for ControlBodies {
    fn default() -> Self {
        Self {
            fake: Fake::new(),
            inputs: 0,
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Request {
    method: Method,
    path: u8,
    argument: Argument,
    body: Body,
}

#[derive(Debug, Arbitrary)]
enum Method {
    Get,
    Post,
    Delete,
    Put,
    Any(String),
}

#[derive(Debug, Arbitrary)]
enum Argument {
    Host(u8),
    Number(u8),
    Task,
    Word(u8),
    Any(Vec<u8>),
    /// In place of the whole path.
    Path(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Body {
    None,
    Advance(String),
    Set(i64),
    Fault(String),
    Any(Vec<u8>),
    /// Longer than it says, or shorter.
    Lying(Vec<u8>, u8),
}

impl Target for ControlBodies {
    const NAME: &str = "control_bodies";

    fn check(&mut self, input: &[u8]) {
        let requests: Vec<Request> = series(&mut Unstructured::new(input), MAX_REQUESTS);
        self.inputs += 1;
        if self.inputs.is_multiple_of(WORN_OUT) {
            self.fake = Fake::new();
        }
        let fake = &self.fake;
        within_time(&fake.runtime, async {
            for request in &requests {
                fake.ask(request).await;
            }
            for clearing in ["DELETE /faults", "DELETE /journal", "POST /reset"] {
                let (method, path) = clearing.split_once(' ').unwrap();
                let (code, body) = fake
                    .send(method.as_bytes(), path.as_bytes(), b"", None)
                    .await
                    .unwrap();
                assert_eq!(code, 200, "{clearing}: {body}");
            }
        });
    }
}

#[derive(Debug)]
struct Fake {
    daemon: FakeDfdaemon,
    task: String,
    runtime: Runtime,
    _state: TempDir,
}

impl Fake {
    fn new() -> Self {
        let runtime = runtime();
        let state = directory();
        let preload = directory();
        fs::write(preload.path().join("file"), "This is a test file").unwrap();
        let builder = FakeDfdaemon::builder().hosts(3).manual_clock();
        let builder = builder.state_dir(state.path()).preload(preload.path());
        let daemon = runtime.block_on(builder.start()).unwrap();
        Self {
            task: serde_json::to_value(daemon.preloaded()).unwrap()[0]["task_id"]
                .as_str()
                .unwrap()
                .to_owned(),
            daemon,
            runtime,
            _state: state,
        }
    }

    async fn ask(&self, request: &Request) {
        let Request {
            method,
            path,
            argument,
            body,
        } = request;
        let (method, known) = match method {
            Method::Get => ("GET", true),
            Method::Post => ("POST", true),
            Method::Delete => ("DELETE", true),
            Method::Put => ("PUT", true),
            Method::Any(method) => (method.as_str(), false),
        };
        let pattern = PATHS[usize::from(*path) % PATHS.len()];
        let fill = |word: &[u8]| -> Vec<u8> {
            let (front, back) = pattern.split_once("{}").unwrap_or((pattern, ""));
            [front.as_bytes(), word, back.as_bytes()].concat()
        };
        let (path, plain) = match argument {
            Argument::Host(number) => (fill(format!("host-{}", number % 4).as_bytes()), true),
            Argument::Number(number) => (fill(number.to_string().as_bytes()), true),
            Argument::Task => (fill(self.task.as_bytes()), true),
            Argument::Word(number) => (fill([b"a", b"b"][usize::from(number % 2)]), true),
            Argument::Any(word) => (fill(word), false),
            Argument::Path(path) => (path.clone(), false),
        };
        let (body, length) = match body {
            Body::None => (Vec::new(), None),
            Body::Advance(by) => (serde_json::json!({"advance": by}).to_string().into(), None),
            Body::Set(to) => {
                let to = jiff::Timestamp::from_second(*to)
                    .map_or_else(|_| to.to_string(), |to| to.to_string());
                (serde_json::json!({"set": to}).to_string().into(), None)
            }
            Body::Fault(spec) => {
                let fault = spec.parse::<fake_dfdaemon::Fault>();
                (
                    fault
                        .map_or_else(|_| spec.clone(), |fault| fault.to_json().to_string())
                        .into(),
                    None,
                )
            }
            Body::Any(bytes) => (bytes.clone(), None),
            Body::Lying(bytes, length) => (bytes.clone(), Some(usize::from(*length))),
        };
        let answer = self.send(method.as_bytes(), &path, &body, length).await;
        let shown = String::from_utf8_lossy(&path);
        if !(known && plain && length.is_none()) {
            // Whatever is no HTTP may be refused in any way, but for a failure.
            assert!(
                answer.is_none_or(|(code, _)| code < 500),
                "{method} {shown}"
            );
            return;
        }
        let (code, body) = answer.expect("no answer");
        assert!(
            [200, 400, 404, 405, 409].contains(&code),
            "{method} {shown}: {code} {body}"
        );
        let value: Value = serde_json::from_str(&body).expect(&body);
        let message = &value["error"]["message"];
        assert_eq!(
            code != 200,
            message.as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }

    /// Sends a request on a connection of its own; none if there is no answer.
    async fn send(
        &self,
        method: &[u8],
        path: &[u8],
        body: &[u8],
        length: Option<usize>,
    ) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(self.daemon.control()).await.unwrap();
        let length = length.unwrap_or(body.len());
        let rest = format!(
            " HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        let request = [method, b" ", path, rest.as_bytes(), body].concat();
        let _ = stream.write_all(&request).await;
        if length > body.len() {
            // What is missing will not come: a half-closed connection is one that is given up.
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().unwrap();
        Some((code, body.to_owned()))
    }
}
