//! Hosts that stop, start and leave.

use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use tonic::Code;

use crate::control::controlled::{Controlled, PIECE, column, transfer};

async fn replicas(w: &Controlled, id: &str) -> Vec<Value> {
    let task = w.api.get(&format!("/tasks/{id}")).await;
    column(&task["replicas"], "host")
}

#[tokio::test]
async fn hosts_are_shown_with_their_load() {
    let w = Controlled::with(|builder| builder.capacity(1000)).await;
    w.imported(10).await;
    w.api.ask("/settle").await;
    let hosts = w.api.get("/hosts").await;
    let host = |number: usize, load: u64| {
        let host = w.daemon.host(number).unwrap();
        json!({
            "name": format!("host-{number}"),
            "endpoint": host.endpoint(),
            "upload_endpoint": host.upload_endpoint(),
            "state": "running",
            "tasks": load / 10,
            "used_bytes": load,
            "capacity_bytes": 1000,
        })
    };
    assert_eq!(
        hosts,
        json!({"hosts": [host(0, 10), host(1, 10), host(2, 0)]})
    );
    let unbounded = Controlled::new().await;
    assert_eq!(
        unbounded.api.get("/hosts").await["hosts"][0]["capacity_bytes"],
        Value::Null
    );
}

#[tokio::test]
async fn a_host_that_stops_keeps_its_replicas() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    let sockets = [0, 1].map(|number| {
        let host = w.daemon.host(number).unwrap();
        [
            host.endpoint().to_owned(),
            host.upload_endpoint().to_owned(),
        ]
    });
    let stopped = w.api.ask("/hosts/host-1/stop").await;
    assert_eq!(
        (&stopped["name"], &stopped["state"]),
        (&json!("host-1"), &json!("stopped"))
    );
    for socket in &sockets[1] {
        assert!(!socket.exists() && UnixStream::connect(socket).is_err());
    }
    w.api.ask("/settle").await;
    let task = w.api.get(&format!("/tasks/{id}")).await;
    assert_eq!(task["current_persistent_replica_count"], 2);
    assert_eq!(replicas(&w, &id).await, ["host-0", "host-1"]);
    let started = w.api.ask("/hosts/host-1/start").await;
    assert_eq!(started["state"], "running");
    assert_eq!(w.on_host(1).await.listed().await, [id]);
}

#[tokio::test]
async fn replicas_of_a_host_that_leaves_are_made_elsewhere_and_stay() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    assert_eq!(w.api.ask("/hosts/host-1/leave").await["state"], "left");
    w.api.ask("/settle").await;
    let task = w.api.get(&format!("/tasks/{id}")).await;
    assert_eq!(task["current_persistent_replica_count"], 2);
    assert!(replicas(&w, &id).await.contains(&json!("host-2")));
    w.api.ask("/hosts/host-1/start").await;
    w.api.ask("/settle").await;
    let task = w.api.get(&format!("/tasks/{id}")).await;
    assert_eq!(task["current_persistent_replica_count"], 3);
    assert_eq!(replicas(&w, &id).await, ["host-0", "host-1", "host-2"]);
}

/// Asked for twice, it is as it is.
#[tokio::test]
async fn what_is_asked_for_again_changes_nothing() {
    let w = Controlled::new().await;
    for (verb, state) in [
        ("stop", "stopped"),
        ("leave", "left"),
        ("stop", "stopped"),
        ("start", "running"),
    ] {
        for _ in 0..2 {
            let host = w.api.ask(&format!("/hosts/host-2/{verb}")).await;
            assert_eq!(host["state"], state);
        }
    }
    w.on_host(2).await.list().await.unwrap();
    for verb in ["stop", "start", "leave"] {
        for name in ["host-3", "host", "0", "host-01"] {
            let path = format!("/hosts/{name}/{verb}");
            w.api.refuses(404, ("POST", &path, ""), &[name]).await;
        }
    }
}

/// The socket of a stopped host may be somebody else's by now.
#[tokio::test]
async fn a_host_whose_socket_was_taken_does_not_start() {
    let w = Controlled::new().await;
    w.api.ask("/hosts/host-1/stop").await;
    let socket = w.daemon.host(1).unwrap().endpoint().to_owned();
    let taken = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let says = [socket.to_str().unwrap()];
    w.api
        .refuses(409, ("POST", "/hosts/host-1/start", ""), &says)
        .await;
    assert_eq!(w.api.get("/hosts").await["hosts"][1]["state"], "stopped");
    drop(taken);
    w.api.ask("/hosts/host-1/start").await;
    w.on_host(1).await.list().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_goes_on_from_another_replica_when_its_source_stops() {
    let w = Controlled::new().await;
    let (path, bytes) = w.new_file(3 * PIECE);
    let id = w
        .on_host(0)
        .await
        .import(crate::control::controlled::import(&path))
        .await
        .unwrap()
        .id;
    w.api.ask("/settle").await;
    let client = w.on_host(2).await;
    let request = transfer(&id);
    // Slow enough to be in the middle when a source goes.
    w.api
        .post(
            "/faults",
            json!({"on": "export", "piece": 1, "do": {"stall": true}}),
        )
        .await;
    let exporting = tokio::spawn(async move { client.export(request).await });
    crate::support::eventually("the export is under way", || async {
        w.api.get("/faults").await["faults"][0]["fired"] == 1
    })
    .await;
    w.api.ask("/hosts/host-0/stop").await;
    w.api.delete("/faults").await;
    assert_eq!(exporting.await.unwrap().ok().content(), bytes);
}

/// All of its own calls break with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_host_that_stops_break() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api
        .post("/faults", json!({"on": "stat", "do": {"stall": true}}))
        .await;
    let (client, other) = (w.on_host(0).await, w.on_host(1).await);
    let call = {
        let id = id.clone();
        tokio::spawn(async move { client.stat(&id).await })
    };
    crate::support::eventually("the call stalls", || async {
        w.api.get("/faults").await["faults"][0]["fired"] == 1
    })
    .await;
    w.api.ask("/hosts/host-0/stop").await;
    assert_ne!(call.await.unwrap().unwrap_err().code(), Code::Ok);
    w.api.delete("/faults").await;
    other.stat(&id).await.unwrap();
}
