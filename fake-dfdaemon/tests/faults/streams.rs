//! What hits the stream of an export, message by message.

use std::time::Duration;

use fake_dfdaemon::{Action, Fault, Rpc};

use crate::faults::world::{Kind, PIECE, Place, Subject, World, export_to, faults, transfer};
use crate::support::client::Exported;
use crate::support::outlasts;
use testkit::wait::HANGS;

/// Three pieces, the last of one byte.
const LENGTH: usize = 2 * PIECE + 1;

/// The piece that a fault at this place hits.
fn hit(place: Place) -> u32 {
    u32::from(place != Place::Unsaid)
}

/// What is left of a stream when its faulty piece is put right again: all that no fault touched.
fn check(name: &str, place: Place, task: &Subject, seen: &Exported) {
    let case = format!("{name} at {place:?}");
    let hit = hit(place);
    let numbers = match (name, hit) {
        ("end", 0) => vec![],
        ("end", _) => vec![0],
        ("skip_piece", 0) => vec![1, 2],
        ("skip_piece", _) => vec![0, 2],
        ("repeat_piece", 0) => vec![0, 0, 1, 2],
        ("repeat_piece", _) => vec![0, 1, 1, 2],
        _ => vec![0, 1, 2],
    };
    if name == "shuffle_pieces" {
        let mut sorted = seen.numbers();
        assert_ne!(sorted, [0, 1, 2], "{case}");
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2], "{case}");
    } else {
        assert_eq!(seen.numbers(), numbers, "{case}");
    }
    let wrong = if name == "wrong_content_length" { 7 } else { 0 };
    assert_eq!(seen.started, Some(LENGTH as u64 + wrong), "{case}");
    for piece in &seen.pieces {
        let start = piece.number as usize * PIECE;
        let true_bytes = &task.bytes[start..LENGTH.min(start + PIECE)];
        let true_digest =
            dfdaemon_api::digest::piece_digest(dfdaemon_api::digest::crc32(true_bytes));
        let spoiled = |by: &str| name == by && piece.number == hit;
        assert_eq!(piece.offset, start as u64, "{case}");
        let length = true_bytes.len() as u64;
        let wrong = if spoiled("wrong_length") { 3 } else { 0 };
        assert_eq!(piece.length, length - wrong, "{case}");
        if spoiled("empty_digest") {
            assert_eq!(piece.digest, "", "{case}");
        } else if spoiled("corrupt_digest") {
            assert_ne!(piece.digest, true_digest, "{case}");
            assert!(piece.digest.starts_with("crc32:"), "{case}");
        } else {
            assert_eq!(piece.digest, true_digest, "{case}");
        }
        if spoiled("no_content") {
            assert_eq!(piece.content, None, "{case}");
            continue;
        }
        let content = piece.content.as_ref().unwrap();
        assert_eq!(content.len(), true_bytes.len(), "{case}");
        if !spoiled("corrupt_piece") {
            // Not by assert_eq, which would show megabytes.
            assert!(content == true_bytes, "{case}");
            continue;
        }
        let flipped: u32 = std::iter::zip(content.iter(), true_bytes)
            .map(|(sent, true_byte)| (sent ^ true_byte).count_ones())
            .sum();
        assert_eq!(flipped, 1, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_spoiled_as_the_fault_says_and_ends_well() {
    // The seed decides what a shuffle comes to: never to the order that was.
    for seed in [1, 2, 3] {
        let w = World::with(|builder| builder.fault_seed(seed)).await;
        let task = w.imported(LENGTH).await;
        let rows = [Kind::Piece, Kind::Stream].map(|kind| faults(kind, Rpc::Export));
        for (name, place, fault) in rows.into_iter().flatten() {
            if name == "bandwidth" || (seed > 1 && name != "shuffle_pieces") {
                continue;
            }
            w.daemon.journal().clear().unwrap();
            let guard = w.daemon.fault(fault);
            let seen = w.client().await.export(transfer(&task.id)).await.ok();
            check(name, place, &task, &seen);
            assert_eq!(guard.fired(), 1, "{name} at {place:?}");
            let call = w.journaled(Rpc::Export, 1).await;
            assert_eq!(call.fault.unwrap().id, guard.id());
            assert_eq!(call.pieces, seen.pieces.len() as u64, "{name} at {place:?}");
            let sent = seen
                .pieces
                .iter()
                .filter_map(|piece| piece.content.as_ref());
            assert_eq!(
                call.bytes,
                sent.map(|content| content.len() as u64).sum::<u64>()
            );
            assert_eq!(call.status.code, "OK");
        }
    }
}

/// What the fake keeps is not what a fault makes of it on the way.
#[tokio::test]
async fn a_spoiled_stream_leaves_the_content_sound() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let fault = Fault::on(Rpc::Export).action(Action::CorruptPiece);
    let guard = w.daemon.fault(fault);
    let seen = w.client().await.export(transfer(&task.id)).await.ok();
    assert_ne!(seen.content(), task.bytes);
    drop(guard);
    let seen = w.client().await.export(transfer(&task.id)).await.ok();
    assert_eq!(seen.content(), task.bytes);
}

/// Without content in the stream there is none to spoil; the fault waits for one that has some.
#[tokio::test]
async fn a_fault_does_not_fire_where_there_is_nothing_to_spoil() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let guard = w
        .daemon
        .fault(Fault::on(Rpc::Export).times(1).action(Action::CorruptPiece));
    let out = w.path("out");
    w.client()
        .await
        .export(export_to(&task.id, &out))
        .await
        .ok();
    assert_eq!(std::fs::read(&out).unwrap(), task.bytes);
    assert_eq!(guard.fired(), 0);
    let seen = w.client().await.export(transfer(&task.id)).await.ok();
    assert_ne!(seen.content(), task.bytes);
    assert_eq!(guard.fired(), 1);
}

