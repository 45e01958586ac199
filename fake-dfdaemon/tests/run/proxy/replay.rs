//! Answers from cassettes, recorded and written by hand.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::pin;
use std::time::Instant;

use bytes::Bytes;
use fake_dfdaemon::FakeDfdaemon;
use serde_json::json;
use testkit::wait::HANGS;
use tonic::Code;

use super::raw::{connect, read, request, turns};
use super::written::{DOWNLOAD, HASH, IMPORT, STAT, Written, call, exported, stat, status};
use crate::support::client::{Client, Export};
use crate::support::process::{names, refused};
use crate::support::{outlasts, requests};

#[tokio::test]
async fn calls_come_in_order_or_in_any() {
    let w = Written::new(&[
        stat(1, "7", "Uploading"),
        stat(2, "7", "Succeeded"),
        stat(3, "8", "Failed"),
    ]);
    let strict = w.start(&[]);
    assert_eq!(strict.ready["calls"], 3);
    let client = Client::connect(&w.socket()).await;
    let early = client.stat("8").await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    assert!(
        early
            .message()
            .contains("call, 1, differs in task_id: recorded \"7\", asked \"8\""),
        "{early}"
    );
    assert_eq!(client.stat("7").await.unwrap().state, "Uploading");
    assert_eq!(client.stat("7").await.unwrap().state, "Succeeded");
    let other = client.health("").await.unwrap_err();
    assert!(
        other
            .message()
            .contains(&format!("the next recorded call, 3, is {STAT}")),
        "{other}"
    );
    assert_eq!(client.stat("8").await.unwrap().state, "Failed");
    let late = client.stat("8").await.unwrap_err();
    assert!(late.message().contains("has no more calls"), "{late}");
    drop((client, strict));

    let _any = w.start(&["--order", "any"]);
    let client = Client::connect(&w.socket()).await;
    assert_eq!(client.stat("8").await.unwrap().state, "Failed");
    for state in ["Uploading", "Succeeded", "Succeeded"] {
        assert_eq!(client.stat("7").await.unwrap().state, state);
    }
    let missing = client.stat("9").await.unwrap_err();
    assert!(
        missing.message().contains("differs in task_id"),
        "{missing}"
    );
    let unknown = client.list().await.unwrap_err();
    assert!(
        unknown
            .message()
            .contains("no call of this method is recorded"),
        "{unknown}"
    );
}

#[tokio::test]
async fn in_any_order_a_client_gets_a_recording_whose_client_stayed_if_there_is_one() {
    let left = |number, id: &str, state: &str| {
        let mut call = stat(number, id, state);
        call["answer"]["end"] = json!("client_gone");
        call
    };
    let w = Written::new(&[
        left(1, "7", "Uploading"),
        stat(2, "7", "Succeeded"),
        left(3, "7", "Uploading"),
        left(4, "8", "Uploading"),
    ]);
    let _replay = w.start(&["--order", "any"]);
    let client = Client::connect(&w.socket()).await;
    for _ in 0..3 {
        assert_eq!(client.stat("7").await.unwrap().state, "Succeeded");
    }
    let others = async {
        for _ in 0..3 {
            client.stat("7").await.unwrap();
        }
    };
    outlasts(client.stat("8"), others).await;
}

#[tokio::test]
async fn in_any_order_a_call_whose_request_is_not_known_answers_what_no_other_does() {
    let mut cut = stat(1, "", "Failed");
    cut["requests"] = json!([]);
    cut["requests_cut"] = json!(true);
    let w = Written::new(&[cut, stat(2, "7", "Succeeded")]);
    let _replay = w.start(&["--order", "any"]);
    let client = Client::connect(&w.socket()).await;
    for (id, state) in [("7", "Succeeded"), ("8", "Failed"), ("7", "Succeeded")] {
        assert_eq!(client.stat(id).await.unwrap().state, state);
    }
}

