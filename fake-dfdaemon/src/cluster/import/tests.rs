//! What a collection may find in the books at any moment of an import.

use super::*;
use crate::call::clock::ClockMode;
use crate::{FakeDfdaemon, Waiting};

const DELAY: Duration = Duration::from_secs(10);

/// A collection schedules what it finds missing by the time of a task's record, which is in whole seconds.
#[tokio::test]
async fn replicas_wait_for_their_delay_though_a_collection_comes_first() {
    let now: Timestamp = "2026-01-01T00:00:00.9Z".parse().unwrap();
    let builder = FakeDfdaemon::builder().hosts(2).replication_delay(DELAY);
    let builder = builder.clock(ClockMode::Manual(Some(now)));
    let daemon = builder.start().await.unwrap();
    let cluster = Arc::clone(daemon.cluster());
    let id = tokio::task::spawn_blocking(move || {
        let id = succeed(&cluster);
        cluster.scheduler().schedule_replicas_that_fit_now();
        id
    });
    let replicate = format!("replicate task {}", id.await.unwrap());
    let due = Some(now + DELAY);
    let expected = Waiting {
        what: replicate,
        due,
    };
    let waiting = daemon.settle().await;
    assert!(waiting.contains(&expected), "{waiting:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_removed_replica_is_made_again_after_the_delay_though_a_collection_comes_first() {
    let builder = FakeDfdaemon::builder().hosts(3).manual_clock();
    let daemon = builder.start().await.unwrap();
    let cluster = Arc::clone(daemon.cluster());
    let file = tempfile::NamedTempFile::new().unwrap();
    let request = ImportRequest {
        persistent_replica_count: 2,
        ..ImportRequest::of(file.path())
    };
    let import = move || cluster.import_soundly(&request);
    let imported = tokio::task::spawn_blocking(import).await.unwrap();
    let id = imported.unwrap().task.task_id;
    daemon.settle().await;
    daemon.clock().advance(Duration::from_secs(30)).unwrap();
    let delayed = daemon.change_settings(|settings| settings.replication_delay = DELAY);
    delayed.unwrap();
    let scheduler = daemon.cluster().scheduler();
    scheduler.take_replica(HostNumber::FIRST, &id).unwrap();
    scheduler.schedule_replicas_that_fit_now();
    let what = format!("replicate task {id}");
    let due = Some(daemon.clock().now() + DELAY);
    let expected = Waiting { what, due };
    let waiting = daemon.settle().await;
    assert!(waiting.contains(&expected), "{waiting:?}");
    daemon.stop().await;
}

/// Ends an import of nothing, for two replicas, as far as the scheduler is concerned.
fn succeed(cluster: &Arc<Cluster>) -> TaskId {
    let new = NewTask {
        host: HostNumber::FIRST,
        request: &ImportRequest {
            persistent_replica_count: 2,
            ..ImportRequest::of("/nothing".as_ref())
        },
        faults: &StoreFaults::default(),
        layout: PieceLayout::new(0, chosen_piece_length(0)).unwrap(),
        ttl: Duration::from_secs(3_600),
    };
    let id = cluster.release().scheme().of_content("nothing");
    let mut begun = cluster.begin(&new, &id).unwrap();
    let task = TaskRecord {
        state: TaskState::Succeeded,
        ..begun.task.clone()
    };
    let id = task.task_id.clone();
    let replica = ReplicaRecord {
        finished_at: Some(task.created_at),
        ..new.replica_record(&id, task.created_at)
    };
    let reservation = cluster.reserve(new.host, 0).unwrap();
    let generation = begun.started.generation;
    let ended = cluster
        .scheduler()
        .succeed(task, generation, new.host, replica, reservation);
    ended.unwrap();
    begun.ended = true;
    id
}
