//! How a scheduler asks hosts for replicas, with the quirk for one that asks once.

use fake_dfdaemon::{FakeDfdaemon, Quirk};

use super::{client_of, imported};
use crate::support::client::{Client, Import};
use crate::support::peer_client::PeerClient;
use crate::tested_daemon::{TestedDaemon, import, transfer};

/// Imports tasks that fit one of the two other hosts alone.
pub(super) async fn without_room(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    // Host 1 is full.
    let full = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    full.import(import(&w.file(95).path)).await.unwrap();
    let client = client_of(fake).await;
    let mut fewer = 0;
    for _ in 0..16 {
        let request = Import {
            persistent_replica_count: 2,
            ..import(&w.file(6).path)
        };
        let task = client.import(request).await.unwrap();
        fake.settle().await;
        fake.collect().await.unwrap();
        fake.settle().await;
        let counted = client.stat(&task.id).await.unwrap();
        fewer += 2 - counted.current_persistent_replica_count;
    }
    // By chance all of them would find room once in 65,536 runs, were it not for the ids.
    fewer > 0
}

/// A host that refuses keeps no other host from being asked.
pub(super) async fn each_by_itself(w: &TestedDaemon, fake: &FakeDfdaemon) {
    let refuses = fake.fault("replicate@host=host-1:error=UNAVAILABLE".parse().unwrap());
    let client = client_of(fake).await;
    // By chance host 1 would be the last one asked, of all tasks, once in 256 runs.
    for _ in 0..8 {
        let request = Import {
            persistent_replica_count: 3,
            ..import(&w.file(6).path)
        };
        let task = client.import(request).await.unwrap();
        fake.settle().await;
        let counted = client.stat(&task.id).await.unwrap();
        assert_eq!(counted.current_persistent_replica_count, 2);
    }
    drop(refuses);
}

/// The importer has lost the only replica, and leaves. A scheduler that tries once asks the other host for a
/// replica all the same: what a failed export left there becomes persistent.
pub(super) async fn in_vain(w: &TestedDaemon, tries_once: bool) -> bool {
    let tries_once = Some(Quirk::OneTryReplication).filter(|_| tries_once);
    let quirks = [Quirk::RestartWipes, Quirk::FailedExportsCount];
    let builder = FakeDfdaemon::builder().release(w.release).hosts(2);
    let builder = builder.quirks(quirks.into_iter().chain(tries_once));
    let fake = builder.manual_clock().start().await.unwrap();
    let (id, _) = imported(w, &fake, 10).await;
    let host = fake.host(0).unwrap();
    host.stop().await;
    host.start().await.unwrap();
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    other.export(transfer(&id)).await;
    let left = async || {
        fake.settle().await;
        let left = other.stat_local(&id).await.unwrap();
        assert!(left.failed_at.is_some() && left.finished_at.is_none());
        left.persistent
    };
    assert!(!left().await);
    host.leave().await;
    let is_asked = left().await;
    assert_eq!(other.stat(&id).await.unwrap().current_replica_count, 0);
    is_asked
}

/// The importer of an empty task leaves, whose replica on the other host is persistent no more. Whether that
/// host is asked for one: a scheduler that knows of its replica takes it for persistent.
pub(super) async fn of_empty(w: &TestedDaemon, is_untold: bool) -> bool {
    let is_untold = Some(Quirk::UntoldEmptyCopies).filter(|_| is_untold);
    let quirks = [Quirk::OneTryReplication, Quirk::ExportClearsPersistent];
    let builder = FakeDfdaemon::builder().release(w.release).hosts(2);
    let builder = builder.quirks(quirks.into_iter().chain(is_untold));
    let fake = builder.manual_clock().start().await.unwrap();
    let request = Import {
        persistent_replica_count: 2,
        ..import(&w.file(0).path)
    };
    let id = client_of(&fake).await.import(request).await.unwrap().id;
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let is_persistent = async || {
        fake.settle().await;
        other.stat_local(&id).await.unwrap().persistent
    };
    assert!(is_persistent().await);
    other.export(transfer(&id)).await.ok();
    assert!(!is_persistent().await);
    fake.host(0).unwrap().leave().await;
    is_persistent().await
}

/// A host has fetched again a task that it had lost, and the importer leaves. Whether the host counts as two
/// persistent replicas: a scheduler that heard nothing of the loss makes both of its peers persistent.
pub(super) async fn of_lost(w: &TestedDaemon, is_untold: bool) -> bool {
    let is_untold = Some(Quirk::UntoldChanges).filter(|_| is_untold);
    let builder = FakeDfdaemon::builder().release(w.release).hosts(2);
    let builder = builder.quirks([Quirk::OneTryReplication].into_iter().chain(is_untold));
    let fake = builder.manual_clock().start().await.unwrap();
    let host = fake.host(1).unwrap();
    host.stop().await;
    let request = Import {
        persistent_replica_count: 2,
        ..import(&w.file(10).path)
    };
    let id = client_of(&fake).await.import(request).await.unwrap().id;
    fake.settle().await;
    host.start().await.unwrap();
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let persistent = async || {
        fake.settle().await;
        let counted = other.stat(&id).await.unwrap();
        counted.current_persistent_replica_count
    };
    other.export(transfer(&id)).await.ok();
    let peer = PeerClient::connect(host.upload_endpoint()).await;
    peer.delete(&id).await.unwrap();
    other.export(transfer(&id)).await.ok();
    assert_eq!(persistent().await, 1);
    fake.host(0).unwrap().leave().await;
    let is_two = persistent().await == 2;
    assert!(is_two || persistent().await == 1);
    assert!(other.stat_local(&id).await.unwrap().persistent);
    is_two
}