#[tokio::test]
async fn every_way_to_end_is_played() {
    let ends = [
        json!({"reset": 7}),
        json!("broken"),
        json!("client_gone"),
        json!({"status": {"code": "NOT_FOUND", "message": "café %\n", "details": "/wAB"}}),
        json!({"status": {"code": null}}),
        json!({"status": {"code": "77"}}),
    ];
    let calls = [false, true].into_iter().flat_map(|opened| {
        ends.iter().map(move |end| {
            let messages = if opened {
                json!([{"raw": "YWJj"}])
            } else {
                json!([])
            };
            json!({"opened": opened, "messages": messages, "end": end})
        })
    });
    let calls = calls.zip(1_u64..).map(|(answer, number)| {
        json!({"call": number, "at": "2030-01-01T00:00:00Z", "method": "/odd/Method",
            "requests": [{"raw": "eHl6"}], "answer": answer})
    });
    let w = Written::new(&calls.collect::<Vec<_>>());
    let _replay = w.start(&[]);
    let ask = async || {
        let mut client = connect(&w.socket()).await;
        let (answer, mut send) = client.send_request(request("/odd/Method"), false).unwrap();
        send.send_data(Bytes::from_static(b"\0\0\0\0\x03xyz"), true)
            .unwrap();
        let answer = answer.await?;
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        let (head, body) = answer.into_parts();
        let opened = !body.is_end_stream();
        let (data, trailers) = read(body).await?;
        assert_eq!(data, if opened { &b"\0\0\0\0\x03abc"[..] } else { b"" });
        Ok::<_, h2::Error>(trailers.unwrap_or(head.headers))
    };
    for _ in [false, true] {
        assert_eq!(
            ask().await.unwrap_err().reason(),
            Some(h2::Reason::REFUSED_STREAM)
        );
        assert!(ask().await.unwrap_err().is_io());
        let mut waiting = pin!(ask());
        outlasts(waiting.as_mut(), turns(&w.socket())).await;
        let trailers = ask().await.unwrap();
        assert_eq!(trailers["grpc-status"], "5");
        assert_eq!(trailers["grpc-message"], "caf%C3%A9%20%25%0A");
        assert_eq!(trailers["grpc-status-details-bin"], "/wAB");
        assert!(ask().await.unwrap().get("grpc-status").is_none());
        assert_eq!(ask().await.unwrap()["grpc-status"], "77");
    }
}

#[tokio::test]
async fn an_output_is_written_where_the_request_says_and_over_nothing() {
    let seen = json!({"kind": "link", "mode": "4711", "content": {"sha256": HASH, "length": 7}});
    let w = Written::new(&[exported(&seen)]);
    let _replay = w.start(&["--order", "any"]);
    let client = Client::connect(&w.socket()).await;
    let output = w.dir.path().join("here");
    // Without an output nothing is written.
    let refused = client.export(requests::cache("7")).await;
    assert!(
        refused.status.message().contains("output_path"),
        "{:?}",
        refused.status
    );
    let ended = end(&client, requests::export_to("7", &output)).await;
    assert_eq!(ended, Code::Ok);
    assert_eq!(fs::read_to_string(&output).unwrap(), "content");
    let mode = fs::metadata(&output).unwrap().permissions().mode();
    assert_eq!(
        mode & 0o7777,
        0o711,
        "no bit that makes somebody else of a user"
    );
    // What is there stays, unless the request says otherwise.
    fs::write(&output, "precious").unwrap();
    let ended = end(&client, requests::export_to("7", &output)).await;
    assert_eq!(ended, Code::Internal);
    assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
    let nowhere = w.dir.path().join("none/here");
    assert_eq!(
        end(&client, requests::export_to("7", &nowhere)).await,
        Code::Internal
    );
    assert_eq!(names(w.dir.path()), ["cassette", "here", "in"]);
}

