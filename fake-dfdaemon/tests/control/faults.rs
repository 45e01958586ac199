//! Faults over the API.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::json;
use tonic::Code;

use crate::control::controlled::{Controlled, column, empty};
use crate::control::events::Reader;

#[tokio::test]
async fn a_fault_is_shown_as_it_was_given_with_id_and_count() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    let given = json!({
        "on": "export", "call": 2, "piece": 3,
        "do": {"error": {"code": "UNAVAILABLE", "message": "gone"}},
    });
    let mut expected = given.clone();
    expected["id"] = json!(1);
    expected["fired"] = json!(0);
    assert_eq!(w.api.post("/faults", given).await, expected);
    let second = json!({"on": "stat", "do": {"error": "ABORTED"}});
    let second = w.api.post("/faults", second).await;
    assert_eq!(second["id"], 2);
    let refused = w.on_host(0).await.stat(&id).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let faults = w.api.get("/faults").await["faults"].clone();
    assert_eq!(faults[0], expected);
    assert_eq!(column(&faults, "fired"), [0, 1]);
    assert_eq!(w.api.delete("/faults/2").await, empty());
    assert_eq!(column(&w.api.get("/faults").await["faults"], "id"), [1]);
    w.on_host(0).await.stat(&id).await.unwrap();
    assert_eq!(w.api.delete("/faults").await, empty());
    assert_eq!(w.api.get("/faults").await, json!({"faults": []}));
    // A number is not given twice: the journal names faults by it.
    let third = json!({"on": "*", "do": {"reset": true}});
    assert_eq!(w.api.post("/faults", third).await["id"], 3);
}

/// What is answered is held against the document.
#[tokio::test]
async fn amounts_of_time_and_bytes_are_shown_as_the_document_says() {
    let w = Controlled::new().await;
    for (given, shown) in [
        (json!({"delay": "200ms"}), json!({"delay": "200ms"})),
        (json!({"delay": "2d 3h"}), json!({"delay": "2days 3h"})),
        (
            json!({"delay": "9999h"}),
            json!({"delay": "1year 1month 20days 22h 26m 24s"}),
        ),
        (
            json!({"delay": "1s..9999d"}),
            json!({"delay": "1s..27years 4months 15days 11h 45m 36s"}),
        ),
        (json!({"bandwidth": "10MiB"}), json!({"bandwidth": "10MiB"})),
        (json!({"bandwidth": "1G"}), json!({"bandwidth": "1GB"})),
        (
            json!({"bandwidth": "12345678901b"}),
            json!({"bandwidth": "12345678901B"}),
        ),
    ] {
        let fault = w
            .api
            .post("/faults", json!({"on": "export", "do": given}))
            .await;
        assert_eq!(fault["do"], shown);
    }
    for delay in ["2d", "9999h", "1ms"] {
        let change = json!({"replication_delay": delay, "gc_interval": delay}).to_string();
        let changed = w.api.send("PATCH", "/settings", &change).await;
        assert_eq!(changed.status, 200, "{}", changed.body);
    }
}

#[tokio::test]
async fn a_fault_that_is_none_is_refused_by_name() {
    let w = Controlled::new().await;
    // What a specification may hold is tested beside its grammar.
    for (body, says) in [
        ("", "missing field `on`"),
        (r#"{"on":"stat","do":{"explode":true}}"#, "explode"),
        (
            r#"{"on":"stat","do":{"stall":true},"host":"host-9"}"#,
            "host-9",
        ),
    ] {
        w.api.refuses(400, ("POST", "/faults", body), &[says]).await;
    }
    assert_eq!(w.api.get("/faults").await, json!({"faults": []}));
    for id in ["1", "0", "x", "-1", "99999999999999999999"] {
        let path = format!("/faults/{id}");
        w.api.refuses(404, ("DELETE", &path, ""), &[id]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_call_goes_on_when_its_fault_is_deleted() {
    for path in ["/faults/1", "/faults"] {
        let w = Controlled::new().await;
        let id = w.imported(10).await;
        w.api
            .post("/faults", json!({"on": "stat", "do": {"stall": true}}))
            .await;
        let mut fires = Reader::of_kind(&w.api, "fault-fired").await;
        let client = w.on_host(0).await;
        let stalled = tokio::spawn(async move { client.stat(&id).await });
        fires.until("id", vec![1]).await;
        assert!(!stalled.is_finished());
        w.api.delete(path).await;
        stalled.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_host_whose_sockets_a_fault_closed_serves_again_when_the_answer_comes() {
    let w = Controlled::new().await;
    let endpoint = w.daemon.endpoint().to_owned();
    let knock = || UnixStream::connect(&endpoint).map_err(|error| error.kind());
    let stale = || json!({"on": "connect", "host": "host-0", "do": {"stale": true}});
    for path in ["/faults/1", "/faults"] {
        assert_eq!(w.api.post("/faults", stale()).await["fired"], 1);
        assert_eq!(knock().unwrap_err(), ErrorKind::ConnectionRefused);
        w.api.delete(path).await;
        knock().unwrap();
    }
    w.api.post("/faults", stale()).await;
    std::fs::remove_file(&endpoint).unwrap();
    let theirs = UnixListener::bind(&endpoint).unwrap();
    let says = &[endpoint.to_str().unwrap(), "in use"];
    w.api.refuses(409, ("DELETE", "/faults", ""), says).await;
    assert_eq!(w.api.get("/faults").await, json!({"faults": []}));
    drop(theirs);
    w.api.post("/hosts/host-0/start", empty()).await;
    knock().unwrap();
}
