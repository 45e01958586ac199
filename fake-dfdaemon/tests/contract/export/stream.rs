//! What an export streams: messages, pieces, whom they come from, and when there is no stream.

use std::fs;

use dfdaemon_api::common::v2::TrafficType;
use dfdaemon_api::digest::crc32;
use fake_dfdaemon::Release;
use tonic::Code;

use super::{TWO_PIECES, assert_both_pieces, assert_no_stream, small, two_hosts};
use crate::row::{Row, row};
use crate::support::client::{Export, Exported};
use crate::support::eventually;
use crate::support::world::fired;
use crate::tested_daemon::{
    MIB, TestedDaemon, assert_says, cache, export_to, import, import_as, transfer,
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(own_pieces_come_in_order_and_say_so),
        row!(every_message_names_host_task_and_a_new_peer),
        row!(pieces_of_other_hosts_say_so).needs("several hosts", two_hosts),
        row!(pieces_that_were_read_for_somebody_are_counted),
        row!(pieces_come_from_three_parents_at_most).needs("many hosts", |fake| fake.hosts(6)),
        row!(a_host_keeps_what_it_fetched).needs("several hosts", two_hosts),
        row!(exports_at_once_share_their_content).needs("several hosts", two_hosts),
        row!(a_piece_that_is_in_flight_comes_without_digest_and_cost)
            .needs("several hosts", two_hosts),
        row!(content_comes_only_when_it_is_asked_for),
        row!(content_may_come_besides_an_output),
        row!(an_empty_task_has_no_pieces),
        row!(an_empty_task_comes_from_no_host).needs("several hosts", two_hosts),
        row!(an_unknown_id_has_no_stream),
        row!(an_upload_under_way_has_no_pieces)
            .needs("an import that takes long", |fake| fake)
            .only(Release::V0_2),
        row!(a_failed_task_has_no_pieces).needs("a capacity", small),
        row!(what_no_host_holds_is_not_found).needs("several hosts", two_hosts),
        row!(what_does_not_fit_has_no_stream).needs("several hosts and a capacity", |fake| {
            two_hosts(fake).capacity(5 << 20)
        }),
        row!(blocked_tags_and_applications_are_refused).needs("a blocklist", |fake| {
            fake.block("export:tag=bad".parse().unwrap())
                .block("export:application=bad".parse().unwrap())
        }),
        row!(the_blocklist_comes_before_the_id).needs("a blocklist", |fake| {
            fake.block("export:tag=bad".parse().unwrap())
        }),
        row!(an_overloaded_daemon_says_so)
            .needs("a limit of requests", |fake| fake.max_requests(1)),
        row!(an_export_with_persistent_makes_a_persistent_copy).needs("several hosts", two_hosts),
    ]
}

async fn own_pieces_come_in_order_and_say_so(w: TestedDaemon) {
    let (id, bytes) = w.imported(9 * MIB).await;
    let exported = w.client().await.export(transfer(&id)).await.ok();
    assert_eq!(exported.started, Some(9 << 20));
    assert_eq!(exported.numbers(), [0, 1, 2]);
    assert_eq!(exported.traffic(), [TrafficType::LocalPeer; 3]);
    for piece in &exported.pieces {
        assert_eq!(piece.parent_id, None);
        assert!(piece.cost.is_some() && piece.created_at.is_some());
    }
    assert!(exported.content() == bytes);
}

async fn every_message_names_host_task_and_a_new_peer(w: TestedDaemon) {
    let (id, _) = w.imported(3).await;
    let mut peers = Vec::new();
    for _ in 0..2 {
        let exported = w.client().await.export(cache(&id)).await.ok();
        let (host, task, peer) = exported.ids.unwrap();
        assert_eq!(task, id);
        assert!(
            peer.starts_with(&format!("{host}-")),
            "{peer} is not of {host}"
        );
        assert!(!host.is_empty() && !peers.contains(&peer));
        peers.push(peer);
    }
}

async fn pieces_of_other_hosts_say_so(w: TestedDaemon) {
    let (id, bytes) = w.imported(9 * MIB).await;
    let exported = w.host(1).await.export(transfer(&id)).await.ok();
    let mut numbers = exported.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(exported.traffic(), [TrafficType::RemotePeer; 3]);
    let own = exported.ids.clone().unwrap();
    for piece in &exported.pieces {
        let parent = piece.parent_id.clone().unwrap();
        assert!(
            !parent.starts_with(&own.0),
            "{parent} is of the host itself"
        );
        assert!(piece.cost.is_some() && piece.created_at.is_some());
        let range = usize::try_from(piece.offset).unwrap()..;
        let here = bytes
            .get(range)
            .unwrap()
            .chunks(usize::try_from(piece.length).unwrap());
        let crc = crc32(here.take(1).next().unwrap());
        assert_eq!(piece.digest, format!("crc32:{crc}"));
    }
    assert!(exported.content() == bytes);
}

