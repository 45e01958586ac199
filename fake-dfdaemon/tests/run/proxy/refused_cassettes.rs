//! Cassettes that are not what they say, or lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::written::{HASH, Written, exported, stat};

#[test]
fn cassettes_that_are_none_are_refused_by_name() {
    let good = || {
        exported(&json!({"kind": "copy", "mode": "0644", "content": {"sha256": HASH, "length": 7}}))
    };
    let edited = |pointer: &str, value: Value| {
        let mut call = good();
        *call.pointer_mut(pointer).unwrap() = value;
        Written::new(&[stat(9, "7", "Odd"), call])
    };
    for (pointer, value, named) in [
        (
            "/output/content/sha256",
            json!("../../../../etc/passwd"),
            "is not a SHA-256",
        ),
        ("/output/content/length", json!(8), "it has 7 bytes, not 8"),
        (
            "/answer/messages/0/message",
            json!({"pfad": 1}),
            "no field pfad",
        ),
        ("/answer/messages/0", json!({"raw": "%"}), "raw"),
        ("/answer/messages/0", json!({}), "message, raw and content"),
        (
            "/answer/messages/0",
            json!({"message": {"task_id": "7"}, "at_ms": -1.0}),
            "at_ms",
        ),
        ("/answer/messages/0", json!({"redacted": true}), "redacted"),
        (
            "/answer/end",
            json!({"status": {"code": "1\n2"}}),
            "grpc-status",
        ),
        (
            "/answer/end",
            json!({"status": {"code": "OK", "metadata": {"a b": ["c"]}}}),
            "\"a b\"",
        ),
        ("/answer/end", json!("exploded"), "line 2"),
        (
            "/answer",
            json!({"opened": true, "messages": [], "end": "broken", "http_status": 99}),
            "http_status",
        ),
        ("/method", json!("/no/Method"), "unknown"),
        ("/at", json!("soon"), "line 2"),
        ("/requests/0", json!({"message": {}, "odd": 1}), "odd"),
    ] {
        edited(pointer, value).is_refused(&[named]);
    }
}

/// Nothing is played that was not recorded, also of content that is long enough.
#[test]
fn content_that_is_not_what_its_name_says_is_refused_by_name() {
    let seen = json!({"kind": "copy", "content": {"sha256": HASH, "length": 7}});
    let w = Written::new(&[exported(&seen)]);
    let path = w.cassette().join("content").join(HASH);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "CONTENT").unwrap();
    w.is_refused(&[HASH, "its SHA-256 is "]);
}

#[test]
fn nothing_outside_a_cassette_is_read() {
    let seen = json!({"kind": "copy", "content": {"sha256": HASH, "length": 7}});
    let fifo = |path: &Path| {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join(HASH), "content").unwrap();
    for name in [
        "cassette.json",
        "calls.jsonl",
        "content",
        &format!("content/{HASH}"),
    ] {
        for is_link in [true, false] {
            let w = Written::new(&[exported(&seen)]);
            let path = w.cassette().join(name);
            let elsewhere = outside
                .path()
                .join(if name == "content" { "" } else { HASH });
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::copy(&path, &elsewhere).unwrap();
                fs::remove_file(&path).unwrap();
            }
            if is_link {
                symlink(&elsewhere, &path).unwrap();
            } else {
                fifo(&path);
            }
            w.is_refused(&["cassette"]);
        }
    }
}
