//! Export: `DownloadPersistentCacheTask`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dfdaemon_api::common::v2::TrafficType;
use dfdaemon_api::digest::crc32;
use fake_dfdaemon::{Builder, Release};
use sha2::{Digest as _, Sha256, Sha512};
use tonic::Code;

use crate::row::{Row, row};
use crate::support::client::{Export, Exported};
use crate::support::eventually;
use crate::world::{
    MIB, World, assert_says, cache, export_to, has_other_file_system, import, import_as, transfer,
};

const ENOENT: &str = "No such file or directory (os error 2)";
const EEXIST: &str = "File exists (os error 17)";
const EXDEV: &str = "Invalid cross-device link (os error 18)";

/// Two pieces, the second of 3 bytes.
const TWO_PIECES: usize = 4 * MIB + 3;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        // The stream.
        row!(own_pieces_come_in_order_and_say_so),
        row!(every_message_names_host_task_and_a_new_peer),
        row!(pieces_of_other_hosts_say_so).needs("several hosts", two_hosts),
        row!(a_host_keeps_what_it_fetched).needs("several hosts", two_hosts),
        row!(exports_at_once_share_their_content).needs("several hosts", two_hosts),
        row!(content_comes_only_when_it_is_asked_for),
        row!(content_may_come_besides_an_output),
        row!(an_empty_task_has_no_pieces),
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
        // The output.
        row!(an_output_is_a_hard_link_of_the_content),
        row!(an_output_on_another_host_is_a_hard_link_too).needs("several hosts", two_hosts),
        row!(editing_an_output_edits_the_cached_content),
        row!(an_output_on_another_file_system_is_a_copy)
            .needs("content on the file system of temporary files", |fake| fake)
            .on_a_machine_with("a second file system", has_other_file_system),
        row!(an_empty_task_gives_an_empty_output),
        row!(an_output_that_exists_is_kept),
        row!(an_output_that_is_a_directory_is_kept),
        row!(an_output_that_is_the_content_already_is_fine),
        row!(overwrite_is_unknown).only(Release::V0_2),
        row!(overwrite_gives_the_new_content).only(Release::V1_5),
        row!(overwrite_never_writes_through_a_hard_link)
            .only(Release::V1_5)
            .ours("the real one copies in place: a hard link of another task is written through"),
        row!(overwrite_with_a_wrong_digest_keeps_the_file)
            .only(Release::V1_5)
            .ours("the real one copies in place, without checking the digest"),
        row!(overwrite_replaces_a_file_on_another_file_system)
            .only(Release::V1_5)
            .needs("content on the file system of temporary files", |fake| fake)
            .on_a_machine_with("a second file system", has_other_file_system),
        row!(a_forced_hard_link_is_one),
        row!(a_forced_hard_link_to_another_file_system_has_no_stream)
            .needs("content on the file system of temporary files", |fake| fake)
            .on_a_machine_with("a second file system", has_other_file_system),
        row!(a_forced_hard_link_over_a_file_has_no_stream),
        row!(a_forced_hard_link_that_is_there_is_fine),
        row!(a_missing_parent_is_found_after_the_pieces),
        row!(a_missing_parent_of_a_forced_hard_link_is_found_at_once),
        row!(a_failed_output_of_another_host_leaves_nothing).needs("several hosts", two_hosts),
        row!(a_client_that_goes_away_leaves_no_output).needs("several hosts", two_hosts),
        // Digests.
        row!(a_right_digest_is_fine),
        row!(a_crc32_digest_in_hex_is_fine).ours("the real one reads it as decimal, or not at all"),
        row!(a_wrong_digest_is_a_mismatch).only(Release::V1_5),
        row!(a_wrong_digest_leaves_no_output)
            .only(Release::V1_5)
            .ours("the real one leaves the file"),
        row!(a_malformed_digest_has_no_stream)
            .only(Release::V1_5)
            .ours("the real one says so at the very end"),
        row!(digests_are_unknown).only(Release::V0_2),
        row!(a_digest_without_output_is_ignored),
        // Persistence.
        row!(an_export_with_persistent_makes_a_persistent_copy).needs("several hosts", two_hosts),
    ]
}

fn two_hosts(fake: Builder) -> Builder {
    fake.hosts(2)
}

fn small(fake: Builder) -> Builder {
    fake.capacity(MIB as u64)
}

