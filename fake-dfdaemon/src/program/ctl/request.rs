//! What was typed, as a request of the control API.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::words::{ClockWord, FaultWord, HostWord, JournalWord, SnapshotWord, TaskWord, Word};
use super::{CtlError, settings};
use crate::call::faults::Fault;

/// What is escaped in a part of a path or a query: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A request of the API.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) body: Value,
}

impl Word {
    pub(super) fn request(&self) -> Result<Request, CtlError> {
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
            Self::Tasks {
                lacking,
                text,
                host,
                ..
            } => {
                let fields = [
                    ("lacking", lacking.then(|| json!(true))),
                    ("text", text.as_deref().map(|text| json!(text))),
                    ("host", host.as_deref().map(|host| json!(host))),
                ];
                let given = fields
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)));
                match query(given).as_str() {
                    "" => get("/tasks"),
                    query => get(&format!("/tasks?{query}")),
                }
            }
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
            } => post("/faults", spec.parse::<Fault>()?.to_value()),
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
            Self::Settings { change } if change.is_empty() => get("/settings"),
            Self::Settings { change } => {
                request(http::Method::PATCH, "/settings", settings::change(change))
            }
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

pub(super) fn get(path: &str) -> Request {
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
pub(super) fn query(fields: impl Iterator<Item = (&'static str, Value)>) -> String {
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
