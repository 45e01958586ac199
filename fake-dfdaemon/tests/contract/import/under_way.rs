//! Imports under way: at once, changed, given up.

use std::path::Path;

use dfdaemon_api::task_id::Parameters;
use fake_dfdaemon::Release;
use tonic::{Code, Status};

use super::LONG;
use crate::row::{Row, row};
use crate::support::client::{Client, Import};
use crate::support::eventually;
use crate::tested_daemon::{MIB, TestedDaemon, assert_says, import, import_as};
use crate::writer::Writer;
use testkit::wait::Patience;

pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(a_task_that_is_uploading_is_not_imported_again)
            .needs("an import that takes long", |fake| fake)
            .only(Release::V0_2),
        row!(of_several_imports_at_once_exactly_one_succeeds),
        row!(a_file_that_changes_while_it_is_read_is_refused)
            .ours("the real one stores what it happened to read"),
        row!(a_change_ends_the_task_failed)
            .needs("an import that takes long", |fake| fake)
            .only(Release::V0_2),
        row!(a_client_that_goes_away_ends_the_task_failed)
            .needs("an import that takes long", |fake| fake)
            .only(Release::V0_2),
    ]
}

/// Imports in the background, and returns when the scheduler says that it is under way.
async fn begin_long_import(
    w: &TestedDaemon,
    client: &Client,
) -> (
    String,
    Import,
    tokio::task::JoinHandle<Result<dfdaemon_api::common::v2::PersistentCacheTask, tonic::Status>>,
) {
    let text = w.unique("long");
    let id = w.scheme().of_content(&text);
    let request = import_as(&w.long_file(LONG), &text);
    let running = client.begin_import(request.clone());
    eventually("the import is under way", || async {
        client.stat(&id).await.is_ok()
    })
    .await;
    let task = client.stat(&id).await.unwrap();
    assert_eq!(task.state, "Uploading");
    let counts = (
        task.current_persistent_replica_count,
        task.current_replica_count,
    );
    assert_eq!(counts, (1, 1), "the importer counts already");
    (id, request, running)
}

async fn a_task_that_is_uploading_is_not_imported_again(w: TestedDaemon) {
    let client = w.client().await;
    let (id, request, running) = begin_long_import(&w, &client).await;
    let refused = client.import(request).await.unwrap_err();
    let text = format!("persistent cache task {id} is Uploading cannot upload");
    w.assert_internal(&refused, &w.by_scheduler(Code::AlreadyExists, &text));
    running.await.unwrap().unwrap();
}

async fn of_several_imports_at_once_exactly_one_succeeds(w: TestedDaemon) {
    let source = w.file(4 * MIB + 5);
    let mut running = Vec::new();
    for _ in 0..8 {
        running.push(w.client().await.begin_import(import(&source.path)));
    }
    let mut succeeded = 0;
    for import in running {
        match import.await.unwrap() {
            Ok(_) => succeeded += 1,
            Err(status) => {
                let id = w.id_of(&source.bytes, Parameters::default());
                let state = if status.message().contains("Uploading") {
                    "Uploading"
                } else {
                    "Succeeded"
                };
                let text = format!("persistent cache task {id} is {state} cannot upload");
                w.assert_internal(&status, &w.by_scheduler(Code::AlreadyExists, &text));
            }
        }
    }
    assert_eq!(succeeded, 1);
}

async fn a_file_that_changes_while_it_is_read_is_refused(w: TestedDaemon) {
    let path = w.long_file(32 * MIB);
    let writer = Writer::of(&path);
    let (_, refused) = refused_for_a_change(&w, &path).await;
    drop(writer);
    let text = format!("{} changed while it was read", path.display());
    assert_says(&refused, Code::Aborted, &text);
}

/// Imports a file that is being written to, until the writer gets its turn during an import.
async fn refused_for_a_change(w: &TestedDaemon, path: &Path) -> (String, Status) {
    let client = w.client().await;
    let patience = Patience::new();
    loop {
        patience.lasts("no import saw a change");
        let text = w.unique("changing");
        if let Err(refused) = client.import(import_as(path, &text)).await {
            return (text, refused);
        }
    }
}

async fn a_change_ends_the_task_failed(w: TestedDaemon) {
    let path = w.long_file(32 * MIB);
    let writer = Writer::of(&path);
    let client = w.client().await;
    let (text, refused) = refused_for_a_change(&w, &path).await;
    drop(writer);
    assert_eq!(refused.code(), Code::Aborted, "{refused:?}");
    let id = w.scheme().of_content(&text);
    assert_eq!(client.stat(&id).await.unwrap().state, "Failed");
    assert!(client.stat_local(&id).await.unwrap().failed_at.is_some());
    client.import(import_as(&path, &text)).await.unwrap();
}

async fn a_client_that_goes_away_ends_the_task_failed(w: TestedDaemon) {
    let (client, leaver) = (w.client().await, w.client().await);
    let (id, request, running) = begin_long_import(&w, &leaver).await;
    running.abort();
    drop(leaver);
    eventually("the import has ended", || async {
        client.stat(&id).await.unwrap().state != "Uploading"
    })
    .await;
    assert_eq!(client.stat(&id).await.unwrap().state, "Failed");
    assert_eq!(
        client.stat_local(&id).await.unwrap_err().code(),
        Code::Internal
    );
    client.import(request).await.unwrap();
}