/// How an export ends.
async fn end(client: &Client, request: Export) -> Code {
    let mut messages = client.begin_export(request).await.unwrap();
    loop {
        match messages.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
}

#[tokio::test]
async fn paths_are_mapped_and_ids_of_hosts_do_not_matter() {
    let request = json!({"path": "/recorded/dir/file", "tag": "t", "remote_ip": "1.2.3.4"});
    let w = Written::new(&[call(1, IMPORT, &request, &status("ABORTED", "as recorded"))]);
    let _replay = w.start(&["--order", "any", "--path", "/recorded=/here"]);
    let client = Client::connect(&w.socket()).await;
    let mut asked = requests::import(Path::new("/here/dir/file"), 0, 1);
    asked.ttl = None;
    asked.tag = Some("t".to_owned());
    let answered = client.import(asked.clone()).await.unwrap_err();
    assert_eq!(answered.message(), "as recorded");
    asked.path = "/recorded/dir/other".to_owned();
    asked.tag = None;
    let missed = client.import(asked).await.unwrap_err();
    let (path, tag) = (
        "path: recorded \"/recorded/dir/file\"",
        "tag: recorded \"t\", asked nothing",
    );
    assert!(
        missed.message().contains(path) && missed.message().contains(tag),
        "{missed}"
    );
}

#[tokio::test]
async fn what_is_not_recorded_may_go_to_a_daemon() {
    let w = Written::new(&[stat(1, "7", "Odd")]);
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let on_miss = format!("upstream={}", daemon.endpoint().display());
    let _replay = w.start(&["--order", "any", "--on-miss", &on_miss]);
    let client = Client::connect(&w.socket()).await;
    assert_eq!(client.stat("7").await.unwrap().state, "Odd");
    let file = w.dir.path().join("file");
    fs::write(&file, "content").unwrap();
    let task = client
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    let exported = client.export(requests::transfer(&task.id)).await.ok();
    assert_eq!(exported.content(), b"content");
    assert_eq!(client.stat("8").await.unwrap_err().code(), Code::Internal);
    drop(client);
    daemon.stop().await;
}

#[tokio::test]
async fn time_passes_as_it_is_told_to() {
    const YEAR: f64 = 365.0 * 86_400_000.0;
    for (recorded, speed, least) in [
        (100.0, "1", 100),
        (YEAR, "315360000", 100),
        (YEAR, "max", 0),
    ] {
        let answer = json!({"opened": false, "head_ms": recorded, "messages": [], "end": {"status": {"code": "ABORTED"}}, "end_ms": recorded});
        let w = Written::new(&[call(1, STAT, &json!({"task_id": "7"}), &answer)]);
        let _replay = w.start(&["--order", "any", "--speed", speed]);
        let client = Client::connect(&w.socket()).await;
        let began = Instant::now();
        let ended = tokio::time::timeout(HANGS, client.stat("7")).await;
        assert_eq!(ended.unwrap().unwrap_err().code(), Code::Aborted);
        assert!(began.elapsed().as_millis() >= least, "{speed}");
    }
}

/// A piece of a content of which only the hash is there.
#[tokio::test]
async fn content_that_was_not_kept_is_made_up_with_its_digest() {
    let piece = json!({"host_id": "h", "task_id": "7", "peer_id": "p", "download_piece_finished_response": {"piece": {"length": 7, "digest": "crc32:1"}}});
    let start = json!({"host_id": "h", "task_id": "7", "peer_id": "p", "download_persistent_cache_task_started_response": {"content_length": 7}});
    let other = HASH.replace('e', "f");
    let answer = json!({"opened": true, "messages": [{"message": start}, {"message": piece, "content": {"sha256": other, "length": 7}}], "end": {"status": {"code": "OK"}}});
    let w = Written::new(&[call(
        1,
        DOWNLOAD,
        &json!({"task_id": "7", "need_piece_content": true}),
        &answer,
    )]);
    let (code, said) = refused(&mut w.replay(&[]));
    assert_eq!(code, Some(4));
    assert!(said.contains("is not there"), "{said}");
    w.write_head("hash");
    let _replay = w.start(&[]);
    let client = Client::connect(&w.socket()).await;
    let exported = client.export(requests::transfer("7")).await.ok();
    let content = exported.content();
    assert_eq!(content.len(), 7);
    let digest = format!("crc32:{}", crc32fast::hash(&content));
    assert_eq!(exported.pieces[0].digest, digest);
}

#[test]
fn a_call_that_was_cut_is_left_out_and_said() {
    let w = Written::new(&[stat(1, "7", "Odd")]);
    let calls = w.cassette().join("calls.jsonl");
    let whole = fs::read_to_string(&calls).unwrap();
    // An editor may leave the last line without an end.
    for (text, calls_left, is_said) in [
        (format!("{whole}{}", &whole[..40]), 1, true),
        (whole.trim_end().to_owned(), 1, false),
        (String::new(), 0, false),
    ] {
        fs::write(&calls, text).unwrap();
        let mut command = w.replay(&["--ready-file", "/dev/null"]);
        let output = command.args(["--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("was cut"), is_said, "{said}");
        let process = w.start(&[]);
        assert_eq!(process.ready["calls"], calls_left);
    }
}

#[test]
fn a_command_is_run_and_its_misses_are_said() {
    let w = Written::new(&[]);
    let mut command = w.replay(&[]);
    command.args(["--", "sh", "-c", "test -S \"$DFCACHE_ENDPOINT\"; exit 5"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    for (option, value) in [
        ("--order", "odd"),
        ("--on-miss", "upstream="),
        ("--speed", "0"),
        ("--speed", "-1"),
        ("--path", "/a"),
    ] {
        let (code, said) = refused(&mut w.replay(&[option, value]));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(option), "{said}");
    }
}
