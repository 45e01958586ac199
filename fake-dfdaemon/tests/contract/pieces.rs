//! The pieces that other hosts take by `DfdaemonUpload`: which there are, and their content.

use std::time::Duration;

use dfdaemon_api::digest::{crc32, metadata_digest};
use fake_dfdaemon::{Release, Rpc};
use testkit::wait::HANGS;
use tonic::Code;

use crate::row::{Row, row};
use crate::support::peer_client::PeerClient;
use crate::support::{outlasts, world};
use crate::tested_daemon::{MIB, TestedDaemon, assert_says};

pub(crate) fn rows() -> Vec<Row> {
    let rows = vec![
        row!(peers_are_told_of_each_piece),
        row!(peers_are_not_told_of_what_the_host_lacks),
        row!(a_peer_that_names_a_million_pieces_holds_nobody_up),
        row!(a_piece_comes_with_its_content_and_digests),
        row!(a_piece_that_the_host_lacks_is_not_found),
        row!(a_piece_for_a_peer_counts_as_uploaded),
        row!(faults_of_transfers_hit_a_piece_for_a_peer),
    ];
    let on_a_fake = |row: Row| row.needs("the hosts' upload sockets", |fake| fake.hosts(1));
    rows.into_iter().map(on_a_fake).collect()
}

async fn peer(w: &TestedDaemon) -> PeerClient {
    world::peer(w.fake(), 0).await
}

async fn peers_are_told_of_each_piece(w: TestedDaemon) {
    let (id, _) = w.imported(4 * MIB + 1).await;
    let announced = peer(&w).await.sync(&id, &[0, 1]).await.unwrap();
    let announced: Vec<_> = announced
        .iter()
        .map(|piece| (piece.number, piece.offset, piece.length))
        .collect();
    let long = 4 * MIB as u64;
    assert_eq!(announced, [(0, 0, long), (1, long, 1)]);
    let announced = peer(&w).await.sync(&id, &[1]).await.unwrap();
    assert_eq!(announced.len(), 1);
    assert!(peer(&w).await.sync(&id, &[]).await.unwrap().is_empty());
}

async fn peers_are_not_told_of_what_the_host_lacks(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    for (id, numbers) in [(id.as_str(), [0, 1]), ("404", [0, 0])] {
        let peer = peer(&w).await;
        // The stream goes on.
        let others = async {
            for _ in 0..3 {
                peer.stat("404").await.unwrap_err();
            }
        };
        outlasts(peer.sync(id, &numbers), others).await;
    }
}

/// Nobody waits for a peer that asks for as many as a request can hold.
async fn a_peer_that_names_a_million_pieces_holds_nobody_up(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    let numbers: Vec<u32> = (0..1_000_000).collect();
    let peer = peer(&w).await;
    let mut announced = peer.syncing(&id, &numbers).await.unwrap();
    assert_eq!(announced.message().await.unwrap().unwrap().number, 0);
    let client = w.client().await;
    let stats = async {
        for _ in 0..100 {
            client.stat(&id).await.unwrap();
        }
    };
    let stats = tokio::time::timeout(HANGS, stats).await;
    stats.expect("they wait for the peer");
    let more = tokio::time::timeout(Duration::ZERO, announced.message()).await;
    assert!(more.is_err(), "the stream goes on");
}

async fn a_piece_comes_with_its_content_and_digests(w: TestedDaemon) {
    let (id, bytes) = w.imported(4 * MIB + 1).await;
    let answer = peer(&w).await.piece(&id, 1).await.unwrap();
    let piece = answer.piece.unwrap();
    let content = piece.content.unwrap();
    assert_eq!(content, bytes[4 * MIB..]);
    let digest = match w.release {
        Release::V0_2 => format!("crc32:{}", crc32(&content)),
        // The source is linked, and nobody has read its pieces.
        _ => String::new(),
    };
    let said = (
        piece.number,
        piece.offset,
        piece.length,
        piece.digest.as_str(),
    );
    assert_eq!(said, (1, 4 * MIB as u64, 1, digest.as_str()));
    assert_eq!(
        answer.digest,
        Some(metadata_digest(1, 4 * MIB as u64, 1, &digest))
    );
    let unset = (piece.traffic_type, piece.cost, piece.created_at);
    assert_eq!(unset, (None, None, None));
}

async fn a_piece_that_the_host_lacks_is_not_found(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    for (id, number) in [
        (id.as_str(), 1),
        (id.as_str(), u32::MAX),
        ("404", 0),
        ("", 0),
    ] {
        let refused = peer(&w).await.piece(id, number).await.unwrap_err();
        let text = "persistent cache piece metadata not found";
        assert_says(&refused, Code::NotFound, text);
    }
}

async fn a_piece_for_a_peer_counts_as_uploaded(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    peer(&w).await.piece(&id, 0).await.unwrap();
    peer(&w).await.sync(&id, &[0]).await.unwrap();
    peer(&w).await.piece(&id, 1).await.unwrap_err();
    let local = w.client().await.stat_local(&id).await.unwrap();
    assert_eq!(local.uploaded_count, 1);
}

async fn faults_of_transfers_hit_a_piece_for_a_peer(w: TestedDaemon) {
    let (id, bytes) = w.imported(5).await;
    let fault = |spec: &str| w.fake().fault(spec.parse().unwrap());
    let corrupts = fault("transfer@piece=0,call=1:corrupt_piece");
    let corrupt = peer(&w).await.piece(&id, 0).await.unwrap().piece.unwrap();
    assert_ne!(corrupt.content.unwrap(), bytes);
    let fails = fault("transfer@host=host-0,call=1:error=UNAVAILABLE");
    let refused = peer(&w).await.piece(&id, 0).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let other = fault("transfer@piece=1:error=UNAVAILABLE");
    peer(&w).await.piece(&id, 0).await.unwrap();
    let fired = [&corrupts, &fails, &other].map(|fault| fault.fired());
    assert_eq!(fired, [1, 1, 0]);
    let calls = w.fake().journal().calls(Rpc::Transfer);
    let faults: Vec<_> = calls.iter().map(|call| call.fault.is_some()).collect();
    assert_eq!(faults, [true, true, false]);
}
