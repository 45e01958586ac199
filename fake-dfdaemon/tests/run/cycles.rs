//! Start after start: nothing piles up.

use std::fs;

use crate::run::sandbox::Sandbox;
use crate::support::client::Import;
use crate::support::client::{Client, Exported};
use crate::support::process::Process;
use crate::support::requests::transfer;
use rustix::process::Signal;

/// How many; `make cycles` has more.
fn count() -> usize {
    let count = std::env::var("FAKE_DFDAEMON_TEST_CYCLES");
    count.map_or(30, |count| count.parse().unwrap())
}

async fn round(endpoint: &std::path::Path, file: &std::path::Path) -> Exported {
    let client = Client::connect(endpoint).await;
    let request = Import {
        path: file.to_str().unwrap().to_owned(),
        persistent_replica_count: 2,
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Import::default()
    };
    let task = client.import(request).await.unwrap();
    client.export(transfer(&task.id)).await.ok()
}

#[test]
fn starts_and_stops_in_a_row_leave_nothing() {
    let w = Sandbox::new();
    fs::write(w.path("file"), "content").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for cycle in 0..count() {
        let mut command = w.program();
        command.arg("serve");
        let process = Process::start(&mut command);
        let exported = runtime.block_on(round(&process.endpoint(0), &w.path("file")));
        assert_eq!(exported.content(), b"content");
        assert_eq!(process.end(Signal::TERM).code(), Some(0), "cycle {cycle}");
        w.leaves_nothing();
    }
}
