//! Hosts that stop, start and leave. What becomes of their replicas is in `contract/replicas`.

use std::os::unix::net::UnixStream;

use fake_dfdaemon::{Fault, Rpc};
use serde_json::{Value, json};
use tonic::Code;

use crate::control::controlled::Controlled;
use crate::support::world::fired;

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

/// Asked for twice, it is as it is.
#[tokio::test]
async fn what_is_asked_for_again_changes_nothing() {
    let w = Controlled::new().await;
    let host = w.daemon.host(2).unwrap();
    let sockets = [host.endpoint(), host.upload_endpoint()];
    for (verb, state) in [
        ("stop", "stopped"),
        ("leave", "left"),
        ("stop", "stopped"),
        ("start", "running"),
    ] {
        for _ in 0..2 {
            let host = w.api.ask(&format!("/hosts/host-2/{verb}")).await;
            assert_eq!(host["state"], state);
            for socket in &sockets {
                assert_eq!(socket.exists(), state == "running", "{verb}");
                assert_eq!(UnixStream::connect(socket).is_ok(), state == "running");
            }
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

/// All of its own calls break with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_host_that_stops_break() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    let stall = w.daemon.fault(Fault::on(Rpc::Stat).stall());
    let (client, other) = (w.on_host(0).await, w.on_host(1).await);
    let call = {
        let id = id.clone();
        tokio::spawn(async move { client.stat(&id).await })
    };
    fired(&stall, 1).await;
    w.api.ask("/hosts/host-0/stop").await;
    assert_ne!(call.await.unwrap().unwrap_err().code(), Code::Ok);
    drop(stall);
    other.stat(&id).await.unwrap();
}
