//! What the index takes of a line of the journal's file.

use std::borrow::Cow;

use serde::Deserialize;

use crate::call::rpc::Rpc;
use crate::store::own_form::Rest;

/// What the index takes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) call: u64,
    pub(super) rpc: Rpc,
    pub(super) host: Cow<'a, str>,
    pub(super) code: Cow<'a, str>,
    pub(super) task: Option<Cow<'a, str>>,
}

/// A line as any program may have written it.
#[derive(Deserialize)]
struct AnyLine<'a> {
    call: u64,
    rpc: Rpc,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    status: Status<'a>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    task_id: Option<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    /// What a line says; `None` if it is none of a journal.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        // A start reads a million of them.
        Self::in_own_form(bytes).or_else(|| Self::in_any_form(bytes))
    }

    fn in_any_form(bytes: &'a [u8]) -> Option<Self> {
        let line: AnyLine<'a> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            call: line.call,
            rpc: line.rpc,
            host: line.host,
            code: line.status.code,
            task: line.request.and_then(|request| request.task_id),
        })
    }

    /// The same of a line that is as [`Call`](crate::call::record::Call) is written.
    fn in_own_form(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Rest::new(bytes);
        let call = rest.after(r#"{"call":"#)?.number()?;
        rest.after(r#","at":"#)?.text()?;
        let rpc = rest.after(r#","rpc":"#)?.text()?.parse().ok()?;
        let host = rest.after(r#","host":"#)?.text()?;
        let task = rest.after(r#","request":"#)?.unless_null(task)?.flatten();
        rest.after(r#","metadata":"#)?.skip()?;
        rest.after(r#","pieces":"#)?.number()?;
        rest.after(r#","bytes":"#)?.number()?;
        let code = rest.after(r#","status":{"code":"#)?.text()?;
        rest.after(r#","message":"#)?.text()?;
        rest.after(r#"},"fault":"#)?.skip()?;
        rest.after(r#","client_gone":"#)?.boolean()?;
        rest.after(r#","duration_ms":"#)?.number()?;
        rest.ends().then_some(Self {
            call,
            rpc,
            host: host.into(),
            code: code.into(),
            task: task.map(Into::into),
        })
    }
}

/// The task that a request names, if it does.
fn task<'a>(request: &mut Rest<'a>) -> Option<Option<&'a str>> {
    let mut task = None;
    request.fields(|rest, name| {
        if name != "task_id" {
            return rest.skip();
        }
        let named = rest.unless_null(Rest::text)?;
        // Serde does not read an object that has a field twice.
        task.replace(named).is_none().then_some(())
    })?;
    Some(task.flatten())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::call::record::{Call, CallFault};

    fn written(call: &Call) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(call).unwrap();
        bytes.push(b'\n');
        bytes
    }

    fn calls() -> Vec<Call> {
        let call = |rpc, request: Value| Call {
            call: 7,
            pieces: 3,
            bytes: 12,
            duration_ms: 5,
            ..Call::arriving(rpc, "host-0", request)
        };
        let mut failed = call(Rpc::Export, json!({"task_id": "12", "range": {"start": 1}}));
        failed.status.code = "INTERNAL".to_owned();
        failed.status.message = "no space".to_owned();
        failed.client_gone = true;
        failed.fault = Some(CallFault {
            id: 3,
            action: json!({"error": {"code": "INTERNAL", "times": [1, 2]}}),
        });
        failed.metadata = [("key".to_owned(), json!(["a", "b"]))]
            .into_iter()
            .collect();
        vec![
            call(Rpc::Stat, json!({"task_id": "12", "remote_ip": null})),
            call(Rpc::StatLocal, json!({"task_id": null})),
            call(
                Rpc::Import,
                json!({"path": "/a", "ttl_seconds": 3600.0, "task_id": "34"}),
            ),
            call(Rpc::List, json!({})),
            call(Rpc::Health, Value::Null),
            failed,
        ]
    }

    #[test]
    fn a_line_that_this_program_writes_has_its_own_form() {
        for call in calls() {
            let bytes = written(&call);
            let line = Line {
                call: call.call,
                rpc: call.rpc,
                host: (&*call.host).into(),
                code: (&*call.status.code).into(),
                task: call.task_id().map(Into::into),
            };
            assert_eq!(Line::in_own_form(&bytes), Some(line));
        }
    }

    #[test]
    fn a_line_in_another_form_is_read_too() {
        let line = br#"{"rpc":"stat","status":{"code":"OK"}, "host":"a\tb","call":7,"request":{"task_id":"\u0031"}}"#;
        let expected = Line {
            call: 7,
            rpc: Rpc::Stat,
            host: "a\tb".into(),
            code: "OK".into(),
            task: Some("1".into()),
        };
        assert_eq!(Line::parse(line), Some(expected));
        for line in [&b""[..], b"{}\n", b"{\"call\":7,\"at\":\""] {
            assert_eq!(Line::parse(line), None);
        }
    }

    /// What is read of a damaged line, if anything is, is what serde reads of it.
    fn agrees(bytes: &[u8]) {
        if let Some(line) = Line::in_own_form(bytes) {
            assert_eq!(Line::in_any_form(bytes), Some(line));
        }
    }

    #[test]
    fn a_line_that_is_damaged_reads_as_serde_reads_it() {
        for call in calls() {
            let bytes = written(&call);
            for at in 0..bytes.len() {
                for byte in *b"\"\\,:{}[]01.an \n" {
                    let mut damaged = bytes.clone();
                    damaged[at] = byte;
                    agrees(&damaged);
                    damaged.insert(at, bytes[at]);
                    agrees(&damaged);
                }
                agrees(&bytes[..at]);
            }
        }
        let twice = br#"{"task_id":"1","task_id":"1"}"#;
        assert_eq!(task(&mut Rest::new(twice)), None);
    }
}
