//! `ctl`: the control API from a shell, in the words of its paths.
//!
//! What was typed becomes a request here; [`table`](super::table) makes lines to read of the answer.
//! Printing is the program's business.

use std::fmt::Display;
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::call::faults::{Fault, FaultError};

/// What is escaped in a part of a path or a query: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

#[derive(Args, Debug)]
pub(crate) struct Ctl {
    /// The daemon's control socket
    #[arg(
        long,
        value_name = "PATH",
        env = "FAKE_DFDAEMON_CONTROL",
        global = true
    )]
    control: Option<PathBuf>,

    /// How to print the answer
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    pub(crate) format: Format,

    #[command(subcommand)]
    word: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines to read
    Text,
    /// One line of JSON
    Json,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// What the daemon is
    Health,
    /// Show the hosts, or stop, start or take one out
    Hosts {
        #[command(subcommand)]
        word: Option<HostWord>,
    },
    /// Show the tasks or one of them, or remove one everywhere
    #[command(args_conflicts_with_subcommands = true)]
    Tasks {
        /// The task to show
        id: Option<String>,
        #[command(subcommand)]
        word: Option<TaskWord>,
    },
    /// Show the time, or move manual time
    Clock {
        #[command(subcommand)]
        word: Option<ClockWord>,
    },
    /// Wait until all replication, collection and eviction that is due has ended
    Settle,
    /// Collect expired tasks now
    Gc,
    /// Show the faults, add or remove some
    Faults {
        #[command(subcommand)]
        word: Option<FaultWord>,
    },
    /// Show the calls that have ended or those that run, count them, wait for some, or forget them
    #[command(args_conflicts_with_subcommands = true)]
    Journal {
        #[command(flatten)]
        which: Box<Which>,
        /// At most so many of them
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Those that have not ended
        #[arg(long)]
        running: bool,
        /// Show each call as it ends, from now on
        #[arg(long, conflicts_with_all = ["limit", "running", "after"])]
        follow: bool,
        #[command(subcommand)]
        word: Option<JournalWord>,
    },
    /// Show the snapshots; keep tasks, hosts and clock under a name, bring them back, or remove one
    Snapshots {
        #[command(subcommand)]
        word: Option<SnapshotWord>,
    },
    /// Print the address of the page that shows the daemon, and open it where there is a desktop
    Open,
    /// Go back to how it was after the start; snapshots stay
    Reset,
}

#[derive(Debug, Subcommand)]
enum HostWord {
    /// Close its sockets; its replicas still count
    Stop { name: String },
    /// Undo a stop or a leave
    Start { name: String },
    /// Stop it and take it out of the cluster
    Leave { name: String },
}

#[derive(Debug, Subcommand)]
enum TaskWord {
    /// Remove a task everywhere
    Delete { id: String },
}

#[derive(Debug, Subcommand)]
enum ClockWord {
    /// Move time forward, such as by `2h`
    Advance {
        // A step back is the daemon's to refuse, in words.
        #[arg(allow_hyphen_values = true)]
        by: String,
    },
    /// Set the time, RFC 3339
    Set { to: String },
}

#[derive(Debug, Subcommand)]
enum FaultWord {
    /// Add a fault: `ON[@KEY=VALUE,…]:DO[=ARG]`, or JSON
    Add { spec: String },
    /// Remove a fault
    Delete { id: String },
    /// Remove every fault
    Clear,
}

/// Which calls are meant.
#[derive(Args, Debug)]
struct Which {
    /// Only calls of this kind, such as `import`
    #[arg(long)]
    rpc: Option<String>,
    /// Only calls that ended so, such as `NOT_FOUND`
    #[arg(long)]
    status: Option<String>,
    /// Only calls for this task
    #[arg(long)]
    task: Option<String>,
    /// Only calls to this host
    #[arg(long)]
    host: Option<String>,
    /// Only calls with a number above this one
    #[arg(long, value_name = "CALL")]
    after: Option<u64>,
}

