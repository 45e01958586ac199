//! The output that the daemon makes: a hard link or a copy, and never over what is there.

use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::wait::Changes;

use super::{
    ENOENT, TWO_PIECES, assert_both_pieces, assert_exists, assert_no_stream, forced, inode,
    two_hosts,
};
use crate::row::{Row, row};
use crate::support::client::Export;
use crate::tested_daemon::{
    MIB, TestedDaemon, export_to, has_other_file_system, import_as, transfer,
};

pub(super) fn rows() -> Vec<Row> {
    vec![
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
        row!(a_missing_parent_is_found_after_the_pieces),
        row!(a_failed_output_of_another_host_leaves_nothing).needs("several hosts", two_hosts),
        row!(a_client_that_goes_away_leaves_no_output).needs("several hosts", two_hosts),
    ]
}

async fn an_output_is_a_hard_link_of_the_content(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (first, second) = (w.path("first"), w.path("second"));
    for output in [&first, &second] {
        let exported = w.client().await.export(export_to(&id, output)).await.ok();
        assert_both_pieces(&exported);
    }
    assert!(fs::read(&first).unwrap() == bytes);
    assert_eq!(inode(&first), inode(&second));
}

async fn an_output_on_another_host_is_a_hard_link_too(w: TestedDaemon) {
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

async fn editing_an_output_edits_the_cached_content(w: TestedDaemon) {
    let (id, mut bytes) = w.imported(5).await;
    let output = w.path("output");
    w.client().await.export(export_to(&id, &output)).await.ok();
    bytes.reverse();
    fs::write(&output, &bytes).unwrap();
    let exported = w.client().await.export(transfer(&id)).await.ok();
    assert!(exported.content() == bytes);
}

async fn an_output_on_another_file_system_is_a_copy(w: TestedDaemon) {
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

async fn an_empty_task_gives_an_empty_output(w: TestedDaemon) {
    let client = w.client().await;
    let request = import_as(&w.file(0).path, &w.unique("empty"));
    let task = client.import(request).await.unwrap();
    let output = w.path("output");
    client.export(export_to(&task.id, &output)).await.ok();
    assert_eq!(fs::read(&output).unwrap(), b"");
}

async fn an_output_that_exists_is_kept(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    fs::write(&output, "precious").unwrap();
    let before = inode(&output);
    assert_exists(&w, export_to(&id, &output)).await;
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    assert_eq!(inode(&output), before);
}

async fn an_output_that_is_a_directory_is_kept(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("directory");
    fs::create_dir(&output).unwrap();
    assert_exists(&w, export_to(&id, &output)).await;
    assert_eq!(fs::read_dir(&output).unwrap().count(), 0);
}

async fn an_output_that_is_the_content_already_is_fine(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    for _ in 0..2 {
        w.client().await.export(export_to(&id, &output)).await.ok();
    }
    assert!(fs::read(&output).unwrap() == bytes);
}

async fn a_missing_parent_is_found_after_the_pieces(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("missing/output");
    let exported = w.client().await.export(export_to(&id, &output)).await;
    assert_both_pieces(&exported);
    w.assert_internal(&exported.status, ENOENT);
    assert!(!w.path("missing").exists());
}

async fn a_failed_output_of_another_host_leaves_nothing(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let host = w.host(1).await;
    let exported = host.export(forced(&id, &w.path("missing/output"))).await;
    assert_no_stream(&exported);
    w.assert_internal(&exported.status, ENOENT);
    let exported = host.export(transfer(&id)).await.ok();
    assert!(exported.content() == bytes);
}

async fn a_client_that_goes_away_leaves_no_output(w: TestedDaemon) {
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
        let changes = Changes::at(output.parent().unwrap());
        changes
            .until("the output is gone", || !output.exists())
            .await;
        let exported = client.export(transfer(&id)).await.ok();
        assert!(exported.content() == bytes);
    }
}
