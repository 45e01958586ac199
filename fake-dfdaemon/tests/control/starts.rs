//! What the API finds at the start: preloaded files, a TCP address, an earlier journal.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::control::controlled::{Api, Controlled, column, transfer};
use crate::support::client::Client;
use crate::support::control::Address;
use crate::support::process::{Process, serve};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_there_from_the_start_that_were_to_be_preloaded() {
    let fixtures = tempfile::tempdir().unwrap();
    let dir = fixtures.path();
    fs::create_dir_all(dir.join("b/deep")).unwrap();
    for (name, content) in [
        ("z", "last"),
        ("a", "first"),
        ("b/deep/file", "deep"),
        ("b/empty", ""),
    ] {
        fs::write(dir.join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("a", dir.join("c")).unwrap();
    let w = Controlled::with(|builder| builder.preload(dir)).await;
    let ready = serde_json::to_value(w.daemon.ready()).unwrap();
    let preloaded = &ready["preloaded"];
    let paths = ["a", "b/deep/file", "b/empty", "c", "z"].map(|name| json!(dir.join(name)));
    assert_eq!(column(preloaded, "path"), paths);
    let client = w.on_host(2).await;
    for (entry, content) in preloaded
        .as_array()
        .unwrap()
        .iter()
        .zip(["first", "deep", "", "first", "last"])
    {
        let id = entry["task_id"].as_str().unwrap();
        let exported = client.export(transfer(id)).await.ok();
        assert_eq!(exported.content(), content.as_bytes());
    }
    w.api.ask("/settle").await;
    assert_eq!(
        column(
            &w.api.get("/tasks").await["tasks"],
            "current_persistent_replica_count"
        ),
        [2; 4]
    );
    // No client called.
    assert_eq!(w.api.get("/journal?rpc=import").await, json!({"calls": []}));
}

#[tokio::test]
async fn the_same_files_may_be_preloaded_into_a_state_that_has_them() {
    let (fixtures, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(fixtures.path().join("a"), "first").unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let w =
            Controlled::with(|builder| builder.preload(fixtures.path()).state_dir(state.path()))
                .await;
        ids.push(w.daemon.preloaded()[0].task_id.clone());
        w.world.stop().await;
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_directory_or_a_file_that_cannot_be_preloaded_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, dangling) = (dir.path().join("missing"), dir.path().join("dangling"));
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    for (preload, named) in [(&*missing, &missing), (dir.path(), &dangling)] {
        let builder = fake_dfdaemon::FakeDfdaemon::builder().preload(preload);
        let refused = builder.start().await.err().unwrap().to_string();
        assert!(refused.contains(named.to_str().unwrap()), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_served_on_tcp_besides() {
    let w = Controlled::with(|builder| builder.control_tcp("127.0.0.1:0".parse().unwrap())).await;
    let ready = serde_json::to_value(w.daemon.ready()).unwrap();
    let address: SocketAddr = ready["control_tcp"].as_str().unwrap().parse().unwrap();
    assert_ne!(address.port(), 0);
    let api = Api::at(Address::Tcp(address)).await;
    assert_eq!(api.get("/health").await, w.api.get("/health").await);
    api.post("/clock", json!({"advance": "1h"})).await;
    assert_eq!(w.api.get("/clock").await, api.get("/clock").await);
    w.world.stop().await;
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(
        serde_json::to_value(Controlled::new().await.daemon.ready()).unwrap()["control_tcp"],
        Value::Null
    );
}

/// A daemon that was killed leaves the journal of all calls that had ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_read_after_a_kill_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let start = || Process::start(serve().arg("--state-dir").arg(&state));
    let process = start();
    let client = Client::connect(&process.endpoint(0)).await;
    for _ in 0..20 {
        client.stat("7").await.unwrap_err();
    }
    process.kill();
    let journal = fs::read_to_string(state.join("journal.jsonl")).unwrap();
    let numbers: Vec<_> = journal
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["call"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let process = start();
    let api = Api::at(Address::socket(&process.path("control"))).await;
    assert_eq!(
        api.get("/journal").await["calls"].as_array().unwrap().len(),
        20
    );
    let client = Client::connect(&process.endpoint(0)).await;
    client.list().await.unwrap();
    assert_eq!(
        column(&api.get("/journal?rpc=list").await["calls"], "call"),
        [21]
    );
}
