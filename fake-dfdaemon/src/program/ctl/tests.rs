//! What is typed, and the requests that it becomes.

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    ctl: Ctl,
}

fn asked(words: &[&str]) -> (String, Value) {
    let line = Line::try_parse_from([&["ctl"], words].concat()).unwrap();
    let request = line.ctl.word.request().unwrap();
    (format!("{} {}", request.method, request.path), request.body)
}

/// The words of a line, as a shell splits it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut is_quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

fn check_examples(command: &clap::Command, name: &str) {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let examples: Vec<_> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    assert!(!examples.is_empty(), "{name} --help has no example");
    for example in examples {
        let words = words(example);
        assert!(example.starts_with("fake-dfdaemon ctl"), "{example}");
        let line = Line::try_parse_from(&words[1..]);
        let line = line.unwrap_or_else(|error| panic!("{example}: {error}"));
        line.ctl
            .word
            .request()
            .unwrap_or_else(|error| panic!("{example}: {error}"));
    }
    for below in command.get_subcommands() {
        check_examples(below, &format!("{name} {}", below.get_name()));
    }
}

#[test]
fn every_word_has_an_example_that_can_be_typed() {
    let grammar = crate::program::grammar();
    let ctl = grammar.find_subcommand("ctl").unwrap();
    assert!(ctl.get_subcommands().count() > 10);
    check_examples(ctl, "ctl");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_hangs_up_is_an_error_at_whatever_moment_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    for _ in 0..2000 {
        let health = get("/health");
        let answered = tokio::time::timeout(testkit::wait::HANGS, send(&socket, health)).await;
        answered.expect("it waits for ever").unwrap_err();
    }
    server.abort();
}

#[tokio::test]
async fn what_is_not_json_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(|_| async {
            let body = Full::new(Bytes::from("<html>well</html>"));
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        });
        let serving = hyper::server::conn::http1::Builder::new();
        let _ = serving
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    let control = socket.to_str().unwrap();
    let line = Line::try_parse_from(["ctl", "--control", control, "health"]).unwrap();
    let error = line.ctl.ask().await.unwrap_err().to_string();
    assert!(
        error.contains("is not a fake-dfdaemon: expected value"),
        "{error}"
    );
    server.await.unwrap();
}

#[test]
fn words_are_those_of_the_paths() {
    let none = Value::Null;
    for (words, line, body) in [
        (&["health"][..], "GET /health", none.clone()),
        (&["hosts"], "GET /hosts", none.clone()),
        (
            &["hosts", "stop", "host-1"],
            "POST /hosts/host-1/stop",
            json!({}),
        ),
        (&["tasks"], "GET /tasks", none.clone()),
        (&["tasks", "7"], "GET /tasks/7", none.clone()),
        (
            &["tasks", "delete", "a/b"],
            "DELETE /tasks/a%2Fb",
            none.clone(),
        ),
        (
            &["clock", "advance", "2h"],
            "POST /clock",
            json!({"advance": "2h"}),
        ),
        (
            &["clock", "set", "2030-01-01T00:00:00Z"],
            "POST /clock",
            json!({"set": "2030-01-01T00:00:00Z"}),
        ),
        (&["settle"], "POST /settle", json!({})),
        (
            &["faults", "add", "stat:stall"],
            "POST /faults",
            json!({"on": "stat", "do": {"stall": true}}),
        ),
        (&["faults", "delete", "3"], "DELETE /faults/3", none.clone()),
        (&["faults", "clear"], "DELETE /faults", none.clone()),
        (
            &["tasks", "--text", "a & b", "--host", "host-1", "--lacking"],
            "GET /tasks?lacking=true&text=a%20%26%20b&host=host-1",
            none.clone(),
        ),
        (
            &["journal", "--rpc", "stat"],
            "GET /journal?rpc=stat",
            none.clone(),
        ),
        (
            &["journal", "--after", "7", "--limit", "2", "--running"],
            "GET /journal?after=7&limit=2&running=true",
            none.clone(),
        ),
        (
            &["journal", "count", "--task", "a/b"],
            "GET /journal/count?task=a%2Fb",
            none.clone(),
        ),
        (
            &[
                "journal",
                "wait",
                "--rpc",
                "stat",
                "--count",
                "2",
                "--timeout",
                "5s",
            ],
            "POST /journal/wait",
            json!({"rpc": "stat", "count": 2, "timeout": "5s"}),
        ),
        (&["journal", "wait"], "POST /journal/wait", json!({})),
        (&["journal", "clear"], "DELETE /journal", none.clone()),
        (&["settings"], "GET /settings", none.clone()),
        (
            &["settings", "capacity=1gib", "gc-interval=1m"],
            "PATCH /settings",
            json!({"capacity": "1gib", "gc_interval": "1m"}),
        ),
        (&["snapshots", "take", "a"], "POST /snapshots/a", json!({})),
        (
            &["snapshots", "restore", "a"],
            "POST /snapshots/a/restore",
            json!({}),
        ),
        (&["snapshots"], "GET /snapshots", Value::Null),
        (
            &["snapshots", "delete", "a"],
            "DELETE /snapshots/a",
            Value::Null,
        ),
        (&["reset"], "POST /reset", json!({})),
    ] {
        assert_eq!(asked(words), (line.to_owned(), body), "{words:?}");
    }
}
