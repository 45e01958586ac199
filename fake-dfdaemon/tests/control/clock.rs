//! The clock over the API.

use std::time::Duration;

use serde_json::json;

use crate::control::controlled::{Controlled, START, column, empty, import, transfer};

#[tokio::test]
async fn manual_time_moves_as_it_is_told_to() {
    let w = Controlled::new().await;
    let at = |now: &str| json!({"mode": "manual", "now": now});
    assert_eq!(w.api.get("/clock").await, at(START));
    let moved = w.api.post("/clock", json!({"advance": "2h 30m"})).await;
    assert_eq!(moved, at("2026-01-02T05:34:05Z"));
    let moved = w
        .api
        .post("/clock", json!({"set": "2026-02-01T00:00:00+01:00"}))
        .await;
    assert_eq!(moved, at("2026-01-31T23:00:00Z"));
    assert_eq!(w.api.get("/clock").await, moved);
}

#[tokio::test]
async fn a_move_that_makes_no_sense_is_refused_by_name() {
    let w = Controlled::new().await;
    for (body, says) in [
        ("", &["advance", "set"][..]),
        (
            "{\"advance\":\"1h\",\"set\":\"2026-01-01T00:00:00Z\"}",
            &["advance", "set"],
        ),
        (
            "{\"advance\":\"soon\"}",
            &["advance: \"soon\" is not a duration; write numbers with units, such as 90s"],
        ),
        (
            "{\"advance\":\"-1h\"}",
            &["advance: \"-1h\" is less than nothing"],
        ),
        (
            "{\"advance\":\"5\"}",
            &["advance: \"5\" is a number without a unit"],
        ),
        (
            "{\"advance\":3600}",
            &["advance: 3600 is not a text; write numbers with units"],
        ),
        (
            "{\"set\":\"tomorrow\"}",
            &["set: \"tomorrow\" is not a time in RFC 3339, such as 2030-"],
        ),
        ("{\"set\":1}", &["set: 1 is not a time"]),
        ("{\"forward\":\"1h\"}", &["unknown field", "forward"]),
    ] {
        w.api.refuses(400, ("POST", "/clock", body), says).await;
    }
    assert_eq!(w.api.get("/clock").await["now"], START);
}

#[tokio::test]
async fn system_time_is_not_to_be_moved() {
    let w =
        Controlled::with(|builder| builder.clock(fake_dfdaemon::clock::ClockMode::System)).await;
    assert_eq!(w.api.get("/clock").await["mode"], "system");
    for body in ["{\"advance\":\"1s\"}", "{\"set\":\"2026-01-01T00:00:00Z\"}"] {
        w.api
            .refuses(409, ("POST", "/clock", body), &["manual"])
            .await;
    }
}

/// Seven days of TTL, the collector and the answers, without seven days.
#[tokio::test]
async fn a_week_passes_at_once() {
    let w = Controlled::new().await;
    let (path, _) = w.new_file(10);
    let mut request = import(&path);
    request.ttl = Some(prost_types::Duration {
        seconds: 7 * 86_400,
        nanos: 0,
    });
    let client = w.on_host(0).await;
    let id = client.import(request).await.unwrap().id;
    w.api
        .post("/clock", json!({"advance": "6days 23h 59m 59s"}))
        .await;
    w.api.ask("/settle").await;
    assert_eq!(
        w.api.get("/tasks").await["tasks"][0]["expires_at"],
        "2026-01-09T03:04:05Z"
    );
    client.export(transfer(&id)).await.ok();
    w.api.post("/clock", json!({"advance": "1s"})).await;
    w.api
        .refuses(404, ("GET", &format!("/tasks/{id}"), ""), &[&id])
        .await;
    client.stat(&id).await.unwrap_err();
    assert_eq!(
        column(&w.api.get("/hosts").await["hosts"], "used_bytes"),
        [10, 10, 0]
    );
    assert_eq!(w.api.ask("/gc").await, empty());
    assert_eq!(
        column(&w.api.get("/hosts").await["hosts"], "used_bytes"),
        [0, 0, 0]
    );
}

#[tokio::test]
async fn settling_names_what_only_time_can_bring() {
    let w = Controlled::with(|builder| builder.replication_delay(Duration::from_secs(60))).await;
    let id = w.imported(10).await;
    let waiting = w.api.ask("/settle").await;
    let expected = json!([
        {"what": format!("replicate task {id}"), "due": "2026-01-02T03:05:05Z"},
        {"what": "collect expired tasks", "due": "2026-01-02T03:19:05Z"},
    ]);
    assert_eq!(waiting["waiting"], expected);
    assert_eq!(
        w.api.get(&format!("/tasks/{id}")).await["replicas"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    w.api.post("/clock", json!({"advance": "60s"})).await;
    let waiting = w.api.ask("/settle").await;
    assert_eq!(
        column(&waiting["waiting"], "what"),
        ["collect expired tasks"]
    );
    assert_eq!(
        w.api.get(&format!("/tasks/{id}")).await["replicas"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// Settled means settled: when it returns, all that was due is there to be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_under_way_when_settling_returns() {
    let w = Controlled::new().await;
    for _ in 0..20 {
        let id = w.imported(100_000).await;
        w.api.ask("/settle").await;
        let task = w.api.get(&format!("/tasks/{id}")).await;
        assert_eq!(task["current_persistent_replica_count"], 2);
    }
}
