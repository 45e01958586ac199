//! Long answers: nobody waits for them, and they take little memory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::control::controlled::column;
use crate::support::client::Client;
use crate::support::control::Address;
use crate::support::process::{Process, serve};

/// Calls in the journal, and how long each is at least.
const CALLS: usize = 10_000;
const LONG: usize = 2 << 10;

/// What the fake may take to tell of them, in bytes: much less than they have.
const MEMORY: u64 = 10 << 20;

/// A journal as it was left by a daemon that ran for long. Some calls ended late.
fn write_journal(path: &Path) {
    let mut lines = String::new();
    for place in 0..CALLS {
        // Two neighbours change places.
        let call = 1 + if place % 100 < 2 { place ^ 1 } else { place };
        let call = json!({
            "call": call, "at": "2026-01-02T03:04:05Z", "rpc": "stat", "host": "host-0",
            "request": {"task_id": "x".repeat(LONG)}, "pieces": 0, "bytes": 0,
            "status": {"code": "OK", "message": ""},
            "fault": null, "client_gone": false, "duration_ms": 0,
        });
        writeln!(lines, "{call}").unwrap();
    }
    fs::write(path, lines).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_journal_is_told_bit_by_bit_and_calls_are_answered_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("calls.jsonl");
    write_journal(&journal);
    let process = Process::start(serve().arg("--journal").arg(&journal));
    let control = Address::socket(&process.path("control"));
    let before = process.peak_memory();
    let mut answer = control.begin("GET", "/journal", "").await;
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    // The rest is under way, and nobody takes it for now.
    let client = Client::connect(&process.endpoint(0)).await;
    client.stat("7").await.unwrap_err();
    assert_eq!(control.send("GET", "/health", "").await.status, 200);
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    let took = process.peak_memory() - before;
    assert!(took < MEMORY, "{took} bytes");
    let body: Value = serde_json::from_slice(&[first, rest].concat()).unwrap();
    let numbers: Vec<_> = (1..=CALLS).collect();
    assert_eq!(json!(column(&body["calls"], "call")), json!(numbers));
    // Numbers go on.
    let last = control.send("GET", "/journal?status=INTERNAL", "").await;
    assert_eq!(column(&last.body["calls"], "call"), [CALLS + 1]);
}
