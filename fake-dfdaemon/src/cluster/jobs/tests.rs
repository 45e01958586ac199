//! Replicas that are made, and what stands in their way.

use std::time::Duration;

use super::*;
use crate::FakeDfdaemon;
use crate::call::rpc::Rpc;
use crate::cluster::ImportRequest;
use crate::dfdaemon::HostNumber;
use crate::store::CancelFlag;

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
    let import = move || importing.import(HostNumber::of(0), &request, &CancelFlag::default());
    let imported = tokio::task::spawn_blocking(import).await.unwrap();
    let id = imported.unwrap().task.task_id;
    let alone = daemon.calls().gate.close().await.unwrap();
    daemon.clock().advance(delay).unwrap();
    let job = Job::Replicate(id.clone());
    let running = async {
        while !cluster.scheduler().is_running(&job) {
            tokio::task::yield_now().await;
        }
    };
    let long = Duration::from_secs(10);
    tokio::time::timeout(long, running).await.unwrap();
    // It must get no further than the gate: nothing can tell of a step that does not come.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let replaced = Arc::clone(&cluster);
    let empty = move || {
        crate::instance::snapshot::prepare(&replaced, None)?;
        crate::instance::snapshot::bring_back(&replaced)
    };
    let emptied = tokio::task::spawn_blocking(empty).await.unwrap();
    emptied.unwrap();
    drop(alone);
    tokio::time::timeout(long, daemon.settle()).await.unwrap();
    assert_eq!(daemon.journal().calls(Rpc::Replicate), []);
    daemon.stop().await;
}
