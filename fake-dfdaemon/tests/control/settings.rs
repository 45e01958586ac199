//! Settings that are changed while the daemon runs.

use std::time::Duration;

use fake_dfdaemon::{Quirk, Release};
use serde_json::{Value, json};
use tonic::Code;

use crate::control::controlled::{Controlled, import, transfer};
use crate::support::client::Import;

impl Controlled {
    async fn adjust(&self, change: Value) -> Value {
        let body = change.to_string();
        let answer = self.api.send("PATCH", "/settings", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(self.api.get("/settings").await, answer.body);
        answer.body
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_told_and_changed_one_by_one() {
    let w = Controlled::with(|builder| {
        let builder = builder.capacity(1 << 30).quirks([Quirk::TtlLimits]);
        builder.block("import:tag=x".parse().unwrap())
    })
    .await;
    let mut expected = json!({
        "capacity": 1 << 30, "max_requests": null, "block": ["import:tag=x"],
        "replication_delay": "0s", "gc_interval": "15m", "quirks": ["ttl-limits"],
    });
    assert_eq!(w.api.get("/settings").await, expected);
    assert_eq!(w.adjust(json!({})).await, expected);
    for (field, given, shown) in [
        ("capacity", json!("1mib"), json!(1 << 20)),
        ("capacity", json!(5), json!(5)),
        ("capacity", json!(null), json!(null)),
        ("max_requests", json!(3), json!(3)),
        ("max_requests", json!(null), json!(null)),
        ("block", json!([]), json!([])),
        ("block", json!(null), json!([])),
        (
            "block",
            json!(["export:application=a=b"]),
            json!(["export:application=a=b"]),
        ),
        ("replication_delay", json!("90s"), json!("1m 30s")),
        ("gc_interval", json!("1h"), json!("1h")),
        ("quirks", json!([]), json!([])),
        (
            "quirks",
            json!("no-local-calls,ttl-limits,-ttl-limits"),
            json!(["no-local-calls"]),
        ),
    ] {
        expected[field] = shown;
        assert_eq!(w.adjust(json!({ field: given })).await, expected);
    }
    // One that makes no sense changes nothing, also nothing else.
    for (field, wrong, says) in [
        (
            "capacity",
            json!("much"),
            "\"much\" is not a size; write bytes, such as 4096",
        ),
        ("capacity", json!(-1), "it must be bytes, such as 4096"),
        (
            "max_requests",
            json!("3"),
            "it must be a whole number from 0 on, or null",
        ),
        (
            "max_requests",
            json!(-1),
            "it must be a whole number from 0 on, or null",
        ),
        (
            "block",
            json!(["import"]),
            "\"import\" is not of the form import|export:",
        ),
        (
            "block",
            json!("import"),
            "it must be a list, such as [\"import:tag=nightly\"]",
        ),
        (
            "replication_delay",
            json!(null),
            "null is not a text; write numbers with units",
        ),
        (
            "replication_delay",
            json!("soon"),
            "\"soon\" is not a duration; write numbers",
        ),
        ("gc_interval", json!("0s"), "must be longer than 0s"),
        (
            "gc_interval",
            json!(5),
            "5 is not a text; write numbers with units, such as 90s",
        ),
        ("quirks", json!(["odd"]), "no such quirk: \"odd\""),
        (
            "quirks",
            json!(5),
            "it must be names, such as [\"ttl-limits\"]",
        ),
        ("hosts", json!(4), "unknown field `hosts`"),
    ] {
        let change = if field == "block" {
            json!({"quirks": [], field: wrong})
        } else {
            json!({"block": [], field: wrong})
        };
        let refused = w.api.send("PATCH", "/settings", &change.to_string()).await;
        assert_eq!(refused.status, 400, "{change}: {}", refused.body);
        let why = refused.body["error"]["message"].as_str().unwrap();
        let is_named = field == "hosts" || why.starts_with(&format!("{field}: "));
        assert!(is_named && why.contains(says), "{change}: {why}");
        assert_eq!(w.api.get("/settings").await, expected);
    }
}

/// With this quirk the shortest TTL is 5 minutes: nothing could be imported any more.
#[tokio::test]
async fn quirks_that_leave_no_ttl_are_refused() {
    let w = Controlled::with(|builder| builder.max_ttl(Duration::from_secs(120))).await;
    let change = json!({"quirks": ["ttl-limits"]}).to_string();
    let request = ("PATCH", "/settings", change.as_str());
    w.api.refuses(400, request, &["quirks", "5m", "2m"]).await;
    assert_eq!(w.api.get("/settings").await["quirks"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_counts_from_then_on_and_until_a_reset() {
    let w = Controlled::with(|builder| builder.release(Release::V1_5)).await;
    let given = w.api.get("/settings").await;
    let client = w.on_host(0).await;
    let (path, _) = w.new_file(1000);
    let labelled = Import {
        tag: Some("x".to_owned()),
        ..import(&path)
    };

    w.adjust(json!({"block": ["import:tag=x"]})).await;
    let blocked = client.import(labelled.clone()).await.unwrap_err();
    assert_eq!(blocked.code(), Code::PermissionDenied);
    w.adjust(json!({"block": [], "capacity": 999})).await;
    let full = client.import(labelled.clone()).await.unwrap_err();
    assert!(full.message().contains("no space left"), "{full}");
    w.adjust(json!({"capacity": null, "max_requests": 0})).await;
    let overloaded = client.import(labelled.clone()).await.unwrap_err();
    assert_eq!(overloaded.code(), Code::ResourceExhausted);
    assert!(overloaded.message().contains("too many requests"));

    w.adjust(json!({"max_requests": null, "replication_delay": "10m"}))
        .await;
    let id = client.import(labelled).await.unwrap().id;
    let settled = w.api.ask("/settle").await;
    let what = |settled: &Value| settled["waiting"].to_string();
    assert!(what(&settled).contains("03:14:05"), "{settled}");

    // The shortest TTL, unless it was given, and when the collector comes, go with them.
    let brief = |name: &str| Import {
        ttl: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..import(&w.path(name))
    };
    std::fs::write(w.path("brief"), b"brief").unwrap();
    w.adjust(json!({"quirks": ["ttl-limits"]})).await;
    client.import(brief("brief")).await.unwrap_err();
    w.adjust(json!({"quirks": [], "gc_interval": "1m"})).await;
    let task = client.import(brief("brief")).await.unwrap().id;
    w.api.post("/clock", json!({"advance": "1m1s"})).await;
    w.api.ask("/settle").await;
    w.api.post("/clock", json!({"advance": "1m1s"})).await;
    w.api.ask("/settle").await;
    let tasks = w.api.get("/tasks").await;
    assert!(!tasks.to_string().contains(&task), "{tasks}");
    assert!(tasks.to_string().contains(&id), "{tasks}");
    client.export(transfer(&id)).await.ok();

    w.api.ask("/reset").await;
    assert_eq!(w.api.get("/settings").await, given);
}
