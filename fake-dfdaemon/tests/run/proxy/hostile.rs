//! Cassettes that somebody has edited to do harm: each is refused by file and line, with what to do,
//! and nothing is written but where the client says.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fake_dfdaemon::FakeDfdaemon;
use serde_json::{Value, json};

use super::written::{DOWNLOAD, IMPORT, Written};
use crate::support::client::Client;
use crate::support::process::names;
use crate::support::requests;

fn call(number: u64, method: &str, requests: &Value, answer: &Value) -> String {
    let call = json!({"call": number, "at": "2030-01-01T00:00:00Z", "method": method, "requests": requests, "answer": answer});
    format!("{call}\n")
}

fn ended(messages: &Value) -> Value {
    json!({"opened": true, "messages": messages, "end": {"status": {"code": "OK"}}})
}

fn plain(number: u64) -> String {
    call(
        number,
        DOWNLOAD,
        &json!([{"message": {"task_id": "7"}}]),
        &ended(&json!([])),
    )
}

#[test]
fn each_is_refused_by_file_and_line() {
    let mend = "mend the line, or remove it";
    let line_2 = |edit: &dyn Fn(String) -> String| {
        Written::of_lines(&format!("{}{}", plain(1), edit(plain(2))))
    };
    let replaced = |from: &str, to: &str| {
        line_2(&|line| {
            assert!(line.contains(from), "{line}");
            line.replacen(from, to, 1)
        })
    };
    let at = ["calls.jsonl: line 2: ", mend];
    replaced("\"call\":2", "\"call\":1").is_refused(&[at[0], mend, "call 1 is already in line 1"]);
    for (from, to) in [
        ("\"call\":2", "\"call\":-2"),
        ("\"call\":2", "\"call\":18446744073709551616"),
        ("\"call\":2", "\"call\":2,\"call\":3"),
        ("\"messages\":[]", "\"messages\":[{\"at_ms\":1e400}]"),
        (
            "\"messages\":[]",
            "\"messages\":[{\"raw\":\"\",\"cut\":18446744073709551615}]",
        ),
        (
            "\"messages\":[]",
            "\"messages\":[{\"content\":{\"sha256\":\"/etc/passwd\",\"length\":7}}]",
        ),
        (
            "\"messages\":[]",
            "\"messages\":[{\"message\":{\"task_id\":7}}]",
        ),
        ("\"messages\":[]", "\"http_status\":70000,\"messages\":[]"),
        ("\"method\"", "\"meth\u{0}od\""),
        ("\"7\"}}]", "\"7\"}]"),
    ] {
        replaced(from, to).is_refused(&at);
    }
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    replaced("\"task_id\":\"7\"", &format!("\"task_id\":{deep}")).is_refused(&[
        at[0],
        mend,
        "column ",
        "recursion",
    ]);
    let none = "0".repeat(64);
    let missing = json!([{"content": {"sha256": none, "length": 7}}]);
    let missing = call(2, "/a/B", &json!([]), &ended(&missing));
    line_2(&|_| missing.clone()).is_refused(&[at[0], mend, &none, "is not there"]);
}

#[test]
fn content_that_is_no_file_is_not_read() {
    let hash = "1".repeat(64);
    let message = json!([{"content": {"sha256": hash, "length": 0}}]);
    let edited = Written::of_lines(&call(5, "/a/B", &json!([]), &ended(&message)));
    let path = edited.cassette().join("content").join(&hash);
    let named = [
        "calls.jsonl: line 1: call 5: answer 0: ",
        &hash,
        "not a regular file",
    ];
    fs::create_dir(&path).unwrap();
    edited.is_refused(&named);
    fs::remove_dir(&path).unwrap();
    // Only root can make one.
    let made = Command::new("mknod")
        .arg(&path)
        .args(["c", "1", "5"])
        .output();
    if made.is_ok_and(|made| made.status.success()) {
        edited.is_refused(&named);
    }
}

#[test]
fn another_format_is_named_whatever_else_is_in_it() {
    let edited = Written::of_lines("what is not known\n");
    edited.write_any_head(&json!({"format": "fake-dfdaemon.cassette/2", "novel": [1]}));
    edited.is_refused(&[
        "cassette.json: ",
        "\"fake-dfdaemon.cassette/2\"",
        "record the session again",
    ]);
    for head in [json!([]), json!({"format": 1}), json!({"form": "x"})] {
        edited.write_any_head(&head);
        edited.is_refused(&["cassette.json: ", "line 1", "mend it, or record"]);
    }
}

/// An output of which only the hash was kept is made up, but not beyond what the disk has room for.
#[tokio::test]
async fn no_disk_is_filled_with_what_was_never_kept() {
    let seen = json!({"kind": "copy", "mode": "0644", "content": {"sha256": "0".repeat(64), "length": 1_u64 << 60}});
    let mut line: Value = serde_json::from_str(&plain(1)).unwrap();
    line["output"] = seen;
    line["requests"][0]["message"]["output_path"] = json!("/recorded");
    let edited = Written::new(&[line]);
    edited.write_head("hash");
    let _replay = edited.start(&[]);
    let client = Client::connect(&edited.socket()).await;
    let outputs = edited.dir.path().join("outputs");
    fs::create_dir(&outputs).unwrap();
    let exported = client
        .export(requests::export_to("7", &outputs.join("out")))
        .await;
    assert!(
        exported.status.message().contains("No space left"),
        "{:?}",
        exported.status
    );
    assert!(names(&outputs).is_empty());
}

/// The request of a newer client, of which not all fields are known: base64.
fn newer(request: &impl prost::Message) -> String {
    let mut bytes = request.encode_to_vec();
    bytes.extend_from_slice(b"\xd2\x3e\x01x");
    BASE64.encode(bytes)
}

fn export_raw(path: &Path) -> String {
    newer(&requests::export_to("7", path))
}

/// Requests that are bytes name files too, and a daemon that is asked again does as they say.
#[tokio::test]
async fn a_diff_has_no_file_written_where_a_recorded_request_says() {
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let victims = tempfile::tempdir().unwrap();
    let (file, victim) = (victims.path().join("file"), victims.path().join("victim"));
    fs::write(&file, "content").unwrap();
    let direct = Client::connect(daemon.endpoint()).await;
    let id = direct
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap()
        .id;
    let raw = newer(&requests::export_to(&id, &victim));
    let squeezed = json!([{"raw": export_raw(&victim), "compressed": true}]);
    let import = newer(&requests::import(&file, 1, 3600));
    let calls = [
        call(1, DOWNLOAD, &json!([{"raw": raw}]), &ended(&json!([]))),
        call(2, DOWNLOAD, &squeezed, &ended(&json!([]))),
        call(
            3,
            DOWNLOAD,
            &json!([{"raw": "/////w=="}]),
            &ended(&json!([])),
        ),
        call(4, IMPORT, &json!([{"raw": import}]), &ended(&json!([]))),
    ];
    let edited = Written::of_lines(&calls.concat());
    let mut diff = edited.diff(daemon.endpoint());
    let output = diff.args(["--format", "json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(report["compared"], 2, "{said} {report}");
    assert!(said.contains("call 2") && said.contains("call 3"), "{said}");
    assert_eq!(names(victims.path()), ["file"]);
    let exports = daemon.journal().calls(fake_dfdaemon::Rpc::Export);
    assert_eq!(exports.len(), 1);
    daemon.stop().await;
}
