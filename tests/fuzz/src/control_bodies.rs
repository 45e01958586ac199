//! The control API, when it is asked for arbitrary things.

use std::fs;

use arbitrary::{Arbitrary, Unstructured};
use fake_dfdaemon::{Action, FakeDfdaemon, Fault};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::stage::{directory, runtime, within_time};
use crate::{Rarely, Target, series};

/// What can be asked; what stands in braces is filled in.
const ROUTES: [(&str, &str); 23] = [
    ("GET", "/health"),
    ("GET", "/openapi.json"),
    ("GET", "/hosts"),
    ("POST", "/hosts/{}/stop"),
    ("POST", "/hosts/{}/start"),
    ("POST", "/hosts/{}/leave"),
    ("GET", "/tasks"),
    ("GET", "/tasks/{}"),
    ("DELETE", "/tasks/{}"),
    ("GET", "/clock"),
    ("POST", "/clock"),
    ("POST", "/settle"),
    ("POST", "/gc"),
    ("GET", "/faults"),
    ("POST", "/faults"),
    ("DELETE", "/faults"),
    ("DELETE", "/faults/{}"),
    ("GET", "/journal"),
    ("GET", "/journal?{}"),
    ("DELETE", "/journal"),
    ("POST", "/snapshots/{}"),
    ("POST", "/snapshots/{}/restore"),
    ("POST", "/reset"),
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
    route: u8,
    /// Which of the things that fit is filled in.
    argument: u8,
    clock: Clock,
    fault: Spec,
    odd: Rarely<Odd>,
}

/// How it differs from what can be asked.
#[derive(Debug, Arbitrary)]
enum Odd {
    Method(Method),
    Argument(Vec<u8>),
    /// In place of the whole path.
    Path(Vec<u8>),
    Body(Vec<u8>),
    /// Longer than it says, or shorter.
    Lying(Vec<u8>, u8),
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
enum Clock {
    Advance(u16),
    Set(u32),
    AnyAdvance(String),
    AnySet(i64),
}

/// A fault, most of whose parts go together.
#[derive(Debug, Arbitrary)]
struct Spec {
    on: u8,
    narrowed: u8,
    action: u8,
    number: u8,
}

impl Target for ControlBodies {
    const NAME: &str = "control_bodies";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let requests: Vec<Request> = series(&mut Unstructured::new(input), MAX_REQUESTS);
        self.inputs += 1;
        if self.inputs.is_multiple_of(WORN_OUT) {
            self.fake = Fake::new();
        }
        let fake = &self.fake;
        within_time(&fake.runtime, async {
            let mut granted = false;
            for request in &requests {
                granted |= fake.ask(request).await;
            }
            for clearing in ["DELETE /faults", "DELETE /journal", "POST /reset"] {
                let (method, path) = clearing.split_once(' ').unwrap();
                let (code, body) = fake
                    .send(method.as_bytes(), path.as_bytes(), b"", None)
                    .await
                    .unwrap();
                assert_eq!(code, 200, "{clearing}: {body}");
            }
            granted
        })
    }
}

#[derive(Debug)]
struct Fake {
    daemon: FakeDfdaemon,
    task: String,
    runtime: Runtime,
    _state: TempDir,
    /// A reset imports its files again.
    _preload: TempDir,
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
            _preload: preload,
        }
    }

    /// Whether it was granted, and changed something.
    async fn ask(&self, request: &Request) -> bool {
        let (method, pattern) = ROUTES[usize::from(request.route) % ROUTES.len()];
        let fill = |word: &[u8]| -> Vec<u8> {
            let (front, back) = pattern.split_once("{}").unwrap_or((pattern, ""));
            [front.as_bytes(), word, back.as_bytes()].concat()
        };
        let path = fill(self.argument(pattern, request.argument).as_bytes());
        let body = match (method, pattern) {
            ("POST", "/clock") => request.clock.body(),
            ("POST", "/faults") => request.fault.body(),
            _ => String::new(),
        };
        let body = body.into_bytes();
        let (mut known, mut plain) = (true, true);
        let (method, path, body, length) = match &request.odd.0 {
            None => (method, path, body, None),
            Some(Odd::Method(odd)) => {
                let method = match odd {
                    Method::Get => "GET",
                    Method::Post => "POST",
                    Method::Delete => "DELETE",
                    Method::Put => "PUT",
                    Method::Any(method) => {
                        known = false;
                        method.as_str()
                    }
                };
                (method, path, body, None)
            }
            Some(Odd::Argument(word)) => {
                plain = !pattern.contains("{}");
                (method, fill(if plain { b"" } else { word }), body, None)
            }
            Some(Odd::Path(path)) => {
                plain = false;
                (method, path.clone(), body, None)
            }
            Some(Odd::Body(bytes)) => (method, path, bytes.clone(), None),
            Some(Odd::Lying(bytes, length)) => {
                (method, path, bytes.clone(), Some(usize::from(*length)))
            }
        };
        let answer = self.send(method.as_bytes(), &path, &body, length).await;
        let shown = String::from_utf8_lossy(&path);
        if !(known && plain && length.is_none()) {
            // Whatever is no HTTP may be refused in any way, but for a failure.
            assert!(
                answer.is_none_or(|(code, _)| code < 500),
                "{method} {shown}"
            );
            return false;
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
        code == 200 && method != "GET"
    }

    /// Something that fits into a path.
    fn argument(&self, pattern: &str, number: u8) -> String {
        if pattern.starts_with("/hosts") {
            format!("host-{}", number % 4)
        } else if pattern.starts_with("/tasks") {
            [&self.task, "7"][usize::from(number % 8 == 7)].to_owned()
        } else if pattern.starts_with("/snapshots") {
            ["a", "b"][usize::from(number % 2)].to_owned()
        } else if pattern.starts_with("/journal") {
            let filters = [
                "rpc=replicate",
                "status=OK",
                "host=host-1",
                "task=7",
                "rpc=x",
            ];
            filters[usize::from(number) % filters.len()].to_owned()
        } else {
            (number % 8).to_string()
        }
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

impl Clock {
    fn body(&self) -> String {
        let body = match self {
            Self::Advance(minutes) => json!({"advance": format!("{minutes}m")}),
            Self::Set(to) => json!({"set": time((*to).into())}),
            Self::AnyAdvance(by) => json!({"advance": by}),
            Self::AnySet(to) => json!({"set": time(*to)}),
        };
        body.to_string()
    }
}

fn time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

impl Spec {
    fn body(&self) -> String {
        let on = [
            "import",
            "export",
            "stat",
            "stat-local",
            "list",
            "update",
            "delete",
            "replicate",
            "health",
            "*",
        ];
        let on = on[usize::from(self.on) % on.len()];
        let number = self.number;
        let narrowed = match self.narrowed % 10 {
            0 => format!("@call={number}"),
            1 => format!("@times={number}"),
            2 => format!("@host=host-{}", number % 4),
            3 => format!("@probability=0.5,times={number}"),
            4 => "@phase=after".to_owned(),
            5 => format!("@piece={number}"),
            6 => format!("@bytes={number}"),
            _ => String::new(),
        };
        let names: Vec<_> = Action::names().collect();
        let action = names[usize::from(self.action) % names.len()];
        let argument = match action {
            "error" => "=UNAVAILABLE:gone".to_owned(),
            "delay" => format!("={number}s"),
            "bandwidth" => format!("={number}KiB"),
            _ => String::new(),
        };
        let spec = format!("{on}{narrowed}:{action}{argument}");
        let fault = spec.parse::<Fault>();
        fault.map_or_else(|_| spec, |fault| fault.to_json())
    }
}
