//! Calls that wait for the clock, and clients that do not wait for ever.

use std::time::Duration;

use fake_dfdaemon::{Fault, Rpc};
use http::HeaderValue;
use serde_json::{Value, json};
use testkit::wait::HANGS;
use tonic::{Code, Request, Status};

use crate::control::controlled::{Controlled, PIECE, column, transfer};
use crate::support::client::{Client, origin};
use crate::support::eventually;
use crate::support::world::fired;
use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_client::DfdaemonDownloadClient;

/// What is waited for, besides the collector.
async fn waiting(w: &Controlled) -> Vec<Value> {
    let settled = w.api.ask("/settle").await;
    let mut waiting = settled["waiting"].as_array().unwrap().clone();
    waiting.retain(|waiting| waiting["what"] != "collect expired tasks");
    waiting
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_a_manual_clock_is_named() {
    let w = Controlled::new().await;
    let delayed = w
        .daemon
        .fault(Fault::on(Rpc::Stat).delay(Duration::from_secs(10)));
    let client = w.on_host(1).await;
    let stating = tokio::spawn(async move { client.stat("7").await });
    fired(&delayed, 1).await;
    let named =
        json!([{"what": "go on with call 1 (stat on host-1)", "due": "2026-01-02T03:04:15Z"}]);
    assert_eq!(json!(waiting(&w).await), named);
    w.api.post("/clock", json!({"advance": "9s"})).await;
    assert_eq!(json!(waiting(&w).await), named);
    assert!(!stating.is_finished());
    w.api.post("/clock", json!({"advance": "1s"})).await;
    assert_eq!(waiting(&w).await, [] as [Value; 0]);
    stating.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_held_back_is_named() {
    let w = Controlled::new().await;
    let id = w.imported(PIECE).await;
    w.api.ask("/settle").await;
    let slow = w.daemon.fault("export:bandwidth=4MiB".parse().unwrap());
    let client = w.on_host(0).await;
    let exporting = tokio::spawn(async move { client.export(transfer(&id)).await });
    eventually("it waits", || async {
        slow.fired() == 1 && !waiting(&w).await.is_empty()
    })
    .await;
    assert_eq!(
        column(&json!(waiting(&w).await), "what"),
        ["go on with call 3 (export on host-0)"]
    );
    w.api.post("/clock", json!({"advance": "1s"})).await;
    exporting.await.unwrap().ok();
    assert_eq!(waiting(&w).await, [] as [Value; 0]);
}

/// A stat whose client gives it so much time.
async fn stat_within(client: &Client, time: &'static str) -> Status {
    let mut request = Request::new(StatPersistentCacheTaskRequest {
        task_id: "7".to_owned(),
        ..Default::default()
    });
    let time = HeaderValue::from_static(time)
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    request.metadata_mut().insert("grpc-timeout", time);
    let mut service = DfdaemonDownloadClient::with_origin(client.connection(), origin());
    let answer = service.stat_persistent_cache_task(request).await;
    answer.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_when_the_time_is_over_that_its_client_gives_it() {
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    let stalled = w.daemon.fault(Fault::on(Rpc::Stat).stall());
    let answer = tokio::time::timeout(HANGS, stat_within(&client, "20m"));
    let status = answer.await.expect("it does not end");
    let answered = (status.code(), status.message());
    assert_eq!(answered, (Code::Cancelled, "Timeout expired"));
    let call = &w.daemon.journal().calls(Rpc::Stat)[0];
    let noted = (call.status.code.as_str(), call.status.message.as_str());
    assert_eq!(noted, ("CANCELLED", "Timeout expired"));
    assert!(!call.client_gone);
    drop(stalled);
    let status = stat_within(&client, "20H").await;
    assert!(status.message().contains("not found"), "{status:?}");
}

/// A stream is on time when it begins on time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_its_time_to_begin() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    let client = w.on_host(0).await;
    let limited = || {
        let mut request = Request::new(transfer(&id));
        let metadata = request.metadata_mut();
        metadata.insert("grpc-timeout", "200m".parse().unwrap());
        request
    };
    let service = || DfdaemonDownloadClient::with_origin(client.connection(), origin());
    let stalled = w.daemon.fault(Fault::on(Rpc::Export).stall());
    let status = service().download_persistent_cache_task(limited()).await;
    assert_eq!(status.unwrap_err().message(), "Timeout expired");
    drop(stalled);
    let held_back = w.daemon.fault(Fault::on(Rpc::Export).piece(0).stall());
    let request = || {
        let mut request = limited();
        let metadata = request.metadata_mut();
        metadata.insert("grpc-timeout", "5S".parse().unwrap());
        request
    };
    let mut messages = service()
        .download_persistent_cache_task(request())
        .await
        .unwrap()
        .into_inner();
    messages.message().await.unwrap().unwrap();
    drop(held_back);
    while messages.message().await.unwrap().is_some() {}
}