async fn pieces_that_were_read_for_somebody_are_counted(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let client = w.client().await;
    client.export(transfer(&id)).await.ok();
    let before = client.stat_local(&id).await.unwrap();
    assert_eq!(before.uploaded_count, 2);
    // By path nothing is read for anybody, nor when the content is not wanted.
    client.export(export_to(&id, &w.path("out"))).await.ok();
    client.export(cache(&id)).await.ok();
    assert_eq!(client.stat_local(&id).await.unwrap().uploaded_count, 2);
}

async fn pieces_come_from_three_parents_at_most(w: TestedDaemon) {
    let path = w.long_file(36 * MIB);
    let request = crate::support::client::Import {
        persistent_replica_count: 5,
        ..import(&path)
    };
    let task = w.client().await.import(request).await.unwrap();
    w.fake().settle().await;
    for number in 0..6 {
        let host = w.host(number).await;
        if host.stat_local(&task.id).await.is_ok() {
            continue;
        }
        let exported = host.export(cache(&task.id)).await.ok();
        assert_eq!(exported.pieces.len(), 9);
        let parents = exported.pieces.iter().map(|piece| piece.parent_id.clone());
        let parents: std::collections::BTreeSet<_> = parents.collect();
        assert_eq!(parents.len(), 3, "{parents:?}");
        return;
    }
    panic!("no host is left without the task");
}

async fn a_host_keeps_what_it_fetched(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let host = w.host(1).await;
    let first = host.export(cache(&id)).await.ok();
    assert_eq!(first.traffic(), [TrafficType::RemotePeer; 2]);
    let second = host.export(transfer(&id)).await.ok();
    assert_eq!(second.traffic(), [TrafficType::LocalPeer; 2]);
    assert_eq!(second.numbers(), [0, 1]);
    assert!(second.content() == bytes);
    assert_eq!(
        w.host(0)
            .await
            .stat_local(&id)
            .await
            .unwrap()
            .uploaded_count,
        2
    );
}

async fn exports_at_once_share_their_content(w: TestedDaemon) {
    let (id, bytes) = w.imported(9 * MIB).await;
    let mut running = Vec::new();
    for _ in 0..6 {
        let (host, request) = (w.host(1).await, transfer(&id));
        running.push(tokio::spawn(async move { host.export(request).await }));
    }
    for exported in running {
        assert!(exported.await.unwrap().ok().content() == bytes);
    }
    assert_eq!(
        w.client()
            .await
            .stat(&id)
            .await
            .unwrap()
            .current_replica_count,
        2
    );
}

async fn a_piece_that_is_in_flight_comes_without_digest_and_cost(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let stalls = w.fake().fault("transfer@times=1:stall".parse().unwrap());
    let other = w.host(1).await;
    let first = other.begin_export(transfer(&id)).await.unwrap();
    fired(&stalls, 1).await;
    let second = other.begin_export(transfer(&id)).await.unwrap();
    drop(stalls);
    let said = |exported: &Exported| {
        let pieces = exported.pieces.iter();
        pieces
            .filter(|piece| piece.digest.is_empty() && piece.cost.is_none())
            .count()
    };
    for (messages, in_flight) in [(first, 0), (second, 1)] {
        let exported = Exported::default().read(messages).await.ok();
        assert_eq!(said(&exported), in_flight);
        assert!(exported.content() == bytes);
    }
}

async fn content_comes_only_when_it_is_asked_for(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let exported = w.client().await.export(cache(&id)).await.ok();
    assert_both_pieces(&exported);
    assert!(exported.pieces.iter().all(|piece| piece.content.is_none()));
}

async fn content_may_come_besides_an_output(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    let request = Export {
        need_piece_content: true,
        ..export_to(&id, &output)
    };
    let exported = w.client().await.export(request).await.ok();
    assert!(exported.content() == bytes && fs::read(output).unwrap() == bytes);
}

async fn an_empty_task_has_no_pieces(w: TestedDaemon) {
    let client = w.client().await;
    let request = import_as(&w.file(0).path, &w.unique("empty"));
    let task = client.import(request).await.unwrap();
    let exported = client.export(transfer(&task.id)).await.ok();
    assert_eq!((exported.started, exported.pieces.len()), (Some(0), 0));
}

async fn an_empty_task_comes_from_no_host(w: TestedDaemon) {
    let request = import_as(&w.file(0).path, &w.unique("empty"));
    let task = w.client().await.import(request).await.unwrap();
    w.fake().host(0).unwrap().stop().await;
    let output = w.path("output");
    let exported = w.host(1).await.export(export_to(&task.id, &output)).await;
    assert_eq!(exported.ok().started, Some(0));
    assert_eq!(fs::read(&output).unwrap(), b"");
}

