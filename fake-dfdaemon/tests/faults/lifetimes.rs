//! How long a fault lasts, and what its guard and the journal say of it.

use std::time::Duration;

use fake_dfdaemon::{Fault, Rpc};
use testkit::wait::HANGS;
use tonic::Code;

use crate::faults::world::{World, import, transfer};

/// Many calls of several kinds hang in one fault; its end lets all of them go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_stalled_go_on_when_the_fault_is_removed() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let guard = w.daemon.fault(Fault::on_any().stall());
    let (client, new) = (w.client().await, w.file(12));
    let mut calls = Vec::new();
    for number in 0..8u8 {
        let (client, id) = (client.clone(), task.id.clone());
        calls.push(tokio::spawn(async move {
            match number % 3 {
                0 => client.stat(&id).await.map(drop),
                1 => client.list().await.map(drop),
                _ => client.health("").await.map(drop),
            }
        }));
    }
    let importing = client.begin_import(import(&new.path));
    let exporting = {
        let (client, request) = (client.clone(), transfer(&task.id));
        tokio::spawn(async move { client.export(request).await })
    };
    w.fired(&guard, 10).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    drop(guard);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(importing.await.unwrap().unwrap().id, new.id);
    assert_eq!(exporting.await.unwrap().ok().content(), task.bytes);
}

/// A client that does not wait for a stalled call any more is noted, with what kept it waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_gives_up_on_a_stalled_call_is_in_the_journal() {
    let w = World::new().await;
    let new = w.file(10);
    let guard = w.daemon.fault(Fault::on(Rpc::Import).stall());
    let importing = w.client().await.begin_import(import(&new.path));
    w.fired(&guard, 1).await;
    importing.abort();
    let call = w.journaled(Rpc::Import, 1).await;
    assert!(call.client_gone);
    assert_eq!(call.status.code, "CANCELLED");
    assert_eq!(call.fault.unwrap().id, guard.id());
    drop(guard);
    assert!(w.replicas(&new.id).await.is_empty());
}

/// Stopping waits for no fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_stops_under_calls_that_are_held_up() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let stall = w.daemon.fault(Fault::on(Rpc::Stat).stall());
    let delay = w.daemon.fault(
        Fault::on(Rpc::Export)
            .piece(0)
            .delay(Duration::from_secs(60)),
    );
    let (one, two, id) = (w.client().await, w.client().await, task.id.clone());
    let stat = tokio::spawn(async move { one.stat(&id).await });
    let export = tokio::spawn(async move { two.export(transfer(&task.id)).await });
    w.fired(&stall, 1).await;
    w.fired(&delay, 1).await;
    let stopped = tokio::time::timeout(HANGS, w.daemon.stop()).await;
    stopped.expect("it stops");
    assert_eq!(stat.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(export.await.unwrap().status.code(), Code::Unavailable);
}

#[tokio::test]
async fn faults_of_the_start_are_there_from_the_first_call() {
    let fault = Fault::on(Rpc::Health).call(1).error(Code::Aborted);
    let w = World::with(|builder| builder.fault(fault)).await;
    let client = w.client().await;
    assert_eq!(client.health("").await.unwrap_err().code(), Code::Aborted);
    client.health("").await.unwrap();
}