impl Which {
    fn fields(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let fields = [
            ("rpc", text(&self.rpc)),
            ("status", text(&self.status)),
            ("task", text(&self.task)),
            ("host", text(&self.host)),
            ("after", self.after.map(Value::from)),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Which {
    /// Whether a call is one of them.
    fn matches(&self, call: &Value) -> bool {
        let is = |wanted: &Option<String>, place: &str| {
            let got = call.pointer(place).and_then(Value::as_str);
            wanted.is_none() || wanted.as_deref() == got
        };
        is(&self.rpc, "/rpc")
            && is(&self.status, "/status/code")
            && is(&self.task, "/request/task_id")
            && is(&self.host, "/host")
    }
}

#[derive(Debug, Subcommand)]
enum JournalWord {
    /// How many calls have ended
    Count {
        #[command(flatten)]
        which: Box<Which>,
    },
    /// Wait until calls have ended, and show them
    Wait {
        #[command(flatten)]
        which: Box<Which>,
        /// How many [default: 1]
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// How long at most [default: 30s]
        #[arg(long, value_name = "DURATION")]
        timeout: Option<String>,
    },
    /// Forget the calls
    Clear,
}

#[derive(Debug, Subcommand)]
enum SnapshotWord {
    /// Keep the state under a name
    Take { name: String },
    /// Bring the state back
    Restore { name: String },
    /// Remove a snapshot
    Delete { name: String },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    #[error("which daemon? give its control socket with --control or FAKE_DFDAEMON_CONTROL")]
    NoSocket,
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("no fake-dfdaemon answers at {}", path.display())]
    Unreachable {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("what answers at {} is no fake-dfdaemon: {source}", path.display())]
    NotJson {
        path: PathBuf,
        source: serde_json::Error,
    },
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
    #[error("the page has no address: start the daemon with --control-tcp 127.0.0.1:0")]
    NoPage,
    #[error("{} calls were not shown: whoever reads this is too slow", count.map_or("some".to_owned(), |n| n.to_string()))]
    Missed { count: Option<u64> },
}

/// A request of the API.
#[derive(Debug, PartialEq)]
struct Request {
    method: http::Method,
    path: String,
    body: Value,
}

impl Ctl {
    /// Asks the daemon.
    pub(crate) async fn ask(&self) -> Result<Value, CtlError> {
        self.send(self.word.request()?).await
    }

    fn socket(&self) -> Result<PathBuf, CtlError> {
        self.control.clone().ok_or(CtlError::NoSocket)
    }

    async fn send(&self, request: Request) -> Result<Value, CtlError> {
        let path = self.socket()?;
        let (status, body) =
            send(&path, request)
                .await
                .map_err(|source| CtlError::Unreachable {
                    path: path.clone(),
                    source,
                })?;
        let answer: Result<Value, _> = serde_json::from_slice(&body);
        let answer = answer.map_err(|source| CtlError::NotJson { path, source })?;
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        Err(CtlError::Refused(
            message.map_or_else(|| status.to_string(), str::to_owned),
        ))
    }
}

/// What is to be done with the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Once,
    /// Each call as it ends.
    Follow,
    /// The page's address.
    Open,
}

impl Ctl {
    pub(crate) fn shown(&self) -> Shown {
        match &self.word {
            Word::Journal { follow: true, .. } => Shown::Follow,
            Word::Open => Shown::Open,
            _ => Shown::Once,
        }
    }

    /// The page's address.
    pub(crate) async fn page(&self) -> Result<String, CtlError> {
        let health = self.ask().await?;
        let address = health.get("control_tcp").and_then(Value::as_str);
        let address = address.ok_or(CtlError::NoPage)?;
        Ok(format!("http://{address}/"))
    }

    /// Shows each call that is asked for as it ends, until the daemon does.
    pub(crate) async fn follow<E: From<CtlError>>(
        &self,
        mut show: impl FnMut(&Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let Word::Journal { which, .. } = &self.word else {
            return Ok(());
        };
        // What no call can match is refused, not waited for.
        let count = get(&format!("/journal/count?{}", query(which.fields())));
        self.send(count).await?;
        let path = self.socket()?;
        let unreachable = |source| CtlError::Unreachable {
            path: path.clone(),
            source,
        };
        let response = begin(&path, get("/events?kinds=call-ended")).await;
        let mut body = response.map_err(unreachable)?.into_body();
        let mut lines = Vec::new();
        let mut is_missed = false;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| unreachable(source.into()))?;
            lines.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let rest = lines.split_off(end + 1);
                let line = std::mem::replace(&mut lines, rest);
                is_missed |= line.starts_with(b"event: missed");
                let Some(data) = line.strip_prefix(b"data: ") else {
                    continue;
                };
                let data: Value =
                    serde_json::from_slice(data).map_err(|source| CtlError::NotJson {
                        path: path.clone(),
                        source,
                    })?;
                if is_missed {
                    let count = data.get("missed").and_then(Value::as_u64);
                    return Err(CtlError::Missed { count }.into());
                }
                if which.matches(&data) {
                    show(&data)?;
                }
            }
        }
        Ok(())
    }
}

