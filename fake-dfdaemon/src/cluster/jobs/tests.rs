//! Replicas that are made, and what stands in their way.

use std::time::Duration;

use tokio_test::{assert_pending, task};

use super::*;
use crate::FakeDfdaemon;
use crate::call::rpc::Rpc;
use crate::cluster::ImportRequest;

/// The next step is decided when it can be taken, not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_waits_while_the_state_is_replaced_is_decided_anew() {
    let delay = Duration::from_secs(10);
    let builder = FakeDfdaemon::builder().hosts(2).manual_clock();
    let daemon = builder.replication_delay(delay).start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let request = ImportRequest {
        persistent_replica_count: 2,
        ..ImportRequest::of(file.path())
    };
    let cluster = Arc::clone(daemon.cluster());
    let importing = Arc::clone(&cluster);
    let import = move || importing.import_soundly(&request);
    let imported = tokio::task::spawn_blocking(import).await.unwrap();
    let id = imported.unwrap().task.task_id;
    let alone = daemon.calls().gate.close().await.unwrap();
    // The daemon's own is not due, so that this one is polled by hand.
    let jobs = Jobs::new(&cluster, daemon.calls());
    let mut replicating = task::spawn(jobs.replicate(&id));
    // It gets no further than the gate.
    assert_pending!(replicating.poll());
    let replaced = Arc::clone(&cluster);
    let empty = move || {
        crate::instance::snapshot::prepare(&replaced, None)?;
        crate::instance::snapshot::bring_back(&replaced)
    };
    let emptied = tokio::task::spawn_blocking(empty).await.unwrap();
    emptied.unwrap();
    drop(alone);
    replicating.await.unwrap();
    daemon.settle().await;
    assert_eq!(daemon.journal().calls(Rpc::Replicate), []);
    daemon.stop().await;
}
