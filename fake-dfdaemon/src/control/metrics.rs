//! What is counted, as Prometheus reads it: the text format, version 0.0.4.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::answer::ApiError;
use super::api::{Api, Proxied, Subject};
use crate::call::CallContext;
use crate::call::counters::BOUNDS;
use crate::cluster::HostStatus;
use crate::instance::Instance;
use crate::instance::host::Host;

pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let text = match &api.0 {
        Subject::Fake(_) => text(&*api.instance()?),
        Subject::Proxy(proxy) => text_of_proxy(proxy),
    };
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

/// Metrics as they are written.
#[derive(Debug, Default)]
struct Metrics(String);

impl Metrics {
    /// Begins a metric. The rest are its samples.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (number, (label, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A metric with one sample.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn text(instance: &Instance) -> String {
    let mut metrics = Metrics::default();
    let calls = &instance.calls;
    let release = instance.cluster.release().to_string();
    of_build(&mut metrics, ("dfdaemon_version", &release));
    of_calls(&mut metrics, calls);
    of_faults(&mut metrics, calls);
    of_hosts(&mut metrics, instance);
    of_journal(&mut metrics, calls);
    metrics.0
}

fn text_of_proxy(proxy: &Proxied) -> String {
    let mut metrics = Metrics::default();
    of_build(&mut metrics, ("role", proxy.role));
    of_calls(&mut metrics, &proxy.calls);
    of_faults(&mut metrics, &proxy.calls);
    of_journal(&mut metrics, &proxy.calls);
    metrics.0
}

fn of_build(metrics: &mut Metrics, label: (&str, &str)) {
    let name = "fake_dfdaemon_build_info";
    metrics.metric(name, "gauge", "What runs, always 1.");
    let version = env!("CARGO_PKG_VERSION");
    metrics.sample(name, &[("version", version), label], 1);
}

fn of_journal(metrics: &mut Metrics, calls: &CallContext) {
    let journal = &calls.journal;
    metrics.one(
        "fake_dfdaemon_journal_calls",
        "gauge",
        "Calls in the journal.",
        journal.count(&crate::call::journal::Query::default(), 0),
    );
    metrics.one(
        "fake_dfdaemon_journal_lost_calls",
        "gauge",
        "Calls that the journal lost since it was last cleared: the oldest, over its limit, and those that could not be written.",
        journal.lost(),
    );
}

fn of_calls(metrics: &mut Metrics, calls: &CallContext) {
    let counts = calls.counters.now();
    let name = "fake_dfdaemon_calls_total";
    metrics.metric(name, "counter", "Calls that have ended.");
    for ((rpc, status), count) in &counts.calls {
        metrics.sample(name, &[("rpc", rpc), ("status", status)], count);
    }
    let of_rpc = &counts.by_rpc;
    let name = "fake_dfdaemon_calls_abandoned_total";
    metrics.metric(name, "counter", "Calls whose client went away.");
    for (rpc, of) in of_rpc {
        metrics.sample(name, &[("rpc", rpc)], of.gone);
    }
    let name = "fake_dfdaemon_sent_bytes_total";
    metrics.metric(name, "counter", "Content that was sent to clients.");
    for (rpc, of) in of_rpc {
        metrics.sample(name, &[("rpc", rpc)], of.bytes);
    }
    let name = "fake_dfdaemon_sent_pieces_total";
    metrics.metric(name, "counter", "Pieces that were sent to clients.");
    for (rpc, of) in of_rpc {
        metrics.sample(name, &[("rpc", rpc)], of.pieces);
    }
    let name = "fake_dfdaemon_call_duration_seconds";
    metrics.metric(
        name,
        "histogram",
        "How long calls took, in the machine's time.",
    );
    for (rpc, of) in of_rpc {
        let bucket = format!("{name}_bucket");
        for (within, bound) in of.within.iter().zip(BOUNDS) {
            let bound = seconds(bound);
            metrics.sample(&bucket, &[("rpc", rpc), ("le", &bound)], within);
        }
        metrics.sample(&bucket, &[("rpc", rpc), ("le", "+Inf")], of.count);
        let sum = format!("{name}_sum");
        metrics.sample(&sum, &[("rpc", rpc)], seconds(of.milliseconds));
        metrics.sample(&format!("{name}_count"), &[("rpc", rpc)], of.count);
    }
    metrics.one(
        "fake_dfdaemon_calls_running",
        "gauge",
        "Calls that have not ended.",
        calls.journal.running().count(),
    );
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

fn of_faults(metrics: &mut Metrics, calls: &CallContext) {
    let name = "fake_dfdaemon_faults_fired_total";
    metrics.metric(
        name,
        "counter",
        "Firings of faults, by what they hit and what they do.",
    );
    for ((rpc, action), count) in &calls.counters.now().fired {
        metrics.sample(name, &[("rpc", rpc), ("do", action)], count);
    }
    metrics.one(
        "fake_dfdaemon_faults",
        "gauge",
        "Faults that are armed.",
        calls.faults.list().len(),
    );
}

fn of_hosts(metrics: &mut Metrics, instance: &Instance) {
    metrics.one(
        "fake_dfdaemon_tasks",
        "gauge",
        "Tasks that the scheduler knows.",
        instance.cluster.scheduler().task_count(),
    );
    let hosts: Vec<_> = instance
        .hosts
        .iter()
        .map(|host| Host(host).info())
        .collect();
    let name = "fake_dfdaemon_host_up";
    metrics.metric(name, "gauge", "Whether the host serves.");
    for host in &hosts {
        let up = u8::from(host.state == HostStatus::Running);
        metrics.sample(name, &[("host", &host.name)], up);
    }
    let name = "fake_dfdaemon_replicas";
    metrics.metric(name, "gauge", "Whole replicas that the host has.");
    for host in &hosts {
        metrics.sample(name, &[("host", &host.name)], host.tasks);
    }
    let name = "fake_dfdaemon_host_used_bytes";
    metrics.metric(
        name,
        "gauge",
        "Content of whole replicas that the host has.",
    );
    for host in &hosts {
        metrics.sample(name, &[("host", &host.name)], host.used_bytes);
    }
    if let Some(capacity) = instance.cluster.capacity() {
        let name = "fake_dfdaemon_host_capacity_bytes";
        metrics.metric(name, "gauge", "What the host can hold.");
        for host in &hosts {
            metrics.sample(name, &[("host", &host.name)], capacity);
        }
    }
    let connections = instance
        .hosts
        .first()
        .map_or(0, |host| host.open_connections());
    let name = "fake_dfdaemon_open_connections";
    metrics.one(
        name,
        "gauge",
        "Connections of clients, to all hosts.",
        connections,
    );
}
