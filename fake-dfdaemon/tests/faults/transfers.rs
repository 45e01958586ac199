//! Faults on pieces between hosts.

use std::time::Duration;

use fake_dfdaemon::{Fault, Release};
use tonic::Code;

use crate::faults::world::{PIECE, Subject, World, transfer};
use crate::support::requests;

const LENGTH: usize = 2 * PIECE + 5;

fn fault(text: &str) -> Fault {
    text.parse().unwrap()
}

/// A task with so many replicas, on the first hosts of three.
async fn imported(w: &World, replicas: u64) -> Subject {
    let subject = w.file(LENGTH);
    let request = requests::import(&subject.path, replicas, 3600);
    w.client().await.import(request).await.unwrap();
    w.daemon.settle().await;
    subject
}

async fn world() -> World {
    World::with(|builder| builder.hosts(3)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_fails_is_replaced_by_another() {
    for action in ["error=UNAVAILABLE", "reset", "corrupt_piece"] {
        let w = world().await;
        let subject = imported(&w, 2).await;
        let guard = w
            .daemon
            .fault(fault(&format!("transfer@host=host-0:{action}")));
        let exported = w.on_host(2).await.export(transfer(&subject.id)).await.ok();
        assert!(exported.content() == subject.bytes, "{action}");
        assert_eq!(guard.fired(), 1, "{action}: it was asked again");
        let from_host_1 = |piece: &dfdaemon_api::common::v2::Piece| {
            let parent = piece.parent_id.as_deref().unwrap();
            parent.contains("host-1")
        };
        assert!(exported.pieces.iter().all(from_host_1), "{action}");
        w.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_parent_the_export_fails_and_leaves_nothing() {
    for action in ["error=UNAVAILABLE", "reset", "corrupt_piece"] {
        let w = world().await;
        let subject = imported(&w, 1).await;
        let guard = w.daemon.fault(fault(&format!("transfer@piece=1:{action}")));
        let client = w.on_host(2).await;
        let exported = client.export(transfer(&subject.id)).await;
        let status = &exported.status;
        assert_eq!(status.code(), Code::Internal, "{action}: {status:?}");
        let text = "no candidate parents found";
        assert!(status.message().contains(text), "{action}: {status:?}");
        assert!(client.list().await.unwrap().is_empty(), "{action}");
        drop(guard);
        let exported = client.export(transfer(&subject.id)).await.ok();
        assert!(exported.content() == subject.bytes, "{action}");
        w.daemon.stop().await;
    }
}

/// A replica that was imported by hard link has no digests to compare with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_digests_a_corrupted_piece_arrives() {
    let w = World::with(|builder| builder.hosts(3).release(Release::V1_5)).await;
    let source = w.file(LENGTH);
    let request = requests::import(&source.path, 1, 3600);
    let id = w.client().await.import(request).await.unwrap().id;
    let _fault = w.daemon.fault(fault("transfer@piece=1:corrupt_piece"));
    let exported = w.on_host(1).await.export(transfer(&id)).await.ok();
    let content = exported.content();
    let differing = content.iter().zip(&source.bytes).filter(|(a, b)| a != b);
    assert_eq!((content.len(), differing.count()), (LENGTH, 1));
    w.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_waits_by_the_clock_or_until_the_fault_goes() {
    for (action, seconds) in [
        ("transfer@call=2:delay=10s", Some(10)),
        ("transfer@piece=0:bandwidth=1MiB", Some(4)),
        ("transfer@times=1:stall", None),
    ] {
        let w = world().await;
        let subject = imported(&w, 1).await;
        let guard = w.daemon.fault(fault(action));
        let client = w.on_host(1).await;
        let id = subject.id.clone();
        let running = tokio::spawn(async move { client.export(transfer(&id)).await });
        w.fired(&guard, 1).await;
        match seconds {
            Some(seconds) => {
                let waiting = w.daemon.settle().await;
                let names_it = |what: &str| what.starts_with("transfer task ");
                assert!(waiting.iter().any(|due| names_it(&due.what)), "{waiting:?}");
                w.advance(Duration::from_secs(seconds));
            }
            None => {
                assert!(!running.is_finished(), "{action}: it does not wait");
                drop(guard);
            }
        }
        let exported = running.await.unwrap().ok();
        assert!(exported.content() == subject.bytes, "{action}");
        w.daemon.stop().await;
    }
}

#[test]
fn what_cannot_happen_to_a_transfer_is_refused_by_name() {
    for (text, named) in [
        ("transfer:no_space", "no_space"),
        ("transfer:end", "end"),
        ("transfer:no_host", "no_host"),
        ("transfer@bytes=1:stall", "bytes"),
        ("transfer@phase=after:stall", "phase"),
    ] {
        let refused = text.parse::<Fault>().unwrap_err().to_string();
        assert!(refused.contains(named), "{text}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_has_the_pieces_that_a_fault_has_hit() {
    let w = world().await;
    let subject = imported(&w, 1).await;
    let _errs = w
        .daemon
        .fault(fault("transfer@piece=1:error=UNAVAILABLE:gone"));
    let _slow = w.daemon.fault(fault("transfer@piece=1:delay=0s"));
    w.on_host(2).await.export(transfer(&subject.id)).await;
    let calls = w.daemon.journal().calls(fake_dfdaemon::Rpc::Transfer);
    let [call] = &calls[..] else {
        panic!("one fault has hit one piece: {calls:?}");
    };
    let said = (
        call.host.as_str(),
        call.status.code.as_str(),
        call.status.message.as_str(),
    );
    assert_eq!(said, ("host-0", "UNAVAILABLE", "gone"));
    let fields = ["task_id", "piece", "to"].map(|field| call.request(field).unwrap());
    assert_eq!(fields, [subject.id.as_str(), "1", "host-2"]);
    assert!(call.fault.is_some());
    w.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_host_leaves_says_so() {
    let w = World::new().await;
    let guard = w.daemon.fault(fault("transfer:stall"));
    let subject = w.file(LENGTH);
    let request = requests::import(&subject.path, 2, 3600);
    w.client().await.import(request).await.unwrap();
    w.fired(&guard, 1).await;
    w.daemon.host(1).unwrap().leave().await;
    let call = w.journaled(fake_dfdaemon::Rpc::Replicate, 1).await;
    let noted = (call.status.code.as_str(), call.status.message.as_str());
    assert_eq!(noted, ("UNAVAILABLE", "host-1 has left"));
    w.daemon.stop().await;
}
