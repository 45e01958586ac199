//! The journal in pages and numbers, and the calls that have not ended.

use fake_dfdaemon::{Fault, Rpc};
use serde_json::{Value, json};

use crate::control::controlled::{Controlled, column};
use crate::support::client::Client;
use crate::support::world::fired;

/// So many calls of a kind, one after the other.
async fn listed(client: &Client, times: usize) {
    for _ in 0..times {
        client.list().await.unwrap();
    }
}

#[tokio::test]
async fn pages_follow_each_other_until_there_are_no_more() {
    let w = Controlled::new().await;
    let client = w.on_host(1).await;
    for _ in 0..5 {
        listed(&client, 1).await;
        client.stat("7").await.unwrap_err();
    }
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let page = format!("/journal?rpc=stat&limit=2&after={after}");
        let page = w.api.get(&page).await;
        read.extend(column(&page["calls"], "call"));
        let Some(next) = page.get("next") else { break };
        assert_eq!(Some(next), read.last());
        after = next.as_u64().unwrap();
    }
    assert_eq!(json!(read), json!([2, 4, 6, 8, 10]));
    // The last page is full, and has nothing after it.
    let full = w.api.get("/journal?limit=10").await;
    assert_eq!(full["calls"].as_array().unwrap().len(), 10);
    assert_eq!(full.get("next"), None);
    assert_eq!(
        w.api.get("/journal?after=10").await,
        json!({"calls": []}),
        "nothing is after the last"
    );
    for (query, says) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit: \"-1\" is not a whole number such as 2"),
        ("after=x", "after: \"x\" is not a whole number such as 2"),
        ("running=perhaps", "running"),
        ("rpc=upload", "rpc: no such call: upload; there are import,"),
    ] {
        let path = format!("/journal?{query}");
        w.api.refuses(400, ("GET", &path, ""), &[says]).await;
    }
    let path = "/journal?running=true&status=OK";
    w.api.refuses(409, ("GET", path, ""), &["status"]).await;
}

#[tokio::test]
async fn calls_are_counted_as_they_are_found() {
    let w = Controlled::new().await;
    listed(&w.on_host(0).await, 3).await;
    w.on_host(1).await.stat("7").await.unwrap_err();
    for (query, count) in [
        ("", 4),
        ("?rpc=list", 3),
        ("?rpc=list&after=1", 2),
        ("?status=OK", 3),
        ("?host=host-1", 1),
        ("?host=host-2", 0),
        ("?task=7", 1),
        ("?task=8", 0),
        ("?status=ABORTED", 0),
    ] {
        let counted = w.api.get(&format!("/journal/count{query}")).await;
        let expected = json!({"count": count, "running": 0, "last": 4, "lost": 0});
        assert_eq!(counted, expected, "{query}");
    }
    w.api.delete("/journal").await;
    let none = json!({"count": 0, "running": 0, "last": null, "lost": 0});
    assert_eq!(w.api.get("/journal/count").await, none);
    for (query, says) in [
        ("host=host-9", "there is no host host-9; there "),
        ("limit=1", "limit"),
    ] {
        let path = format!("/journal/count?{query}");
        w.api.refuses(400, ("GET", &path, ""), &[says]).await;
    }
}

/// The journal shows them as far as they have come, and no longer as running when they have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_run_are_told() {
    let w = Controlled::new().await;
    let stall = w.daemon.fault(Fault::on(Rpc::Stat).stall());
    let (client, other) = (w.on_host(0).await, w.on_host(1).await);
    let first = tokio::spawn(async move { client.stat("7").await });
    fired(&stall, 1).await;
    let second = tokio::spawn(async move { other.stat("8").await });
    fired(&stall, 2).await;
    let running = w.api.get("/journal?running=true").await["calls"].clone();
    assert_eq!(column(&running, "call"), [1, 2]);
    assert_eq!(running[0]["status"], Value::Null);
    assert_eq!(running[0]["request"]["task_id"], "7");
    assert_eq!(running[0]["fault"]["id"], stall.id());
    for (query, calls) in [
        ("task=8", json!([2])),
        ("host=host-0", json!([1])),
        ("rpc=list", json!([])),
        ("after=1", json!([2])),
        ("limit=1", json!([1])),
    ] {
        let path = format!("/journal?running=true&{query}");
        let found = w.api.get(&path).await;
        assert_eq!(json!(column(&found["calls"], "call")), calls, "{query}");
    }
    assert_eq!(w.api.get("/journal").await, json!({"calls": []}));
    assert_eq!(w.api.get("/journal/count").await["running"], 2);
    drop(stall);
    first.await.unwrap().unwrap_err();
    second.await.unwrap().unwrap_err();
    let running = w.api.get("/journal?running=true").await;
    assert_eq!(running, json!({"calls": []}));
    assert_eq!(w.api.get("/journal/count").await["count"], 2);
}

/// A client's metadata is in the call, as it was sent.
#[tokio::test]
async fn metadata_is_told() {
    use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
    use dfdaemon_api::dfdaemon::v2::dfdaemon_download_client::DfdaemonDownloadClient;

    let w = Controlled::new().await;
    let connection = w.on_host(0).await.connection();
    let origin = crate::support::client::origin();
    let mut service = DfdaemonDownloadClient::with_origin(connection, origin);
    let mut request = tonic::Request::new(StatPersistentCacheTaskRequest::default());
    let metadata = request.metadata_mut();
    metadata.insert("x-trace", "<b>7</b>".parse().unwrap());
    metadata.append("x-many", "a".parse().unwrap());
    metadata.append("x-many", "b".parse().unwrap());
    let binary = tonic::metadata::MetadataValue::from_bytes(&[0, 255]);
    metadata.insert_bin("x-bytes-bin", binary);
    service
        .stat_persistent_cache_task(request)
        .await
        .unwrap_err();
    let calls = w.api.get("/journal").await;
    let metadata = &calls["calls"][0]["metadata"];
    assert_eq!(metadata["x-trace"], "<b>7</b>");
    assert_eq!(metadata["x-many"], json!(["a", "b"]));
    assert_eq!(metadata["x-bytes-bin"], "AP8");
    assert!(metadata.get("te").is_none() && metadata.get("content-type").is_none());
}
