//! The journal over the API, and as a file.

use std::fs;

use serde_json::{Value, json};
use tonic::Code;

use crate::control::controlled::{Controlled, PIECE, column, empty, import, transfer};

#[tokio::test]
async fn a_call_is_told_in_full() {
    let w = Controlled::new().await;
    let (path, _) = w.new_file(PIECE + 1);
    let client = w.on_host(0).await;
    let id = client.import(import(&path)).await.unwrap().id;
    w.api.ask("/settle").await;
    client.export(transfer(&id)).await.ok();
    client.stat("7").await.unwrap_err();
    let mut calls = w.api.get("/journal").await["calls"].clone();
    for call in calls.as_array_mut().unwrap() {
        assert!(call["duration_ms"].as_u64().unwrap() < 60_000);
        call["duration_ms"] = json!(0);
        // What a client's library says of itself.
        let metadata = call["metadata"].as_object_mut().unwrap();
        metadata.remove("user-agent");
        assert_eq!(*metadata, serde_json::Map::new());
    }
    let call = |call: u64, rpc: &str, request: Value| {
        json!({
            "call": call, "at": "2026-01-02T03:04:05Z", "rpc": rpc, "host": "host-0",
            "request": request, "metadata": {}, "pieces": 0, "bytes": 0,
            "status": {"code": "OK", "message": ""},
            "fault": null, "client_gone": false, "duration_ms": 0,
        })
    };
    let import = call(
        1,
        "import",
        json!({
            "path": path, "content_for_calculating_task_id": null, "persistent_replica_count": 2,
            "tag": null, "application": null, "piece_length": null, "ttl_seconds": 3600.0,
            "timeout_seconds": null, "remote_ip": null, "task_id": id,
        }),
    );
    let mut replicate = call(2, "replicate", json!({"task_id": id, "persistent": true}));
    replicate["host"] = json!("host-1");
    let mut export = call(
        3,
        "export",
        json!({
            "task_id": id, "persistent": false, "tag": null, "application": null, "output_path": null,
            "timeout_seconds": null, "need_piece_content": true, "force_hard_link": false,
            "digest": null, "remote_ip": null, "overwrite": false,
        }),
    );
    export["pieces"] = json!(2);
    export["bytes"] = json!(PIECE + 1);
    let mut stat = call(4, "stat", json!({"task_id": "7", "remote_ip": null}));
    let message = calls[3]["status"]["message"].clone();
    assert!(
        message.as_str().unwrap().contains("task 7 not found"),
        "{message}"
    );
    stat["status"] = json!({"code": "INTERNAL", "message": message});
    assert_eq!(calls, json!([import, replicate, export, stat]));
}

#[tokio::test]
async fn calls_are_found_by_kind_status_task_and_host() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    w.on_host(1).await.stat(&id).await.unwrap();
    w.on_host(1).await.stat("7").await.unwrap_err();
    for (query, calls) in [
        ("", &[1, 2, 3, 4][..]),
        ("rpc=stat", &[3, 4]),
        ("rpc=stat&status=INTERNAL", &[4]),
        ("status=OK", &[1, 2, 3]),
        ("host=host-0", &[1]),
        ("host=host-1&rpc=replicate", &[2]),
        ("task=7", &[4]),
        (&format!("task={id}"), &[1, 2, 3]),
        ("rpc=delete", &[]),
        ("status=NOT_FOUND", &[]),
    ] {
        let found = w.api.get(&format!("/journal?{query}")).await;
        assert_eq!(column(&found["calls"], "call"), calls, "{query}");
    }
    for (query, says) in [
        ("rpc=upload", "rpc"),
        ("status=BROKEN", "BROKEN"),
        ("host=host-9", "host-9"),
        ("color=red", "color"),
    ] {
        w.api
            .refuses(400, ("GET", &format!("/journal?{query}"), ""), &[says])
            .await;
    }
}

#[tokio::test]
async fn a_cleared_journal_counts_on() {
    let w = Controlled::new().await;
    w.imported(10).await;
    w.api.ask("/settle").await;
    assert_eq!(w.api.delete("/journal").await, empty());
    assert_eq!(w.api.get("/journal").await, json!({"calls": []}));
    w.on_host(0).await.list().await.unwrap();
    assert_eq!(column(&w.api.get("/journal").await["calls"], "call"), [3]);
    // The file is the journal.
    let written = fs::read_to_string(w.daemon.journal().path()).unwrap();
    let lines: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(w.api.get("/journal").await["calls"], json!(lines));
}

#[tokio::test]
async fn a_journal_lies_where_it_was_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls.jsonl");
    let w = Controlled::with(|builder| builder.journal(&path)).await;
    w.on_host(0).await.list().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    assert!(!w.daemon.state_dir().join("journal.jsonl").exists());
    w.world.stop().await;
    assert!(path.exists());
}

/// A watch is a call that runs until its client goes away, or it is broken off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_the_health_is_a_call() {
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    let mut watched = client.watch_health().await.unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);
    let running = w.api.get("/journal?running=true").await;
    assert_eq!(running["calls"][0]["request"]["watch"], true, "{running}");
    drop(watched);
    let wait = json!({"rpc": "health"});
    let ended = w.api.post("/journal/wait", wait).await;
    assert_eq!(ended["calls"][0]["status"]["code"], "CANCELLED", "{ended}");
    assert_eq!(ended["calls"][0]["client_gone"], true, "{ended}");

    let mut watched = client.watch_health().await.unwrap();
    watched.message().await.unwrap();
    w.api.ask("/reset").await;
    let broken_off = watched.message().await.unwrap_err();
    assert_eq!(broken_off.code(), Code::Unavailable);

    let fault = json!({"on": "health", "do": {"error": "ABORTED"}});
    w.api.post("/faults", fault).await;
    let refused = client.watch_health().await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
}
