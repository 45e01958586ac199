//! Snapshots: tasks, hosts and clock come back, faults and journal stay. A reset is another start.

use fake_dfdaemon::{Fault, Rpc};
use serde_json::{Value, json};
use testkit::wait::HANGS;
use tonic::Code;

use crate::control::controlled::{Controlled, PIECE, START, column, empty, import, transfer};
use crate::control::events::Reader;
use crate::support::client::Import;
use crate::support::control::Address;
use crate::support::world::fired;

/// Tasks, hosts and clock.
async fn state(w: &Controlled) -> [Value; 3] {
    w.api.ask("/settle").await;
    let mut states = [Value::Null, Value::Null, Value::Null];
    for (state, path) in states.iter_mut().zip(["/tasks", "/hosts", "/clock"]) {
        *state = w.api.get(path).await;
    }
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_hosts_and_clock_come_back_faults_and_journal_stay() {
    let w = Controlled::new().await;
    let (path, bytes) = w.new_file(PIECE + 1);
    let id = w.on_host(0).await.import(import(&path)).await.unwrap().id;
    w.api.ask("/hosts/host-2/leave").await;
    let kept = state(&w).await;
    assert_eq!(w.api.ask("/snapshots/before").await, empty());
    // All of it changes.
    w.api.delete(&format!("/tasks/{id}")).await;
    let other = w.imported(20).await;
    w.api.ask("/hosts/host-2/start").await;
    w.api.ask("/hosts/host-1/stop").await;
    w.api.post("/clock", json!({"advance": "30days"})).await;
    w.api
        .post(
            "/faults",
            json!({"on": "health", "do": {"error": "ABORTED"}}),
        )
        .await;
    let (faults, journal) = (w.api.get("/faults").await, w.api.get("/journal").await);
    for _ in 0..2 {
        assert_eq!(w.api.ask("/snapshots/before/restore").await, empty());
        assert_eq!(state(&w).await, kept);
        assert_eq!(w.api.get("/faults").await, faults);
        assert_eq!(w.api.get("/journal").await, journal);
    }
    let client = w.on_host(1).await;
    client.stat(&other).await.unwrap_err();
    assert_eq!(client.export(transfer(&id)).await.ok().content(), bytes);
    // The next call has the next number.
    let numbers = column(&w.api.get("/journal").await["calls"], "call");
    let expected: Vec<_> = (1..=numbers.len()).collect();
    assert_eq!(json!(numbers), json!(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_as_after_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("preloaded"), b"content").unwrap();
    let refused = Fault::on(Rpc::Delete).call(1).error(Code::Aborted);
    let w = Controlled::with(|builder| builder.preload(dir.path()).fault(refused)).await;
    let preloaded = w.daemon.preloaded()[0].task_id.clone();
    let at_start = state(&w).await;
    let faults = w.api.get("/faults").await;
    let (path, bytes) = w.new_file(100);
    let id = w.on_host(0).await.import(import(&path)).await.unwrap().id;
    w.api.post("/clock", json!({"advance": "30m"})).await;
    w.api.ask("/hosts/host-0/leave").await;
    w.api.ask("/snapshots/kept").await;
    w.peer(1).await.delete(&preloaded).await.unwrap_err();
    w.peer(1).await.delete(&preloaded).await.unwrap();
    let fault = json!({"on": "stat", "do": {"stall": true}});
    w.api.post("/faults", fault).await;
    for _ in 0..2 {
        assert_eq!(w.api.ask("/reset").await, empty());
        assert_eq!(w.api.get("/faults").await, faults);
        assert_eq!(w.api.get("/journal?rpc=delete").await["calls"], json!([]));
        assert_eq!(state(&w).await, at_start);
        assert_eq!(w.api.get("/clock").await["now"], START);
        let client = w.on_host(0).await;
        let exported = client.export(transfer(&preloaded)).await.ok();
        assert_eq!(exported.content(), b"content");
        // Armed again, also if it has fired.
        w.peer(0).await.delete("7").await.unwrap_err();
        let refused = w.api.get("/journal?status=ABORTED").await;
        assert_eq!(column(&refused["calls"], "rpc"), ["delete"]);
    }
    // As if it had never been: the same file is a new task.
    w.api.ask("/reset").await;
    let again = w.on_host(0).await.import(import(&path)).await.unwrap();
    assert_eq!(
        (again.id.as_str(), again.created_at.unwrap().seconds),
        (id.as_str(), 1_767_323_045)
    );
    // A snapshot outlives a reset.
    w.api.ask("/snapshots/kept/restore").await;
    w.api.ask("/hosts/host-0/start").await;
    w.api.post("/clock", json!({"set": START})).await;
    let client = w.on_host(0).await;
    assert_eq!(client.export(transfer(&id)).await.ok().content(), bytes);
}

/// What cannot be brought back is looked at before anything goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_without_its_preloaded_files_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let preload = dir.path().join("preload");
    std::fs::create_dir(&preload).unwrap();
    std::fs::write(preload.join("file"), b"content").unwrap();
    let w = Controlled::with(|builder| builder.preload(&preload)).await;
    let (path, _) = w.new_file(100);
    w.on_host(0).await.import(import(&path)).await.unwrap();
    w.api.ask("/hosts/host-1/leave").await;
    let fault = json!({"on": "stat", "do": {"stall": true}});
    w.api.post("/faults", fault).await;
    w.api.ask("/settle").await;
    let before = (state(&w).await, w.api.get("/faults").await);
    let journal = w.api.get("/journal").await;

    std::fs::rename(&preload, dir.path().join("gone")).unwrap();
    let control = Address::socket(w.daemon.control());
    let refused = control.send("POST", "/reset", "").await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let why = refused.body["error"]["message"].as_str().unwrap();
    assert!(why.contains("nothing was changed"), "{why}");
    assert!(why.contains(preload.to_str().unwrap()), "{why}");
    assert_eq!((state(&w).await, w.api.get("/faults").await), before);
    assert_eq!(w.api.get("/journal").await, journal);

    std::fs::rename(dir.path().join("gone"), &preload).unwrap();
    w.api.ask("/reset").await;
    let tasks = w.api.get("/tasks").await;
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1);
}

