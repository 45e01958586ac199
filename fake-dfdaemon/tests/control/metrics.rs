//! What is counted, in the text that Prometheus reads.

use std::collections::BTreeMap;

use fake_dfdaemon::{Fault, Rpc};
use http_body_util::BodyExt as _;
use tonic::Code;

use crate::control::controlled::{Controlled, PIECE, transfer};

async fn text(w: &Controlled) -> String {
    let answer = w.api.address().begin("GET", "/metrics", "").await;
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The samples, each of a metric that was announced just before.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut of = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            of = help.split(' ').next().unwrap().to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, of);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(
                sample.starts_with(&of) && of.starts_with("fake_dfdaemon_"),
                "{line}"
            );
            let before = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{sample} is there twice");
        }
    }
    samples
}

#[tokio::test]
async fn calls_faults_hosts_and_bytes_are_counted() {
    let w = Controlled::with(|builder| builder.capacity(1 << 30)).await;
    let id = w.imported(PIECE + 1).await;
    w.api.ask("/settle").await;
    let client = w.on_host(0).await;
    client.export(transfer(&id)).await.ok();
    let _fault = w.daemon.fault(Fault::on(Rpc::Stat).error(Code::Aborted));
    client.stat(&id).await.unwrap_err();
    let _stale = w
        .daemon
        .fault(Fault::on(Rpc::Connect).host("host-1").stale());
    w.api.ask("/hosts/host-2/stop").await;
    let shown = samples(&text(&w).await);
    let length = (PIECE + 1) as f64;
    for (sample, value) in [
        ("calls_total{rpc=\"import\",status=\"OK\"}", 1.0),
        ("calls_total{rpc=\"stat\",status=\"ABORTED\"}", 1.0),
        ("sent_bytes_total{rpc=\"export\"}", length),
        ("sent_pieces_total{rpc=\"export\"}", 2.0),
        ("call_duration_seconds_count{rpc=\"export\"}", 1.0),
        (
            "call_duration_seconds_bucket{rpc=\"export\",le=\"+Inf\"}",
            1.0,
        ),
        (
            "call_duration_seconds_bucket{rpc=\"export\",le=\"600.000\"}",
            1.0,
        ),
        ("faults_fired_total{rpc=\"stat\",do=\"error\"}", 1.0),
        ("faults_fired_total{rpc=\"connect\",do=\"stale\"}", 1.0),
        ("faults", 2.0),
        ("calls_running", 0.0),
        ("tasks", 1.0),
        ("replicas{host=\"host-0\"}", 1.0),
        ("replicas{host=\"host-2\"}", 0.0),
        ("host_up{host=\"host-0\"}", 1.0),
        ("host_up{host=\"host-2\"}", 0.0),
        ("host_used_bytes{host=\"host-1\"}", length),
        ("host_capacity_bytes{host=\"host-1\"}", f64::from(1 << 30)),
        ("journal_calls", 5.0),
        ("journal_lost_calls", 0.0),
    ] {
        assert_eq!(
            shown.get(&format!("fake_dfdaemon_{sample}")),
            Some(&value),
            "{sample}"
        );
    }
    assert!(shown["fake_dfdaemon_open_connections"] >= 1.0);
}
