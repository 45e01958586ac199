//! A dfdaemon whose scheduler cannot help it, and one whose machine is busy: as faults, on demand.

use fake_dfdaemon::Builder;
use tonic::Code;

use crate::row::{Row, row};
use crate::tested_daemon::{TestedDaemon, assert_says, import, transfer};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(a_host_that_is_not_announced_yet_is_not_found)
            .needs("a fault", |fake| faulty(fake, "no_host")),
        row!(without_a_scheduler_nothing_is_answered)
            .needs("a fault", |fake| faulty(fake, "no_scheduler")),
        row!(a_machine_without_cpu_or_memory_says_so)
            .needs("a fault", |fake| faulty(fake, "overloaded")),
    ]
}

fn faulty(fake: Builder, action: &str) -> Builder {
    let fault = |on| format!("{on}:{action}").parse().unwrap();
    ["import", "export", "stat"]
        .map(fault)
        .into_iter()
        .fold(fake, Builder::fault)
}

/// What an import, a stat and an export answer.
async fn refused(w: &TestedDaemon) -> [tonic::Status; 3] {
    let client = w.client().await;
    [
        client.import(import(&w.file(1).path)).await.unwrap_err(),
        client.stat("4").await.unwrap_err(),
        client.export(transfer("4")).await.status,
    ]
}

async fn a_host_that_is_not_announced_yet_is_not_found(w: TestedDaemon) {
    let text = w.by_scheduler(Code::NotFound, "host 127.0.0.1-host-0 not found");
    for status in refused(&w).await {
        w.assert_internal(&status, &text);
    }
}

async fn without_a_scheduler_nothing_is_answered(w: TestedDaemon) {
    for status in refused(&w).await {
        w.assert_internal(&status, "available schedulers not found");
    }
}

async fn a_machine_without_cpu_or_memory_says_so(w: TestedDaemon) {
    let text = "server is overloaded: CPU/memory thresholds are exceeded, please retry later";
    for status in refused(&w).await {
        assert_says(&status, Code::ResourceExhausted, text);
    }
}
