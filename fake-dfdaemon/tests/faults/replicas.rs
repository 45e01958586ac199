//! Replicas that the scheduler makes are calls too: faults hit them, and settling goes on.

use std::time::Duration;

use fake_dfdaemon::{Rpc, Waiting};
use testkit::wait::HANGS;

use crate::faults::world::{Kind, Place, Subject, World, faults, import};
use crate::support::client::Import;

const GC_INTERVAL: Duration = Duration::from_secs(900);

/// Imports with two replicas, of which the second is to be made.
async fn imported_twice(w: &World) -> Subject {
    let subject = w.file(100);
    let request = Import {
        persistent_replica_count: 2,
        ..import(&subject.path)
    };
    w.client().await.import(request).await.unwrap();
    subject
}

/// Settles, which nothing may keep from ending.
async fn settle(w: &World) -> Vec<Waiting> {
    let settled = tokio::time::timeout(HANGS, w.daemon.settle()).await;
    settled.expect("settling ends")
}

async fn count(w: &World, subject: &Subject) -> u64 {
    let task = w.client().await.stat(&subject.id).await.unwrap();
    task.current_persistent_replica_count
}

/// What waits of a task's replication, with how long it has to, by the daemon's clock.
fn waits(w: &World, subject: &Subject, waiting: &[Waiting]) -> Option<Option<u64>> {
    let what = format!("replicate task {}", subject.id);
    let found = waiting.iter().find(|waiting| waiting.what == what)?;
    let now = w.daemon.clock().now();
    Some(
        found
            .due
            .map(|due| now.duration_until(due).unsigned_abs().as_secs()),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_action_hits_a_replica_and_settling_names_what_waits() {
    let kinds = [Kind::Call, Kind::Store].map(|kind| faults(kind, Rpc::Replicate));
    for (name, place, fault) in kinds.into_iter().flatten() {
        let case = format!("{name} at {place:?}");
        let w = World::with(|builder| builder.gc_interval(GC_INTERVAL)).await;
        let guard = w.daemon.fault(fault);
        let subject = imported_twice(&w).await;
        w.fired(&guard, 1).await;
        let waiting = settle(&w).await;
        let made = u64::from(place == Place::After);
        assert_eq!(count(&w, &subject).await, 1 + made, "{case}");
        let expected = match name {
            "delay" => Some(10),
            "stall" => None,
            // Tried again.
            _ => Some(GC_INTERVAL.as_secs()),
        };
        assert_eq!(
            waits(&w, &subject, &waiting),
            Some(expected),
            "{case}: {waiting:?}"
        );
        match name {
            "delay" => w.advance(Duration::from_secs(10)),
            "stall" => drop(guard),
            _ => {
                let call = w.journaled(Rpc::Replicate, 1).await;
                assert_ne!(call.status.code, "OK", "{case}");
                assert!(!call.client_gone, "{case}");
                drop(guard);
                w.advance(GC_INTERVAL);
            }
        }
        let waiting = settle(&w).await;
        assert_eq!(waits(&w, &subject, &waiting), None, "{case}: {waiting:?}");
        assert_eq!(count(&w, &subject).await, 2, "{case}");
        let calls = w.daemon.journal().calls(Rpc::Replicate);
        let hit = calls.first().unwrap();
        assert_eq!(hit.fault.as_ref().unwrap().action(), name, "{case}");
        assert_eq!(hit.host, "host-1", "{case}");
        assert_eq!(hit.task_id(), Some(subject.id.as_str()), "{case}");
    }
}

/// Frozen time holds up whoever waits for it, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_tasks_are_replicated_while_one_waits() {
    let w = World::new().await;
    let held = w.file(99);
    let fault = fake_dfdaemon::Fault::on(Rpc::Replicate).task(&held.id);
    let guard = w.daemon.fault(fault.stall());
    let request = Import {
        persistent_replica_count: 2,
        ..import(&held.path)
    };
    w.client().await.import(request).await.unwrap();
    w.fired(&guard, 1).await;
    let other = imported_twice(&w).await;
    settle(&w).await;
    assert_eq!((count(&w, &held).await, count(&w, &other).await), (1, 2));
    // Stopping does not wait for it either.
    let stopped = tokio::time::timeout(HANGS, w.daemon.stop()).await;
    stopped.expect("stopping ends");
}

/// The replica that is made after a delay, also when the clock jumps over it in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_replica_of_an_expired_task_is_not_made() {
    let w = World::new().await;
    let fault = fake_dfdaemon::Fault::on(Rpc::Replicate).delay(Duration::from_secs(3600));
    let guard = w.daemon.fault(fault);
    let subject = imported_twice(&w).await;
    w.fired(&guard, 1).await;
    w.advance(Duration::from_secs(8 * 86_400));
    settle(&w).await;
    assert!(w.replicas(&subject.id).await.is_empty());
    w.journaled(Rpc::Replicate, 1).await;
}
