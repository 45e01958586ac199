//! What the path of an import may be.

use std::os::unix::net::UnixListener;
use std::path::Path;

use tonic::Code;

use super::{EISDIR, ENOENT};
use crate::row::{Row, row};
use crate::tested_daemon::{TestedDaemon, assert_says, import, import_as};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(a_missing_path_is_invalid),
        row!(an_empty_path_is_invalid),
        row!(a_directory_is_invalid),
        row!(an_unreadable_path_is_internal_when_the_id_is_given),
        row!(the_scheduler_refuses_before_a_directory_is_found_to_be_one),
        row!(what_is_not_a_regular_file_is_refused_at_once)
            .ours("the real one reads a FIFO, and waits for who writes to it")
            .hurts("a FIFO blocks a worker thread of the real one for good"),
        row!(a_device_is_refused_at_once)
            .needs("a daemon that does not read it without end", |fake| fake)
            .ours("the real one reads it"),
        row!(a_file_that_says_it_is_empty_and_is_not_is_refused)
            .ours("the real one imports it as empty")
            .hurts("what is no regular file may block the real one"),
    ]
}

async fn a_missing_path_is_invalid(w: TestedDaemon) {
    let refused = w.client().await.import(import(&w.path("missing"))).await;
    assert_says(&refused.unwrap_err(), Code::InvalidArgument, ENOENT);
}

async fn an_empty_path_is_invalid(w: TestedDaemon) {
    let refused = w.client().await.import(import(Path::new(""))).await;
    assert_says(&refused.unwrap_err(), Code::InvalidArgument, ENOENT);
}

async fn a_directory_is_invalid(w: TestedDaemon) {
    let refused = w.client().await.import(import(w.dir.path())).await;
    assert_says(&refused.unwrap_err(), Code::InvalidArgument, EISDIR);
}

async fn an_unreadable_path_is_internal_when_the_id_is_given(w: TestedDaemon) {
    for (path, text) in [
        (w.path("missing"), ENOENT),
        (Path::new("").to_owned(), ENOENT),
        (w.dir.path().to_owned(), EISDIR),
    ] {
        let request = import_as(&path, &w.unique("unreadable"));
        let refused = w.client().await.import(request).await.unwrap_err();
        assert_says(&refused, Code::Internal, text);
    }
}

async fn the_scheduler_refuses_before_a_directory_is_found_to_be_one(w: TestedDaemon) {
    let text = w.unique("directory");
    let bad = crate::support::client::Import {
        persistent_replica_count: 0,
        ..import_as(w.dir.path(), &text)
    };
    let client = w.client().await;
    let refused = client.import(bad).await.unwrap_err();
    let why = "invalid UploadPersistentCacheTaskStartedRequest.PersistentReplicaCount: \
               value must be greater than or equal to 1";
    w.assert_internal(&refused, &w.by_scheduler(Code::InvalidArgument, why));
    let task = client
        .import(import_as(&w.file(3).path, &text))
        .await
        .unwrap();
    let refused = client.import(import_as(w.dir.path(), &text)).await;
    let why = format!(
        "persistent cache task {} is Succeeded cannot upload",
        task.id
    );
    w.assert_internal(
        &refused.unwrap_err(),
        &w.by_scheduler(Code::AlreadyExists, &why),
    );
}

async fn what_is_not_a_regular_file_is_refused_at_once(w: TestedDaemon) {
    let (fifo, socket) = (w.path("fifo"), w.path("socket"));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in [&fifo, &socket] {
        assert_not_regular(&w, path).await;
    }
}

async fn a_device_is_refused_at_once(w: TestedDaemon) {
    assert_not_regular(&w, Path::new("/dev/zero")).await;
}

async fn a_file_that_says_it_is_empty_and_is_not_is_refused(w: TestedDaemon) {
    assert_not_regular(&w, Path::new("/proc/version")).await;
}

async fn assert_not_regular(w: &TestedDaemon, path: &Path) {
    let with_content = import_as(path, &w.unique("odd"));
    for request in [import(path), with_content] {
        let refused = w.client().await.import(request).await.unwrap_err();
        let text = format!("{} is not a regular file", path.display());
        assert_says(&refused, Code::InvalidArgument, &text);
    }
}
