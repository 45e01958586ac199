//! Proxies, recorders and replays in the library.

use fake_dfdaemon::{
    Code, FakeDfdaemon, Fault, Proxy, Recorder, Replay, Rpc, StartError, block_on,
};

use crate::support::client::Client;
use crate::support::content::bytes;
use crate::support::requests;

/// A session through a recorder, with a fault in its way, and the same from its cassette.
#[tokio::test]
async fn what_a_recorder_saw_is_answered_by_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let (file, cassette) = (dir.path().join("file"), dir.path().join("cassette"));
    let content = bytes(3, 100_000);
    std::fs::write(&file, &content).unwrap();
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let recorder = Recorder::builder(daemon.endpoint(), &cassette).redact("hunter\\d");
    let recorder = recorder.start().await.unwrap();
    let client = Client::connect(recorder.endpoint()).await;
    let mut request = requests::import(&file, 1, 3600);
    request.tag = Some("hunter2".to_owned());
    let id = client.import(request.clone()).await.unwrap().id;
    let fault = recorder.fault(Fault::on(Rpc::Stat).error(Code::Aborted));
    assert_eq!(client.stat(&id).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(fault.fired(), 1);
    drop(fault);
    client.stat(&id).await.unwrap();
    client.export(requests::transfer(&id)).await.ok();
    recorder.journal().expect(Rpc::Stat, 2..=2);
    drop(client);
    let endpoint = recorder.endpoint().to_owned();
    assert_eq!(recorder.stop().await.unwrap(), 3);
    assert!(!endpoint.exists());
    daemon.stop().await;

    let replay = Replay::builder(&cassette)
        .any_order()
        .path(dir.path(), "/elsewhere");
    let replay = replay.start().await.unwrap();
    assert_eq!(replay.calls(), 3);
    let client = Client::connect(replay.endpoint()).await;
    request.path = "/elsewhere/file".to_owned();
    assert_eq!(client.import(request).await.unwrap().id, id);
    let exported = client.export(requests::transfer(&id)).await.ok();
    assert!(exported.content() == content, "other bytes came");
    let fault = replay.fault(Fault::on(Rpc::Export).skip_piece());
    let exported = client.export(requests::transfer(&id)).await.ok();
    assert!(exported.pieces.is_empty());
    drop(fault);
    assert_eq!(
        client.stat("none").await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(replay.misses(), 1);
    let texts = std::fs::read_to_string(cassette.join("calls.jsonl")).unwrap();
    assert!(!texts.contains("hunter2") && texts.contains("[redacted]"));
}

#[test]
fn a_proxy_needs_no_runtime_and_is_gone_when_it_is_dropped() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    let proxy = Proxy::builder(daemon.endpoint()).start_blocking().unwrap();
    let endpoint = proxy.endpoint().to_owned();
    assert!(endpoint.exists() && proxy.control().is_none());
    let refused = proxy
        .try_fault("import:no_space".parse().unwrap())
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("no_space: a proxy has no store"),
        "{refused}"
    );
    drop(proxy);
    assert!(!endpoint.exists() && !endpoint.parent().unwrap().exists());
    // With its API, and more than one beside each other.
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let first = Proxy::builder(daemon.endpoint())
        .control(&control)
        .start_blocking()
        .unwrap();
    let second = Proxy::builder(first.endpoint()).start_blocking().unwrap();
    assert_eq!(first.control(), Some(control.as_path()));
    assert!(control.exists());
    block_on(first.stop());
    block_on(second.stop());
    assert!(!control.exists());
}

#[test]
fn what_cannot_be_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    let wrong = [
        Recorder::builder("/none", &other)
            .redact("(")
            .start_blocking()
            .map(drop),
        Recorder::builder("/none", &other)
            .redact("a*")
            .start_blocking()
            .map(drop),
        Replay::builder(&other)
            .speed(0.0)
            .start_blocking()
            .map(drop),
    ];
    for wrong in wrong {
        assert!(matches!(wrong, Err(StartError::Setting(_))), "{wrong:?}");
    }
    assert!(!other.exists());
    std::fs::write(dir.path().join("file"), "").unwrap();
    let none = Replay::builder(&other).start_blocking().map(drop);
    assert!(matches!(none, Err(StartError::Cassette(_))), "{none:?}");
    let full = Recorder::builder("/none", dir.path())
        .start_blocking()
        .map(drop);
    assert!(matches!(full, Err(StartError::Cassette(_))), "{full:?}");
    let fault = Proxy::builder("/none").fault(Fault::on(Rpc::Replicate).stall());
    let fault = fault.start_blocking().map(drop);
    assert!(matches!(fault, Err(StartError::Fault(_))), "{fault:?}");
}

/// A recorder that is dropped has what had ended, whole.
#[tokio::test]
async fn a_recorder_that_is_dropped_leaves_a_cassette() {
    let dir = tempfile::tempdir().unwrap();
    let cassette = dir.path().join("cassette");
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let recorder = Recorder::builder(daemon.endpoint(), &cassette)
        .start()
        .await
        .unwrap();
    let client = Client::connect(recorder.endpoint()).await;
    client.stat("7").await.unwrap_err();
    drop(client);
    drop(recorder);
    let replay = Replay::builder(&cassette).start().await.unwrap();
    assert_eq!(replay.calls(), 1);
    replay.stop().await;
}
