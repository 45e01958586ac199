//! Cassettes that were cut or damaged at any byte.

use std::fs;
use std::path::Path;

use super::read::Cassette;
use super::{CALLS_FILE, HEAD_FILE};

const HEAD: &str = r#"{
  "format": "fake-dfdaemon.cassette/1",
  "recorded_at": "2030-01-01T00:00:00Z",
  "upstream": "/up",
  "release": null,
  "content": "keep"
}"#;

const CALLS: [&str; 3] = [
    r#"{"call":1,"at":"2030-01-01T00:00:00Z","method":"/a/B","deadline":"30S","requests":[{"at_ms":0.1,"raw":"AAE="}],"answer":{"opened":false,"messages":[],"end":{"status":{"code":"INTERNAL","message":"\u00fc\n\u{e9}"}}}}"#,
    r#"{"call":3,"at":"2030-01-01T00:00:00Z","method":"/a/B","requests":[],"answer":{"opened":true,"messages":[{"content":{"sha256":"00","length":7}}],"end":{"reset":8}},"output":{"kind":"copy","mode":"0644"}}"#,
    r#"{"call":2,"at":"2030-01-01T00:00:00Z","method":"/a/B","requests":[],"answer":{"opened":true,"messages":[],"end":"client_gone"}}"#,
];

fn opened(dir: &Path, head: &[u8], calls: &[u8]) -> Result<Cassette, String> {
    fs::write(dir.join(HEAD_FILE), head).unwrap();
    fs::write(dir.join(CALLS_FILE), calls).unwrap();
    Cassette::open(dir).map_err(|error| error.to_string())
}

fn calls() -> String {
    CALLS
        .map(|call| format!("{}\n", call.replace("\\u{e9}", "\u{e9}")))
        .concat()
}

#[test]
fn calls_that_are_cut_at_any_byte_are_whole_up_to_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let all = calls();
    for length in 0..=all.len() {
        let rest = &all.as_bytes()[..length];
        let read = opened(dir.path(), HEAD.as_bytes(), rest).unwrap();
        let ends = rest.iter().filter(|byte| **byte == b'\n').count();
        // The last line without its end is whole too.
        let whole = ends + usize::from(all.as_bytes().get(length) == Some(&b'\n'));
        assert_eq!(read.calls.len(), whole, "{length}");
        let is_cut = !matches!(rest.last(), None | Some(b'\n')) && whole == ends;
        assert_eq!(read.is_cut, is_cut, "{length}");
    }
}

#[test]
fn a_head_that_is_cut_at_any_byte_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for length in 0..HEAD.len() {
        let why = opened(dir.path(), &HEAD.as_bytes()[..length], b"").unwrap_err();
        assert!(
            why.contains("cassette.json: ") && why.contains("line "),
            "{why}"
        );
        assert!(why.contains("mend it, or record"), "{why}");
    }
}

/// Also in the middle of a name, a number or a character.
#[test]
fn a_byte_that_is_damaged_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let all = calls().into_bytes();
    for at in 0..all.len() - 1 {
        let damage = [0, b'"', b'{', b'9', 0xff][at % 5];
        let mut damaged = all.clone();
        damaged[at] = damage;
        let Err(why) = opened(dir.path(), HEAD.as_bytes(), &damaged) else {
            continue;
        };
        let line = all[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let named = |line: usize| why.contains(&format!("calls.jsonl: line {line}: "));
        // A number may have become that of a later line, and an end of line have gone.
        assert!((line..=CALLS.len()).any(named), "{at} {damage}: {why}");
        assert!(why.contains("mend the line, or remove it"), "{why}");
    }
}