impl Word {
    fn request(&self) -> Result<Request, CtlError> {
        let post = |path: &str, body| request(http::Method::POST, path, body);
        let delete = |path: &str| request(http::Method::DELETE, path, Value::Null);
        Ok(match self {
            Self::Health => get("/health"),
            Self::Hosts { word: None } => get("/hosts"),
            Self::Hosts { word: Some(word) } => {
                let (name, verb) = match word {
                    HostWord::Stop { name } => (name, "stop"),
                    HostWord::Start { name } => (name, "start"),
                    HostWord::Leave { name } => (name, "leave"),
                };
                post(&format!("/hosts/{}/{verb}", escaped(name)), json!({}))
            }
            Self::Tasks {
                word: Some(TaskWord::Delete { id }),
                ..
            } => delete(&format!("/tasks/{}", escaped(id))),
            Self::Tasks { id: Some(id), .. } => get(&format!("/tasks/{}", escaped(id))),
            Self::Tasks { .. } => get("/tasks"),
            Self::Clock { word: None } => get("/clock"),
            Self::Clock {
                word: Some(ClockWord::Advance { by }),
            } => post("/clock", json!({"advance": by})),
            Self::Clock {
                word: Some(ClockWord::Set { to }),
            } => post("/clock", json!({"set": to})),
            Self::Settle => post("/settle", json!({})),
            Self::Gc => post("/gc", json!({})),
            Self::Faults { word: None } => get("/faults"),
            Self::Faults {
                word: Some(FaultWord::Add { spec }),
            } => post("/faults", spec.parse::<Fault>()?.to_json()),
            Self::Faults {
                word: Some(FaultWord::Delete { id }),
            } => delete(&format!("/faults/{}", escaped(id))),
            Self::Faults {
                word: Some(FaultWord::Clear),
            } => delete("/faults"),
            Self::Journal {
                word: Some(JournalWord::Clear),
                ..
            } => delete("/journal"),
            Self::Journal {
                word: Some(JournalWord::Count { which }),
                ..
            } => get(&format!("/journal/count?{}", query(which.fields()))),
            Self::Journal {
                word:
                    Some(JournalWord::Wait {
                        which,
                        count,
                        timeout,
                    }),
                ..
            } => {
                let fields = which
                    .fields()
                    .chain(count.map(|count| ("count", count.into())))
                    .chain(timeout.clone().map(|timeout| ("timeout", timeout.into())));
                let fields = fields.map(|(name, value)| (name.to_owned(), value));
                post("/journal/wait", Value::Object(fields.collect()))
            }
            Self::Journal {
                which,
                limit,
                running,
                follow: _,
                word: None,
            } => {
                let fields = which
                    .fields()
                    .chain(limit.map(|limit| ("limit", limit.into())))
                    .chain(running.then_some(("running", true.into())));
                get(&format!("/journal?{}", query(fields)))
            }
            Self::Open => get("/health"),
            Self::Snapshots { word: None } => get("/snapshots"),
            Self::Snapshots {
                word: Some(SnapshotWord::Delete { name }),
            } => delete(&format!("/snapshots/{}", escaped(name))),
            Self::Snapshots {
                word: Some(SnapshotWord::Take { name }),
            } => post(&format!("/snapshots/{}", escaped(name)), json!({})),
            Self::Snapshots {
                word: Some(SnapshotWord::Restore { name }),
            } => post(&format!("/snapshots/{}/restore", escaped(name)), json!({})),
            Self::Reset => post("/reset", json!({})),
        })
    }
}

fn get(path: &str) -> Request {
    request(http::Method::GET, path, Value::Null)
}

fn request(method: http::Method, path: &str, body: Value) -> Request {
    Request {
        method,
        path: path.to_owned(),
        body,
    }
}

/// Fields as the query of a URL.
fn query(fields: impl Iterator<Item = (&'static str, Value)>) -> String {
    let fields = fields.map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={}", escaped(&text))
    });
    fields.collect::<Vec<_>>().join("&")
}

/// A part of a path or a query.
fn escaped(part: &str) -> impl Display {
    utf8_percent_encode(part, RESERVED)
}

async fn send(
    socket: &std::path::Path,
    request: Request,
) -> Result<(http::StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let response = begin(socket, request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// Sends a request, and leaves the answer's body to be read.
async fn begin(
    socket: &std::path::Path,
    request: Request,
) -> Result<http::Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = if request.body.is_null() {
        Bytes::new()
    } else {
        request.body.to_string().into()
    };
    let http = http::Request::builder()
        .method(request.method)
        .uri(request.path)
        .header(http::header::HOST, "localhost")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let response = sender.send_request(http);
    // A request that comes as the connection ends waits, with hyper, as long as there is a sender.
    drop(sender);
    Ok(response.await?)
}

#[cfg(test)]
mod tests;
