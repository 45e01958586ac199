//! What the release decides, as far as no other table says it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use dfdaemon_api::digest::crc32;
use fake_dfdaemon::Release;

use crate::row::{Row, row};
use crate::support::client::{Export, Import};
use crate::tested_daemon::{TestedDaemon, cache, export_to, import, import_as, transfer};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(ids_are_the_published_ones).needs("a fresh state", |fake| fake),
        row!(an_import_copies_its_source).only(Release::V0_2),
        row!(an_import_hard_links_its_source).only(Release::V1_5),
        row!(editing_the_source_leaves_the_content_alone).only(Release::V0_2),
        row!(editing_the_source_edits_the_content).only(Release::V1_5),
        row!(imported_pieces_have_a_digest).only(Release::V0_2),
        row!(imported_pieces_have_no_digest).only(Release::V1_5),
        row!(local_records_are_served).ours("release 0.2 knows no StatLocal and no List"),
        row!(remote_ip_changes_nothing),
    ]
}

async fn ids_are_the_published_ones(w: TestedDaemon) {
    let path = w.path("file");
    fs::write(&path, "This is a test file").unwrap();
    let (tag, application) = (Some("tag1".to_owned()), Some("app1".to_owned()));
    for (request, crc32, sha256) in [
        (
            Import {
                application,
                ..import(&path)
            },
            "735741469",
            "0d0f8536f51227fda07141308f5ae8149b561b51b61c6517125f25dfa27acf5b",
        ),
        (
            Import {
                tag,
                ..import(&path)
            },
            "3954905097",
            "a98b76813681e30cf83733fe055792b86393bba6f18e3d89fd8c18253922d992",
        ),
        (
            import_as(&path, "This is a test file"),
            "107352521",
            "e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249",
        ),
    ] {
        let task = w.client().await.import(request).await.unwrap();
        let id = if w.release == Release::V0_2 {
            crc32
        } else {
            sha256
        };
        assert_eq!(task.id, id);
    }
}

/// The inode of a file that is imported, and that of its export.
async fn inodes(w: &TestedDaemon) -> (u64, u64) {
    let (source, output) = (w.file(9), w.path("output"));
    let task = w.client().await.import(import(&source.path)).await.unwrap();
    w.client()
        .await
        .export(export_to(&task.id, &output))
        .await
        .ok();
    let inode = |path| fs::metadata(path).unwrap().ino();
    (inode(&source.path), inode(&output))
}

async fn an_import_copies_its_source(w: TestedDaemon) {
    let (source, output) = inodes(&w).await;
    assert_ne!(source, output);
}

async fn an_import_hard_links_its_source(w: TestedDaemon) {
    let (source, output) = inodes(&w).await;
    assert_eq!(source, output);
}

/// What is exported after the source was edited in place, what it was before and after.
async fn edited(w: &TestedDaemon) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let source = w.file(9);
    let task = w.client().await.import(import(&source.path)).await.unwrap();
    let after: Vec<u8> = source.bytes.iter().map(|byte| !byte).collect();
    fs::write(&source.path, &after).unwrap();
    let exported = w.client().await.export(transfer(&task.id)).await.ok();
    (exported.content(), source.bytes, after)
}

async fn editing_the_source_leaves_the_content_alone(w: TestedDaemon) {
    let (exported, before, _) = edited(&w).await;
    assert_eq!(exported, before);
}

async fn editing_the_source_edits_the_content(w: TestedDaemon) {
    let (exported, _, after) = edited(&w).await;
    assert_eq!(exported, after);
}

async fn imported_pieces_have_a_digest(w: TestedDaemon) {
    let (id, bytes) = w.imported(4 * (1 << 20) + 5).await;
    let exported = w.client().await.export(cache(&id)).await.ok();
    for (piece, bytes) in exported.pieces.iter().zip(bytes.chunks(4 << 20)) {
        assert_eq!(piece.digest, format!("crc32:{}", crc32(bytes)));
    }
}

async fn imported_pieces_have_no_digest(w: TestedDaemon) {
    let (id, _) = w.imported(9).await;
    let exported = w.client().await.export(cache(&id)).await.ok();
    assert!(exported.pieces.iter().all(|piece| piece.digest.is_empty()));
}

async fn local_records_are_served(w: TestedDaemon) {
    let (id, _) = w.imported(9).await;
    let client = w.client().await;
    assert_eq!(client.stat_local(&id).await.unwrap().task_id, id);
    assert!(client.listed().await.contains(&id));
}

async fn remote_ip_changes_nothing(w: TestedDaemon) {
    let source = w.file(9);
    let remote_ip = Some("192.0.2.7".to_owned());
    let request = Import {
        remote_ip: remote_ip.clone(),
        ..import(&source.path)
    };
    let task = w.client().await.import(request).await.unwrap();
    let request = Export {
        remote_ip,
        ..transfer(&task.id)
    };
    let exported = w.client().await.export(request).await.ok();
    assert_eq!(exported.content(), source.bytes);
}