/// Four MiB a second: a piece a second, by the daemon's clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bandwidth_holds_pieces_back_from_its_place_on() {
    let w = World::new().await;
    let task = w.imported(LENGTH).await;
    let rows = faults(Kind::Piece, Rpc::Export).into_iter();
    for (_, place, fault) in rows.filter(|(name, ..)| *name == "bandwidth") {
        let guard = w.daemon.fault(fault);
        let mut stream = w
            .client()
            .await
            .begin_export(transfer(&task.id))
            .await
            .unwrap();
        let mut seen = Exported::default();
        seen.take(stream.message().await.unwrap().unwrap());
        for number in 0..3 {
            let is_held = number >= hit(place);
            if is_held {
                w.fired(&guard, 1).await;
                outlasts(stream.message(), w.turns()).await;
                // The last piece is one byte.
                let takes = if number == 2 { 250 } else { 1_000_000_000 };
                w.daemon
                    .clock()
                    .advance(Duration::from_nanos(takes))
                    .unwrap();
                let came = tokio::time::timeout(HANGS, stream.message()).await;
                let came = came.expect("a piece is held back for too long");
                seen.take(came.unwrap().unwrap());
            } else {
                seen.take(stream.message().await.unwrap().unwrap());
            }
        }
        let seen = seen.read(stream).await.ok();
        assert_eq!(seen.content(), task.bytes);
        assert_eq!(guard.fired(), 1);
    }
}

/// As two faults act on one piece.
#[tokio::test]
async fn two_faults_act_on_the_message_that_a_stream_starts_with() {
    let w = World::new().await;
    let task = w.imported(1).await;
    let on = || Fault::on(Rpc::Export);
    let _one = w.daemon.fault(on().wrong_content_length(2));
    let _other = w.daemon.fault(on().wrong_content_length(3));
    let exported = w.client().await.export(transfer(&task.id)).await;
    assert_eq!(exported.started, Some(1 + 2 + 3));
}