async fn an_unknown_id_has_no_stream(w: TestedDaemon) {
    let output = w.path("output");
    for id in ["4", "../../etc/passwd"] {
        for force_hard_link in [false, true] {
            let request = Export {
                force_hard_link,
                ..export_to(id, &output)
            };
            let exported = w.client().await.export(request).await;
            assert_no_stream(&exported);
            w.assert_not_found(&exported.status, id);
            assert!(!output.exists());
        }
    }
}

/// That an export starts, and then finds nobody who has a piece.
async fn assert_nobody_has_it(w: &TestedDaemon, host: usize, id: &str) {
    let output = w.path("output");
    let exported = w.host(host).await.export(export_to(id, &output)).await;
    assert!(exported.opened && exported.started.is_some());
    assert!(exported.pieces.is_empty());
    let text = format!("peer {} not found", exported.peer_id());
    w.assert_internal(&exported.status, &w.by_scheduler(Code::NotFound, &text));
    assert!(!output.exists());
}

async fn an_upload_under_way_has_no_pieces(w: TestedDaemon) {
    let client = w.client().await;
    let text = w.unique("long");
    let id = w.scheme().of_content(&text);
    let running = client.begin_import(import_as(&w.long_file(192 * MIB), &text));
    eventually("the import is under way", || async {
        client.stat(&id).await.is_ok()
    })
    .await;
    assert_nobody_has_it(&w, 0, &id).await;
    assert!(!running.is_finished(), "the import ended too soon to tell");
    running.await.unwrap().unwrap();
}

async fn a_failed_task_has_no_pieces(w: TestedDaemon) {
    let id = w.failed(MIB).await;
    assert_nobody_has_it(&w, 0, &id).await;
}

async fn what_no_host_holds_is_not_found(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    w.fake().host(0).unwrap().stop().await;
    assert_nobody_has_it(&w, 1, &id).await;
    assert_eq!(w.host(1).await.stat(&id).await.unwrap().state, "Succeeded");
}

async fn what_does_not_fit_has_no_stream(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let full = w.file(2 * MIB);
    w.host(1).await.import(import(&full.path)).await.unwrap();
    let output = w.path("output");
    let exported = w.host(1).await.export(export_to(&id, &output)).await;
    assert_no_stream(&exported);
    assert_eq!(exported.status.code(), Code::Internal);
    assert!(
        exported
            .status
            .message()
            .starts_with("no space left on device")
    );
    assert!(!output.exists());
}

async fn blocked_tags_and_applications_are_refused(w: TestedDaemon) {
    let (id, _) = w.imported(2).await;
    let client = w.client().await;
    let bad = Some("bad".to_owned());
    let (tagged, applied) = (
        Export {
            tag: bad.clone(),
            ..cache(&id)
        },
        Export {
            application: bad,
            ..cache(&id)
        },
    );
    for request in [tagged, applied] {
        let exported = client.export(request).await;
        assert_no_stream(&exported);
        assert_says(
            &exported.status,
            Code::PermissionDenied,
            "download blocked by block list",
        );
    }
    client.export(cache(&id)).await.ok();
}

async fn the_blocklist_comes_before_the_id(w: TestedDaemon) {
    let request = Export {
        tag: Some("bad".to_owned()),
        ..cache("4")
    };
    let exported = w.client().await.export(request).await;
    assert_says(
        &exported.status,
        Code::PermissionDenied,
        "download blocked by block list",
    );
}

async fn an_overloaded_daemon_says_so(w: TestedDaemon) {
    let (id, bytes) = w.imported(24 * MIB).await;
    let client = w.client().await;
    // Content that nobody reads keeps the request in hand.
    let mut running = client.begin_export(transfer(&id)).await.unwrap();
    let text = "server is overloaded: too many requests, please retry later";
    let exported = client.export(cache(&id)).await;
    assert_no_stream(&exported);
    assert_says(&exported.status, Code::ResourceExhausted, text);
    assert_says(
        &client.stat(&id).await.unwrap_err(),
        Code::ResourceExhausted,
        text,
    );
    let mut exported = Exported::default();
    while let Some(message) = running.message().await.unwrap() {
        exported.take(message);
    }
    assert!(exported.content() == bytes);
    drop(running);
    eventually("the daemon takes requests again", || async {
        client.stat(&id).await.is_ok()
    })
    .await;
}

async fn an_export_with_persistent_makes_a_persistent_copy(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let persistent = Export {
        persistent: true,
        ..cache(&id)
    };
    let host = w.host(1).await;
    // Of what is fetched for it, and of what lies there already.
    for request in [cache(&id), persistent] {
        let wanted = request.persistent;
        host.export(request).await.ok();
        assert_eq!(host.stat_local(&id).await.unwrap().persistent, wanted);
    }
    let task = host.stat(&id).await.unwrap();
    assert_eq!(
        (
            task.current_persistent_replica_count,
            task.current_replica_count
        ),
        (2, 2)
    );
    assert!(host.export(transfer(&id)).await.ok().content() == bytes);
}
