//! `DfdaemonUpload`, which other hosts and the scheduler call.

use tonic::Code;

use crate::row::{Row, row};
use crate::support::client::Import;
use crate::support::peer_client::PeerClient;
use crate::support::world;
use crate::tested_daemon::{MIB, TestedDaemon, assert_says, export_to, import, transfer};

pub(crate) fn rows() -> Vec<Row> {
    let rows = vec![
        row!(a_download_is_the_same_stream),
        row!(a_download_to_a_path_is_one_too),
        row!(a_stat_is_the_schedulers_view_here_too),
        row!(an_update_makes_a_copy_persistent_and_counts),
        row!(an_update_to_not_persistent_does_nothing),
        row!(an_update_of_what_the_host_lacks_is_not_found_unless_it_asks_for_nothing),
        row!(a_delete_removes_the_hosts_copy_and_not_the_task),
        row!(a_deleted_persistent_copy_is_made_again_elsewhere),
        row!(the_last_copy_that_is_deleted_is_not_made_again),
        row!(a_deleted_copy_that_was_not_persistent_is_not_made_again),
        row!(a_delete_of_what_the_host_lacks_has_nothing_to_do),
        row!(the_import_is_not_for_peers),
    ];
    let on_a_fake = |row: Row| row.needs("the hosts' upload sockets", |fake| fake.hosts(3));
    let blocked = row!(other_hosts_are_not_blocked).needs("a blocklist", |fake| {
        fake.block("export:tag=bad".parse().unwrap())
    });
    rows.into_iter().map(on_a_fake).chain([blocked]).collect()
}

async fn other_hosts_are_not_blocked(w: TestedDaemon) {
    let (id, bytes) = w.imported(5).await;
    let request = crate::support::client::Export {
        tag: Some("bad".to_owned()),
        ..transfer(&id)
    };
    let refused = w.client().await.export(request.clone()).await.status;
    assert_says(
        &refused,
        Code::PermissionDenied,
        "download blocked by block list",
    );
    let exported = peer(&w, 0).await.export(request).await.ok();
    assert_eq!(exported.content(), bytes);
}

async fn peer(w: &TestedDaemon, host: usize) -> PeerClient {
    world::peer(w.fake(), host).await
}

/// Imports a new file on the first host with so many replicas, and lets them be made.
async fn replicated(w: &TestedDaemon, count: u64) -> (String, Vec<u8>) {
    let source = w.file(4 * MIB + 1);
    let request = Import {
        persistent_replica_count: count,
        ..import(&source.path)
    };
    let task = w.client().await.import(request).await.unwrap();
    w.fake().settle().await;
    (task.id, source.bytes)
}

/// Persistent replicas and all.
async fn counts(w: &TestedDaemon, id: &str) -> (u64, u64) {
    w.fake().settle().await;
    let task = w.client().await.stat(id).await.unwrap();
    (
        task.current_persistent_replica_count,
        task.current_replica_count,
    )
}

async fn a_download_is_the_same_stream(w: TestedDaemon) {
    let (id, bytes) = replicated(&w, 1).await;
    let exported = peer(&w, 0).await.export(transfer(&id)).await.ok();
    assert_eq!(exported.started, Some(bytes.len() as u64));
    assert_eq!(exported.content(), bytes);
    let unknown = peer(&w, 0).await.export(transfer("4")).await;
    assert!(!unknown.opened);
    w.assert_not_found(&unknown.status, "4");
}

async fn a_download_to_a_path_is_one_too(w: TestedDaemon) {
    let (id, bytes) = replicated(&w, 1).await;
    let out = w.path("out");
    peer(&w, 1).await.export(export_to(&id, &out)).await.ok();
    assert_eq!(std::fs::read(out).unwrap(), bytes);
    assert_eq!(counts(&w, &id).await, (1, 2));
}

async fn a_stat_is_the_schedulers_view_here_too(w: TestedDaemon) {
    let (id, _) = replicated(&w, 2).await;
    let peer = peer(&w, 2).await;
    let task = w.client().await.stat(&id).await.unwrap();
    assert_eq!(peer.stat(&id).await.unwrap(), task);
    w.assert_not_found(&peer.stat("4").await.unwrap_err(), "4");
}

