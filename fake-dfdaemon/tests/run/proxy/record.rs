//! Calls that are recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_dfdaemon::{FakeDfdaemon, Release};
use http::{HeaderMap, HeaderValue};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::wait::Changes;

use super::raw::{Between, opened, program, read, record, request};
use crate::support::client::Client;
use crate::support::content::bytes;
use crate::support::process::{Process, names, refused};
use crate::support::requests;

const LENGTH: usize = (8 << 20) + 3;

/// A fake, and a recorder in front of it.
struct Recorded {
    dir: TempDir,
    _daemon: FakeDfdaemon,
    recorder: Process,
}

impl Recorded {
    async fn start(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let builder = FakeDfdaemon::builder().release(Release::V1_5).hosts(2);
        let daemon = builder.start().await.unwrap();
        let mut command = record(daemon.endpoint(), &dir.path().join("cassette"));
        command
            .args(options)
            .arg("--socket")
            .arg(dir.path().join("in"));
        let recorder = Process::start(&mut command);
        Self {
            dir,
            _daemon: daemon,
            recorder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn client(&self) -> Client {
        Client::connect(&self.path("in")).await
    }

    /// Ends the recording: its calls, in the order in which they began.
    fn calls(&mut self) -> Vec<Value> {
        let recorder = std::mem::replace(&mut self.recorder, Process::start(&mut idle()));
        assert_eq!(recorder.end(Signal::TERM).code(), Some(0));
        calls(&self.path("cassette"))
    }
}

/// Stands where the recorder was.
fn idle() -> Command {
    let mut command = program();
    command.args(["proxy", "--upstream", "none"]);
    command
}

/// What a cassette holds, in the order in which calls began.
fn calls(cassette: &Path) -> Vec<Value> {
    let text = fs::read_to_string(cassette.join("calls.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let lines = text.lines().map(serde_json::from_str);
    let mut calls: Vec<Value> = lines.collect::<Result<_, _>>().unwrap();
    calls.sort_by_key(|call| call["call"].as_u64());
    calls
}

#[tokio::test]
async fn an_import_and_exports_are_there_with_their_files_and_content() {
    let mut w = Recorded::start(&[]).await;
    let (file, output) = (w.path("file"), w.path("output"));
    let content = bytes(1, LENGTH);
    fs::write(&file, &content).unwrap();
    let client = w.client().await;
    let task = client
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    client.export(requests::transfer(&task.id)).await.ok();
    client
        .export(requests::export_to(&task.id, &output))
        .await
        .ok();
    // The name may go at once: it was open by then.
    fs::remove_file(&output).unwrap();
    let missing = client.stat("7").await.unwrap_err();
    drop(client);

    let calls = w.calls();
    assert_eq!(calls.len(), 4);
    let [import, transfer, by_path, stat] = calls.as_slice() else {
        unreachable!()
    };
    assert_eq!(
        import["method"],
        "/dfdaemon.v2.DfdaemonDownload/UploadPersistentCacheTask"
    );
    let asked = &import["requests"][0]["message"];
    assert_eq!(asked["path"], file.to_str().unwrap());
    assert_eq!(asked["ttl"], json!({"seconds": 3600}));
    assert_eq!(import["source"]["content"]["length"], LENGTH);
    assert_eq!(import["answer"]["messages"][0]["message"]["id"], task.id);

    let messages = transfer["answer"]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4, "the start and three pieces");
    let kept = |reference: &Value| {
        let name = reference["sha256"].as_str().unwrap();
        fs::read(w.path("cassette").join("content").join(name)).unwrap()
    };
    let pieces = messages
        .iter()
        .skip(1)
        .map(|message| kept(&message["content"]));
    assert!(pieces.collect::<Vec<_>>().concat() == content);
    assert_eq!(transfer["answer"]["opened"], true);
    assert_eq!(transfer["answer"]["end"], json!({"status": {"code": "OK"}}));
    assert!(transfer.get("output").is_none());

    assert_eq!(by_path["output"]["kind"], "link");
    assert_eq!(by_path["output"]["content"], import["source"]["content"]);
    assert!(kept(&by_path["output"]["content"]) == content);
    // Three pieces, and the file as a whole.
    assert_eq!(names(&w.path("cassette/content")).len(), 4);

    assert_eq!(stat["answer"]["opened"], false);
    assert_eq!(stat["answer"]["end"]["status"]["code"], "INTERNAL");
    assert_eq!(
        stat["answer"]["end"]["status"]["message"],
        missing.message()
    );
    let head: Value =
        serde_json::from_slice(&fs::read(w.path("cassette/cassette.json")).unwrap()).unwrap();
    assert_eq!(head["format"], "fake-dfdaemon.cassette/1");
    assert_eq!(head["release"], "1.5");
}

#[tokio::test]
async fn with_hashes_alone_no_content_is_kept() {
    let mut w = Recorded::start(&["--content", "hash"]).await;
    let file = w.path("file");
    fs::write(&file, bytes(2, LENGTH)).unwrap();
    let client = w.client().await;
    let task = client
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    client.export(requests::transfer(&task.id)).await.ok();
    drop(client);
    let calls = w.calls();
    let piece = &calls[1]["answer"]["messages"][1];
    assert_eq!(piece["content"]["length"], 4 << 20);
    assert_eq!(piece["content"]["sha256"].as_str().unwrap().len(), 64);
    assert!(names(&w.path("cassette/content")).is_empty());
}

/// An export that fails leaves what was there, which is not the daemon's.
#[tokio::test]
async fn an_output_that_was_there_before_is_not_recorded() {
    let mut w = Recorded::start(&[]).await;
    let (file, output) = (w.path("file"), w.path("output"));
    fs::write(&file, "content").unwrap();
    let client = w.client().await;
    let task = client
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    // Just before the call: the clocks of file systems tick slowly.
    fs::write(&output, "precious").unwrap();
    let exported = client.export(requests::export_to(&task.id, &output)).await;
    assert!(exported.status.message().contains("already exists"));
    let nowhere = w.path("none/output");
    client.export(requests::export_to(&task.id, &nowhere)).await;
    drop(client);
    let calls = w.calls();
    assert!(calls[1].get("output").is_none(), "{}", calls[1]);
    assert!(calls[2].get("output").is_none(), "{}", calls[2]);
}

#[tokio::test]
async fn who_hung_up_is_told_and_unknown_messages_are_bytes() {
    let between = Between::recording(&["--keep-metadata", "x-kept"]);
    let cassette = between.dir.path().join("cassette");
    let (mut client, mut daemon) = between.pair().await;
    // A message of a method that nobody knows, and a status with details.
    let mut asked = request("/odd.Service/Method");
    asked
        .headers_mut()
        .insert("grpc-timeout", HeaderValue::from_static("5S"));
    asked
        .headers_mut()
        .insert("x-kept", HeaderValue::from_static("yes"));
    asked
        .headers_mut()
        .insert("authorization", HeaderValue::from_static("hunter2"));
    let (answer, mut send) = client.send_request(asked, false).unwrap();
    send.send_data(bytes::Bytes::from_static(b"\0\0\0\0\x03abc"), true)
        .unwrap();
    let (seen, mut respond) = daemon.call().await.unwrap();
    let answered = async {
        read(seen.into_body()).await.unwrap();
        let mut body = respond.send_response(opened(), false).unwrap();
        let long = [&[0, 0, 1, 0x11, 0x70][..], &[9; 70_000]].concat();
        body.send_data(long.into(), false).unwrap();
        let mut end = HeaderMap::new();
        end.insert("grpc-status", HeaderValue::from_static("9"));
        end.insert("grpc-message", HeaderValue::from_static("caf%C3%A9"));
        end.insert("grpc-status-details-bin", HeaderValue::from_static("AAH/"));
        body.send_trailers(end).unwrap();
        read(answer.await.unwrap().into_body()).await.unwrap();
    };
    tokio::select! {
        () = answered => {}
        _ = daemon.call() => unreachable!("there is one call"),
    }
    // One that the daemon resets, one that the client leaves, one that dies with the daemon.
    for reason in [Some(h2::Reason::REFUSED_STREAM), None] {
        let (answer, mut send) = client.send_request(request("/a/b"), true).unwrap();
        let (_seen, mut respond) = daemon.call().await.unwrap();
        match reason {
            Some(reason) => respond.send_reset(reason),
            None => send.send_reset(h2::Reason::CANCEL),
        }
        let ended = async {
            let _ = answer.await;
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        };
        tokio::select! {
            () = ended => {}
            _ = daemon.call() => unreachable!("there is one call"),
        }
    }
    let (answer, _) = client.send_request(request("/c/d"), true).unwrap();
    daemon.call().await.unwrap();
    drop(daemon);
    answer.await.unwrap_err();

    let recorded = || calls(&cassette).len() == 4;
    Changes::at(&cassette)
        .until("all calls are recorded", recorded)
        .await;
    let text = fs::read_to_string(cassette.join("calls.jsonl")).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("authorization"));
    let calls = calls(&cassette);
    let odd = &calls[0];
    assert_eq!(odd["deadline"], "5S");
    assert_eq!(odd["metadata"], json!({"x-kept": ["yes"]}));
    assert_eq!(odd["requests"][0]["raw"], "YWJj");
    assert!(calls.iter().all(|call| call.get("requests_cut").is_none()));
    assert_eq!(odd["answer"]["messages"][0]["content"]["length"], 70_000);
    let status = json!({"code": "FAILED_PRECONDITION", "message": "café", "details": "AAH/"});
    assert_eq!(odd["answer"]["end"]["status"], status);
    assert_eq!(calls[1]["answer"]["end"], json!({"reset": 7}));
    assert_eq!(calls[2]["answer"]["end"], "client_gone");
    assert_eq!(calls[3]["answer"]["end"], "broken");
}

#[tokio::test]
async fn what_is_redacted_is_nowhere() {
    let mut w = Recorded::start(&["--redact", "s[e3]cret", "--redact", "/tmp[^\"]*/"]).await;
    let file = w.path("file");
    fs::write(&file, "content").unwrap();
    let client = w.client().await;
    let mut import = requests::import(&file, 1, 3600);
    import.tag = Some("my secret".to_owned());
    client.import(import).await.unwrap();
    client.stat("s3cret").await.unwrap_err();
    drop(client);
    let calls = w.calls();
    let asked = &calls[0]["requests"][0]["message"];
    assert_eq!(asked["tag"], "my [redacted]");
    assert_eq!(asked["path"], "[redacted]file");
    let text = fs::read_to_string(w.path("cassette/calls.jsonl")).unwrap();
    assert!(
        !text.contains("secret") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn a_command_finds_the_recorder_and_its_exit_code_is_the_recorders() {
    let dir = tempfile::tempdir().unwrap();
    let cassette = dir.path().join("cassette");
    let mut command = record(Path::new("/none"), &cassette);
    let script = "test -S \"$DFCACHE_ENDPOINT\" && test \"$FAKE_DFDAEMON_ENDPOINTS\" = \"$DFCACHE_ENDPOINT\" && test -d \"$FAKE_DFDAEMON_STATE_DIR\" && echo out && exit 7";
    command.env("TMPDIR", dir.path());
    let output = command.args(["--", "sh", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(names(dir.path()), ["cassette"], "something is left");
    // And what is there is not recorded over.
    let (code, said) = refused(&mut record(Path::new("/none"), &cassette));
    assert_eq!(code, Some(4));
    assert!(said.contains("is not empty"), "{said}");
    let mut absent = record(Path::new("/none"), &dir.path().join("other"));
    let (code, _) = refused(absent.args(["--", "/no/such/command"]));
    assert_eq!(code, Some(127));
    let mut bad = record(Path::new("/none"), &dir.path().join("third"));
    let (code, said) = refused(bad.args(["--redact", "("]));
    assert_eq!(code, Some(2));
    assert!(said.contains("--redact"), "{said}");
}