/// Numbers begin anew with a reset: a guard of before has nothing to do with a fault of after.
#[tokio::test]
async fn a_guard_of_before_a_reset_removes_nothing_after_it() {
    let w = Controlled::new().await;
    let fault = || Fault::on(Rpc::Stat).stall();
    let before = w.daemon.fault(fault());
    w.daemon.reset().await.unwrap();
    let after = w.daemon.fault(fault());
    assert_eq!(before.id(), after.id());
    drop(before);
    assert_eq!(column(&w.api.get("/faults").await["faults"], "id"), [1]);
    drop(after);
    assert_eq!(w.api.get("/faults").await["faults"], json!([]));
}

/// What cannot be brought back breaks nothing off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_what_is_not_there_leaves_calls_running() {
    let w = Controlled::new().await;
    let fault = w.daemon.fault(Fault::on(Rpc::Stat).stall());
    let client = w.on_host(0).await;
    let stating = tokio::spawn(async move { client.stat("7").await });
    fired(&fault, 1).await;
    let missing = ("POST", "/snapshots/nothing/restore", "");
    w.api.refuses(404, missing, &["nothing"]).await;
    drop(fault);
    let status = stating.await.unwrap().unwrap_err();
    assert!(status.message().contains("not found"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_running_get_unavailable() {
    for verb in ["/reset", "/snapshots/a/restore"] {
        let w = Controlled::new().await;
        w.api.ask("/snapshots/a").await;
        let id = w.imported(PIECE + 1).await;
        let (path, _) = w.new_file(10);
        for fault in [
            json!({"on": "export", "piece": 1, "do": {"stall": true}}),
            json!({"on": "stat", "do": {"delay": "1h"}}),
            json!({"on": "import", "do": {"stall": true}}),
            json!({"on": "replicate", "do": {"stall": true}}),
        ] {
            w.api.post("/faults", fault).await;
        }
        let mut fires = Reader::of_kind(&w.api, "fault-fired").await;
        let client = w.on_host(0).await;
        let exporting = {
            let (client, request) = (client.clone(), transfer(&id));
            tokio::spawn(async move { client.export(request).await })
        };
        let stating = {
            let (client, id) = (client.clone(), id.clone());
            tokio::spawn(async move { client.stat(&id).await })
        };
        let importing = client.begin_import(import(&path));
        fires.until("id", vec![1, 2, 3]).await;
        tokio::time::timeout(HANGS, w.api.ask(verb))
            .await
            .expect(verb);
        let exported = exporting.await.unwrap();
        assert_eq!(exported.status.code(), Code::Unavailable, "{verb}");
        assert_eq!(exported.numbers(), [0], "{verb}");
        assert_eq!(
            stating.await.unwrap().unwrap_err().code(),
            Code::Unavailable,
            "{verb}"
        );
        assert_eq!(
            importing.await.unwrap().unwrap_err().code(),
            Code::Unavailable,
            "{verb}"
        );
        assert!(
            column(&w.api.get("/tasks").await["tasks"], "task_id").is_empty(),
            "{verb}"
        );
        let calls = w.api.get("/journal?status=UNAVAILABLE").await;
        let calls = calls["calls"].as_array().unwrap();
        // A reset forgets them.
        let at_least = if verb == "/reset" { 0 } else { 3 };
        assert!(calls.len() >= at_least, "{verb}: {calls:#?}");
        assert!(
            calls.iter().all(|call| call["client_gone"] == false),
            "{verb}"
        );
        // And the next ones are served.
        client.health("").await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_is_replaced_by_one_of_the_same_name() {
    let w = Controlled::new().await;
    w.api.ask("/snapshots/a").await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    w.api.ask("/snapshots/a").await;
    w.api.ask("/reset").await;
    w.api.ask("/snapshots/a/restore").await;
    assert_eq!(column(&w.api.get("/tasks").await["tasks"], "task_id"), [id]);
}

#[tokio::test]
async fn a_snapshot_that_is_not_there_and_a_name_that_is_none_are_refused() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    let missing = ("POST", "/snapshots/nothing/restore", "");
    w.api.refuses(404, missing, &["nothing"]).await;
    let long = "a".repeat(65);
    for name in [".hidden", "a%2Fb", "..", "a%20b", "%C3%A4", &long] {
        for verb in ["", "/restore"] {
            let path = format!("/snapshots/{name}{verb}");
            w.api.refuses(400, ("POST", &path, ""), &["name"]).await;
        }
    }
    assert_eq!(column(&w.api.get("/tasks").await["tasks"], "task_id"), [id]);
}

/// The hosts that come back with a snapshot start while the old state is still known, and what it
/// lacks is put down at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_only_the_replaced_state_lacked_is_not_made() {
    let w = Controlled::new().await;
    let (path, _) = w.new_file(10);
    let request = Import {
        persistent_replica_count: 2,
        ..import(&path)
    };
    let client = w.on_host(0).await;
    client.import(request.clone()).await.unwrap();
    w.api.ask("/settle").await;
    w.api.ask("/snapshots/two").await;
    w.api.ask("/reset").await;
    for host in ["host-1", "host-2"] {
        w.api.ask(&format!("/hosts/{host}/stop")).await;
    }
    let client = w.on_host(0).await;
    client.import(request).await.unwrap();
    w.api.ask("/settle").await;
    w.api.delete("/journal").await;
    w.api.ask("/snapshots/two/restore").await;
    w.api.ask("/settle").await;
    let calls = w.api.get("/journal?rpc=replicate").await;
    assert_eq!(calls["calls"], json!([]));
    assert_eq!(
        column(&w.api.get("/hosts").await["hosts"], "tasks"),
        [1, 1, 0]
    );
}

/// A restored state is one like any other: it can be imported into, expires and settles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_state_lives_on() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    w.api.ask("/snapshots/a").await;
    for _ in 0..5 {
        let (path, _) = w.new_file(10);
        w.on_host(1).await.import(import(&path)).await.unwrap();
        w.api.ask("/snapshots/a/restore").await;
    }
    let next = w.imported(10).await;
    let waiting = w.api.ask("/settle").await;
    assert_eq!(
        column(&waiting["waiting"], "what"),
        ["collect expired tasks"]
    );
    let mut ids = [id, next];
    ids.sort();
    assert_eq!(column(&w.api.get("/tasks").await["tasks"], "task_id"), ids);
    assert_eq!(
        column(&w.api.get("/hosts").await["hosts"], "tasks"),
        [2, 1, 1]
    );
    w.api.post("/clock", json!({"advance": "1h"})).await;
    w.api.ask("/gc").await;
    assert_eq!(
        column(&w.api.get("/hosts").await["hosts"], "tasks"),
        [0, 0, 0]
    );
    w.api.ask("/snapshots/a/restore").await;
    assert_eq!(
        column(&w.api.get("/hosts").await["hosts"], "tasks"),
        [1, 1, 0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_are_kept_and_brought_back() {
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    let (path, _) = w.new_file(100);
    for number in 0..1000 {
        let request = Import {
            content_for_calculating_task_id: Some(number.to_string()),
            persistent_replica_count: 3,
            ..import(&path)
        };
        client.import(request).await.unwrap();
    }
    w.api.ask("/settle").await;
    let tasks = || async {
        let hosts = w.api.get("/hosts").await;
        column(&hosts["hosts"], "tasks")
    };
    assert_eq!(tasks().await, [1000, 1000, 1000]);
    for path in [
        "/snapshots/a",
        "/snapshots/a/restore",
        "/reset",
        "/snapshots/a/restore",
    ] {
        w.api.ask(path).await;
        let expected = if path == "/reset" { 0 } else { 1000 };
        assert_eq!(tasks().await, [expected; 3]);
    }
}

#[tokio::test]
async fn snapshots_are_listed_and_removed() {
    let w = Controlled::new().await;
    let none = json!({"snapshots": []});
    assert_eq!(w.api.get("/snapshots").await, none);
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    w.api.ask("/snapshots/b").await;
    w.api.post("/clock", json!({"advance": "10m"})).await;
    w.api.ask("/snapshots/a.1").await;
    let listed = json!({"snapshots": [
        {"name": "a.1", "taken_at": "2026-01-02T03:14:05Z"},
        {"name": "b", "taken_at": "2026-01-02T03:04:05Z"},
    ]});
    assert_eq!(w.api.get("/snapshots").await, listed);
    w.api.delete("/snapshots/b").await;
    assert_eq!(
        w.api.get("/snapshots").await["snapshots"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for (method, path) in [("DELETE", "/snapshots/b"), ("POST", "/snapshots/b/restore")] {
        w.api
            .refuses(404, (method, path, ""), &["no snapshot b"])
            .await;
    }
    for name in ["..", ".new", "a%2Fb"] {
        let path = format!("/snapshots/{name}");
        w.api.refuses(400, ("DELETE", &path, ""), &["name"]).await;
    }
    // What is left is whole, and what was removed is off the disk.
    w.api.ask("/settle").await;
    w.api.ask("/snapshots/a.1/restore").await;
    assert_eq!(w.api.get("/tasks").await["tasks"][0]["task_id"], id);
    assert!(!w.daemon.state_dir().join("snapshots/b").exists());
    w.api.delete("/snapshots/a.1").await;
    assert_eq!(w.api.get("/snapshots").await, none);
}