async fn an_update_makes_a_copy_persistent_and_counts(w: TestedDaemon) {
    let (id, _) = replicated(&w, 1).await;
    let host = w.host(2).await;
    host.export(transfer(&id)).await.ok();
    assert_eq!(counts(&w, &id).await, (1, 2));
    peer(&w, 2).await.update(&id, true).await.unwrap();
    assert!(host.stat_local(&id).await.unwrap().persistent);
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn an_update_to_not_persistent_does_nothing(w: TestedDaemon) {
    let (id, _) = replicated(&w, 2).await;
    let before = w.client().await.stat_local(&id).await.unwrap();
    peer(&w, 0).await.update(&id, false).await.unwrap();
    assert_eq!(w.client().await.stat_local(&id).await.unwrap(), before);
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn an_update_of_what_the_host_lacks_is_not_found_unless_it_asks_for_nothing(w: TestedDaemon) {
    let (id, _) = replicated(&w, 1).await;
    for id in [id.as_str(), "4", "", "../../etc/passwd"] {
        let refused = peer(&w, 1).await.update(id, true).await.unwrap_err();
        assert_says(&refused, Code::Internal, &format!("task {id} not found"));
        peer(&w, 1).await.update(id, false).await.unwrap();
    }
}

async fn a_delete_removes_the_hosts_copy_and_not_the_task(w: TestedDaemon) {
    let (id, bytes) = replicated(&w, 3).await;
    peer(&w, 0).await.delete(&id).await.unwrap();
    assert!(w.client().await.stat(&id).await.is_ok());
    // All hosts have one, so that it is made again here: from the replicas that are left.
    w.fake().settle().await;
    let exported = w.client().await.export(transfer(&id)).await.ok();
    assert_eq!(exported.content(), bytes);
}

async fn a_deleted_persistent_copy_is_made_again_elsewhere(w: TestedDaemon) {
    let (id, _) = replicated(&w, 2).await;
    peer(&w, 0).await.delete(&id).await.unwrap();
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn the_last_copy_that_is_deleted_is_not_made_again(w: TestedDaemon) {
    let (id, _) = replicated(&w, 1).await;
    peer(&w, 0).await.delete(&id).await.unwrap();
    assert_eq!(counts(&w, &id).await, (0, 0));
    let host = w.client().await;
    assert!(host.listed().await.is_empty());
    let exported = host.export(transfer(&id)).await;
    assert!(exported.opened && exported.pieces.is_empty());
    assert!(
        exported.status.message().contains("peer "),
        "{:?}",
        exported.status
    );
}

async fn a_deleted_copy_that_was_not_persistent_is_not_made_again(w: TestedDaemon) {
    let (id, _) = replicated(&w, 1).await;
    w.host(1).await.export(transfer(&id)).await.ok();
    peer(&w, 1).await.delete(&id).await.unwrap();
    assert_eq!(counts(&w, &id).await, (1, 1));
}

async fn a_delete_of_what_the_host_lacks_has_nothing_to_do(w: TestedDaemon) {
    let (id, _) = replicated(&w, 1).await;
    for id in [id.as_str(), "4", "", "../../etc/passwd"] {
        peer(&w, 1).await.delete(id).await.unwrap();
    }
    assert_eq!(counts(&w, &id).await, (1, 1));
}

async fn the_import_is_not_for_peers(w: TestedDaemon) {
    let endpoint = w.fake().host(0).unwrap().upload_endpoint().to_owned();
    let client = crate::support::client::Client::connect(&endpoint).await;
    let refused = client.import(import(&w.file(1).path)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert_eq!(
        client.health("dfdaemon.v2.DfdaemonUpload").await.unwrap(),
        1
    );
    let other = client
        .health("dfdaemon.v2.DfdaemonDownload")
        .await
        .unwrap_err();
    assert_eq!(other.code(), Code::NotFound);
}
