//! Recorded calls put to another daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fake_dfdaemon::{Builder, FakeDfdaemon, Fault, Quirk, Quirks, Release};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::raw::{program, record};
use crate::support::client::Client;
use crate::support::content::bytes;
use crate::support::process::Process;
use crate::support::requests;

/// A session against a fake of 1.5, recorded.
async fn recorded() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let daemon = fake(Release::V1_5).start().await.unwrap();
    let mut command = record(daemon.endpoint(), &dir.path().join("cassette"));
    let recorder = Process::start(command.arg("--socket").arg(dir.path().join("in")));
    let client = Client::connect(&dir.path().join("in")).await;
    let (file, output) = (dir.path().join("file"), dir.path().join("output"));
    fs::write(&file, bytes(1, (4 << 20) + 9)).unwrap();
    let task = client
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    client
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap_err();
    client
        .import(requests::import(Path::new("/no/such/file"), 1, 3600))
        .await
        .unwrap_err();
    client.stat(&task.id).await.unwrap();
    client.stat("7").await.unwrap_err();
    client
        .export(requests::export_to(&task.id, &output))
        .await
        .ok();
    client.export(requests::transfer(&task.id)).await.ok();
    // The output is there by now, and another file.
    fs::remove_file(&output).unwrap();
    fs::write(&output, "other").unwrap();
    client.export(requests::export_to(&task.id, &output)).await;
    client
        .export(requests::export_to(
            &task.id,
            &dir.path().join("none/output"),
        ))
        .await;
    client.list().await.unwrap();
    drop(client);
    assert_eq!(recorder.end(Signal::TERM).code(), Some(0));
    // All that a cassette needs is in it.
    fs::remove_file(&file).unwrap();
    daemon.stop().await;
    dir
}

fn fake(release: Release) -> Builder {
    FakeDfdaemon::builder().release(release).hosts(1)
}

fn diff(cassette: &Path, against: &Path, options: &[&str]) -> Output {
    let mut command: Command = program();
    command.arg("diff").arg("--cassette").arg(cassette);
    command.arg("--against").arg(against).args(options);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_daemon_does_not_differ_and_another_does_in_what_it_says() {
    let dir = recorded().await;
    let cassette = dir.path().join("cassette");
    let daemon = fake(Release::V1_5).start().await.unwrap();
    let same = diff(&cassette, daemon.endpoint(), &[]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert_eq!(said(&same), "0 differences in 10 of 10 calls\n");
    daemon.stop().await;

    let daemon = fake(Release::V0_2).start().await.unwrap();
    let other = diff(&cassette, daemon.endpoint(), &["--format", "json"]);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    let report: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(report["calls"], 10);
    let differences = report["differences"].as_array().unwrap();
    let has = |call: u64, field: &str| {
        differences
            .iter()
            .any(|found| found["call"] == call && found["field"] == field)
    };
    // The id of the task, and the words of a wrapped status.
    assert!(has(1, "answer[0].message.id"), "{report}");
    assert!(has(5, "status.message"), "{report}");
    // Later calls mean the task that the other daemon made: it is there.
    let of_ids = differences.iter().filter(|found| {
        let field = found["field"].as_str().unwrap();
        field.ends_with("id") || field.starts_with("status.code") || field == "opened"
    });
    assert_eq!(of_ids.count(), 1, "{report}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_does_not_count() {
    let dir = recorded().await;
    let cassette = dir.path().join("cassette");
    let faulty = |fault: &str| fake(Release::V1_5).fault(fault.parse::<Fault>().unwrap());
    let daemon = faulty("stat:error=ABORTED").start().await.unwrap();
    let found = diff(&cassette, daemon.endpoint(), &[]);
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    assert!(said(&found).contains("status.code"), "{}", said(&found));
    daemon.stop().await;
    for (options, code) in [(&[][..], 1), (&["--ignore", "piece.length"], 0)] {
        let daemon = faulty("export:wrong_length").start().await.unwrap();
        let found = diff(&cassette, daemon.endpoint(), options);
        assert_eq!(found.status.code(), Some(code), "{}", said(&found));
        daemon.stop().await;
    }
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let head = r#"{"format":"fake-dfdaemon.cassette/1","recorded_at":"2030-01-01T00:00:00Z","upstream":"/up","release":null,"content":"keep"}"#;
    fs::write(dir.path().join("cassette.json"), head).unwrap();
    let call = r#"{"call":1,"at":"2030-01-01T00:00:00Z","method":"/a/b","requests":[{"raw":""}],"answer":{"opened":false,"messages":[],"end":"broken"}}"#;
    fs::write(dir.path().join("calls.jsonl"), format!("{call}\n")).unwrap();
    let output = diff(dir.path(), Path::new("/no/such/socket"), &[]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(
        said(&output).contains("/no/such/socket"),
        "{}",
        said(&output)
    );
}

/// What a dfdaemon 1.5.10 answered, a real one.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_dfdaemon_is_not_told_from_a_fake_with_every_quirk() {
    let quirks: Quirks = "all".parse().unwrap();
    let daemon = FakeDfdaemon::builder()
        .release(Release::V1_5)
        .quirks(Quirk::all().filter(|quirk| quirks.has(*quirk)))
        .start()
        .await
        .unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let found = diff(&fixtures.join("cassette-real-1.5"), daemon.endpoint(), &[]);
    assert_eq!(found.status.code(), Some(0), "{}", said(&found));
    daemon.stop().await;
}