fn inode(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

/// That both pieces came, whatever came then.
fn assert_both_pieces(exported: &Exported) {
    assert_eq!(exported.started, Some(TWO_PIECES as u64));
    assert_eq!(exported.pieces.len(), 2);
}

/// That nothing was sent, not even that it started.
fn assert_no_stream(exported: &Exported) {
    assert!(!exported.opened, "a stream was opened");
}

async fn own_pieces_come_in_order_and_say_so(w: World) {
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

async fn every_message_names_host_task_and_a_new_peer(w: World) {
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

async fn pieces_of_other_hosts_say_so(w: World) {
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

async fn a_host_keeps_what_it_fetched(w: World) {
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
        1
    );
}

async fn exports_at_once_share_their_content(w: World) {
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

async fn content_comes_only_when_it_is_asked_for(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let exported = w.client().await.export(cache(&id)).await.ok();
    assert_both_pieces(&exported);
    assert!(exported.pieces.iter().all(|piece| piece.content.is_none()));
}

async fn content_may_come_besides_an_output(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    let request = Export {
        need_piece_content: true,
        ..export_to(&id, &output)
    };
    let exported = w.client().await.export(request).await.ok();
    assert!(exported.content() == bytes && fs::read(output).unwrap() == bytes);
}

async fn an_empty_task_has_no_pieces(w: World) {
    let client = w.client().await;
    let request = import_as(&w.file(0).path, &w.unique("empty"));
    let task = client.import(request).await.unwrap();
    let exported = client.export(transfer(&task.id)).await.ok();
    assert_eq!((exported.started, exported.pieces.len()), (Some(0), 0));
}

async fn an_unknown_id_has_no_stream(w: World) {
    let output = w.path("output");
    for id in ["", "4", "../../etc/passwd"] {
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
async fn assert_nobody_has_it(w: &World, host: usize, id: &str) {
    let output = w.path("output");
    let exported = w.host(host).await.export(export_to(id, &output)).await;
    assert!(exported.opened && exported.started.is_some());
    assert!(exported.pieces.is_empty());
    let text = format!("peer {} not found", exported.peer_id());
    w.assert_internal(&exported.status, &w.by_scheduler(Code::NotFound, &text));
    assert!(!output.exists());
}

async fn an_upload_under_way_has_no_pieces(w: World) {
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

async fn a_failed_task_has_no_pieces(w: World) {
    let id = w.failed(MIB).await;
    assert_nobody_has_it(&w, 0, &id).await;
}

async fn what_no_host_holds_is_not_found(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    w.fake().host(0).unwrap().stop().await;
    assert_nobody_has_it(&w, 1, &id).await;
    assert_eq!(w.host(1).await.stat(&id).await.unwrap().state, "Succeeded");
}

async fn what_does_not_fit_has_no_stream(w: World) {
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

async fn blocked_tags_and_applications_are_refused(w: World) {
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

async fn the_blocklist_comes_before_the_id(w: World) {
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

async fn an_overloaded_daemon_says_so(w: World) {
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

async fn an_output_is_a_hard_link_of_the_content(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (first, second) = (w.path("first"), w.path("second"));
    for output in [&first, &second] {
        let exported = w.client().await.export(export_to(&id, output)).await.ok();
        assert_both_pieces(&exported);
    }
    assert!(fs::read(&first).unwrap() == bytes);
    assert_eq!(inode(&first), inode(&second));
}

async fn an_output_on_another_host_is_a_hard_link_too(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (first, second, own) = (w.path("first"), w.path("second"), w.path("own"));
    for output in [&first, &second] {
        let exported = w.host(1).await.export(export_to(&id, output)).await.ok();
        assert_both_pieces(&exported);
        assert!(fs::read(output).unwrap() == bytes);
    }
    w.host(0).await.export(export_to(&id, &own)).await.ok();
    assert_eq!(inode(&first), inode(&second));
    assert_ne!(inode(&first), inode(&own));
}

async fn editing_an_output_edits_the_cached_content(w: World) {
    let (id, mut bytes) = w.imported(5).await;
    let output = w.path("output");
    w.client().await.export(export_to(&id, &output)).await.ok();
    bytes.reverse();
    fs::write(&output, &bytes).unwrap();
    let exported = w.client().await.export(transfer(&id)).await.ok();
    assert!(exported.content() == bytes);
}

async fn an_output_on_another_file_system_is_a_copy(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let other = w.other_file_system();
    let output = other.path().join("output");
    let exported = w.client().await.export(export_to(&id, &output)).await.ok();
    assert_both_pieces(&exported);
    assert!(fs::read(&output).unwrap() == bytes);
    assert_eq!(fs::metadata(&output).unwrap().nlink(), 1);
    assert_eq!(
        fs::read_dir(other.path()).unwrap().count(),
        1,
        "something is left beside it"
    );
}

async fn an_empty_task_gives_an_empty_output(w: World) {
    let client = w.client().await;
    let request = import_as(&w.file(0).path, &w.unique("empty"));
    let task = client.import(request).await.unwrap();
    let output = w.path("output");
    client.export(export_to(&task.id, &output)).await.ok();
    assert_eq!(fs::read(&output).unwrap(), b"");
}

/// That all pieces come, and then that the output exists.
async fn assert_exists(w: &World, request: Export) {
    let output = request.output_path.clone().unwrap();
    let exported = w.client().await.export(request).await;
    assert_both_pieces(&exported);
    let text = format!("output path {output} is already exists");
    w.assert_internal(&exported.status, &w.by_itself(Code::Internal, &text));
}

async fn an_output_that_exists_is_kept(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "precious").unwrap();
    let before = inode(&output);
    assert_exists(&w, export_to(&id, &output)).await;
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    assert_eq!(inode(&output), before);
}

async fn an_output_that_is_a_directory_is_kept(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("directory");
    fs::create_dir(&output).unwrap();
    assert_exists(&w, export_to(&id, &output)).await;
    assert_eq!(fs::read_dir(&output).unwrap().count(), 0);
}

async fn an_output_that_is_the_content_already_is_fine(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    for _ in 0..2 {
        w.client().await.export(export_to(&id, &output)).await.ok();
    }
    assert!(fs::read(&output).unwrap() == bytes);
}

fn overwriting(id: &str, output: &Path) -> Export {
    Export {
        overwrite: true,
        ..export_to(id, output)
    }
}

async fn overwrite_is_unknown(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "precious").unwrap();
    assert_exists(&w, overwriting(&id, &output)).await;
    assert_eq!(fs::read(&output).unwrap(), b"precious");
}

async fn overwrite_gives_the_new_content(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "old").unwrap();
    let exported = w
        .client()
        .await
        .export(overwriting(&id, &output))
        .await
        .ok();
    assert_both_pieces(&exported);
    assert!(fs::read(&output).unwrap() == bytes);
}

async fn overwrite_never_writes_through_a_hard_link(w: World) {
    let ((first, content), (second, other)) = (w.imported(5).await, w.imported(7).await);
    let output = w.path("output");
    let client = w.client().await;
    client.export(export_to(&first, &output)).await.ok();
    client.export(overwriting(&second, &output)).await.ok();
    assert_eq!(fs::read(&output).unwrap(), other);
    let exported = client.export(transfer(&first)).await.ok();
    assert_eq!(
        exported.content(),
        content,
        "the cached content was written through"
    );
}

async fn overwrite_with_a_wrong_digest_keeps_the_file(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "precious").unwrap();
    let request = Export {
        digest: Some("crc32:1".to_owned()),
        ..overwriting(&id, &output)
    };
    let exported = w.client().await.export(request).await;
    assert_eq!(
        exported.status.code(),
        Code::Internal,
        "{:?}",
        exported.status
    );
    assert_eq!(fs::read(&output).unwrap(), b"precious");
}

async fn overwrite_replaces_a_file_on_another_file_system(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let other = w.other_file_system();
    let output = other.path().join("output");
    fs::write(&output, "old").unwrap();
    w.client()
        .await
        .export(overwriting(&id, &output))
        .await
        .ok();
    assert!(fs::read(&output).unwrap() == bytes);
    assert_eq!(
        fs::read_dir(other.path()).unwrap().count(),
        1,
        "something is left beside it"
    );
}

fn forced(id: &str, output: &Path) -> Export {
    Export {
        force_hard_link: true,
        ..export_to(id, output)
    }
}

async fn a_forced_hard_link_is_one(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (output, other) = (w.path("output"), w.path("other"));
    let exported = w.client().await.export(forced(&id, &output)).await.ok();
    assert_both_pieces(&exported);
    assert!(fs::read(&output).unwrap() == bytes);
    w.client().await.export(export_to(&id, &other)).await.ok();
    assert_eq!(inode(&output), inode(&other));
}

async fn a_forced_hard_link_to_another_file_system_has_no_stream(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let other = w.other_file_system();
    let exported = w
        .client()
        .await
        .export(forced(&id, &other.path().join("output")))
        .await;
    assert_no_stream(&exported);
    w.assert_internal(&exported.status, EXDEV);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

async fn a_forced_hard_link_over_a_file_has_no_stream(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "precious").unwrap();
    for overwrite in [false, true] {
        let request = Export {
            overwrite,
            ..forced(&id, &output)
        };
        let exported = w.client().await.export(request).await;
        assert_no_stream(&exported);
        w.assert_internal(&exported.status, EEXIST);
        assert_eq!(fs::read(&output).unwrap(), b"precious");
    }
}

async fn a_forced_hard_link_that_is_there_is_fine(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    for _ in 0..2 {
        w.client().await.export(forced(&id, &output)).await.ok();
    }
    assert!(fs::read(&output).unwrap() == bytes);
}

async fn a_missing_parent_is_found_after_the_pieces(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("missing/output");
    let exported = w.client().await.export(export_to(&id, &output)).await;
    assert_both_pieces(&exported);
    w.assert_internal(&exported.status, ENOENT);
    assert!(!w.path("missing").exists());
}

async fn a_missing_parent_of_a_forced_hard_link_is_found_at_once(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let exported = w
        .client()
        .await
        .export(forced(&id, &w.path("missing/output")))
        .await;
    assert_no_stream(&exported);
    w.assert_internal(&exported.status, ENOENT);
}

async fn a_failed_output_of_another_host_leaves_nothing(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let host = w.host(1).await;
    let exported = host.export(forced(&id, &w.path("missing/output"))).await;
    assert_no_stream(&exported);
    w.assert_internal(&exported.status, ENOENT);
    let exported = host.export(transfer(&id)).await.ok();
    assert!(exported.content() == bytes);
}

async fn a_client_that_goes_away_leaves_no_output(w: World) {
    let (id, bytes) = w.imported(16 * MIB).await;
    let output = w.path("output");
    let request = Export {
        need_piece_content: true,
        ..export_to(&id, &output)
    };
    for host in [0, 1] {
        let client = w.host(host).await;
        let running = client.begin_export(request.clone()).await.unwrap();
        assert!(output.exists(), "it is linked at once");
        drop(running);
        eventually("the output is gone", || async { !output.exists() }).await;
        let exported = client.export(transfer(&id)).await.ok();
        assert!(exported.content() == bytes);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn a_right_digest_is_fine(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    for digest in [
        format!("sha256:{}", hex(&Sha256::digest(&bytes))),
        format!("sha512:{}", hex(&Sha512::digest(&bytes))),
        format!("crc32:{}", crc32(&bytes)),
    ] {
        let output = w.path(digest.split(':').next().unwrap());
        let request = Export {
            digest: Some(digest),
            ..export_to(&id, &output)
        };
        w.client().await.export(request).await.ok();
        assert!(fs::read(output).unwrap() == bytes);
    }
}

async fn a_crc32_digest_in_hex_is_fine(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let request = Export {
        digest: Some(format!("crc32:{:08x}", crc32(&bytes))),
        ..export_to(&id, &w.path("output"))
    };
    w.client().await.export(request).await.ok();
}

/// Exports with a digest that the content does not have.
async fn export_with_wrong_digest(w: &World, output: &Path) -> (Exported, String) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (wrong, right) = ("0".repeat(64), hex(&Sha256::digest(&bytes)));
    let request = Export {
        digest: Some(format!("sha256:{wrong}")),
        ..export_to(&id, output)
    };
    let text = format!("digest mismatch expected: sha256:{wrong}, actual: sha256:{right}");
    (w.client().await.export(request).await, text)
}

async fn a_wrong_digest_is_a_mismatch(w: World) {
    let (exported, text) = export_with_wrong_digest(&w, &w.path("output")).await;
    assert_both_pieces(&exported);
    w.assert_internal(&exported.status, &text);
}

async fn a_wrong_digest_leaves_no_output(w: World) {
    let output = w.path("output");
    let (exported, _) = export_with_wrong_digest(&w, &output).await;
    assert_eq!(exported.status.code(), Code::Internal);
    assert!(!output.exists());
}

async fn a_malformed_digest_has_no_stream(w: World) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    for (raw, why) in [
        ("sha256", "invalid digest: sha256"),
        ("", "invalid digest: "),
        ("md5:00", "invalid digest algorithm: md5"),
        ("sha256:00", "invalid sha256 digest length: 2, expected 64"),
        ("sha512:0", "invalid sha512 digest length: 1, expected 128"),
        ("crc32:what", "invalid crc32 digest: what"),
        ("crc32:4294967296", "invalid crc32 digest: 4294967296"),
    ] {
        let request = Export {
            digest: Some(raw.to_owned()),
            ..export_to(&id, &output)
        };
        let exported = w.client().await.export(request).await;
        assert_no_stream(&exported);
        let text = format!("invalid digest({raw}): {why}");
        w.assert_internal(&exported.status, &w.by_itself(Code::InvalidArgument, &text));
        assert!(!output.exists());
    }
}

async fn digests_are_unknown(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    for (name, digest) in [("wrong", "crc32:1"), ("malformed", "md5")] {
        let request = Export {
            digest: Some(digest.to_owned()),
            ..export_to(&id, &w.path(name))
        };
        w.client().await.export(request).await.ok();
        assert!(fs::read(w.path(name)).unwrap() == bytes);
    }
}

async fn a_digest_without_output_is_ignored(w: World) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    for digest in ["crc32:1", "md5", ""] {
        let request = Export {
            digest: Some(digest.to_owned()),
            ..transfer(&id)
        };
        let exported = w.client().await.export(request).await.ok();
        assert!(exported.content() == bytes);
    }
}

async fn an_export_with_persistent_makes_a_persistent_copy(w: World) {
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
