//! Outputs under `overwrite` and `force_hard_link`.

use std::fs;
use std::path::Path;

use fake_dfdaemon::Release;
use tonic::Code;

use super::{
    EEXIST, ENOENT, EXDEV, TWO_PIECES, assert_both_pieces, assert_exists, assert_no_stream, forced,
    inode,
};
use crate::row::{Row, row};
use crate::support::client::Export;
use crate::tested_daemon::{TestedDaemon, export_to, has_other_file_system, transfer};

pub(super) fn rows() -> Vec<Row> {
    vec![
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
        row!(a_missing_parent_of_a_forced_hard_link_is_found_at_once),
    ]
}

fn overwriting(id: &str, output: &Path) -> Export {
    Export {
        overwrite: true,
        ..export_to(id, output)
    }
}

async fn overwrite_is_unknown(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "precious").unwrap();
    assert_exists(&w, overwriting(&id, &output)).await;
    assert_eq!(fs::read(&output).unwrap(), b"precious");
}

async fn overwrite_gives_the_new_content(w: TestedDaemon) {
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

async fn overwrite_never_writes_through_a_hard_link(w: TestedDaemon) {
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

async fn overwrite_with_a_wrong_digest_keeps_the_file(w: TestedDaemon) {
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

async fn overwrite_replaces_a_file_on_another_file_system(w: TestedDaemon) {
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

async fn a_forced_hard_link_is_one(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (output, other) = (w.path("output"), w.path("other"));
    let exported = w.client().await.export(forced(&id, &output)).await.ok();
    assert_both_pieces(&exported);
    assert!(fs::read(&output).unwrap() == bytes);
    w.client().await.export(export_to(&id, &other)).await.ok();
    assert_eq!(inode(&output), inode(&other));
}

async fn a_forced_hard_link_to_another_file_system_has_no_stream(w: TestedDaemon) {
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

async fn a_forced_hard_link_over_a_file_has_no_stream(w: TestedDaemon) {
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

async fn a_forced_hard_link_that_is_there_is_fine(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    for _ in 0..2 {
        w.client().await.export(forced(&id, &output)).await.ok();
    }
    assert!(fs::read(&output).unwrap() == bytes);
}

async fn a_missing_parent_of_a_forced_hard_link_is_found_at_once(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let exported = w
        .client()
        .await
        .export(forced(&id, &w.path("missing/output")))
        .await;
    assert_no_stream(&exported);
    w.assert_internal(&exported.status, ENOENT);
}
