//! Stat and list.

use tonic::Code;

use crate::row::{Row, row};
use crate::support::client::Import;
use crate::tested_daemon::{MIB, TestedDaemon, assert_says, export_to, import, seconds, transfer};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(stat_is_what_the_import_answered),
        row!(stat_gives_tag_and_application_as_strings),
        row!(stat_of_an_unknown_id_is_not_found),
        row!(an_empty_id_is_refused_as_such),
        row!(stat_answers_of_a_failed_task).needs("a capacity", small),
        row!(stat_local_is_the_hosts_own_record),
        row!(stat_local_tells_when_a_task_failed).needs("a capacity", small),
        row!(stat_local_of_an_unknown_id_is_not_found),
        row!(the_list_holds_what_stat_local_tells),
        row!(the_list_is_in_the_order_of_the_ids),
        row!(a_host_without_a_copy_has_no_record).needs("several hosts", |fake| fake.hosts(2)),
    ]
}

fn small(fake: fake_dfdaemon::Builder) -> fake_dfdaemon::Builder {
    fake.capacity(MIB as u64)
}

async fn stat_is_what_the_import_answered(w: TestedDaemon) {
    let client = w.client().await;
    let request = Import {
        tag: Some("t".to_owned()),
        application: Some("a".to_owned()),
        ..import(&w.file(9).path)
    };
    let mut imported = client.import(request).await.unwrap();
    assert_eq!(imported.created_at.unwrap().nanos, 0);
    // The importer tells its own time, the scheduler whole seconds.
    let updated_at = imported.updated_at.as_mut().unwrap();
    assert_ne!(std::mem::take(&mut updated_at.nanos), 0);
    let mut task = client.stat(&imported.id).await.unwrap();
    let seconds = |at: &Option<prost_types::Timestamp>| at.unwrap().seconds;
    let apart = seconds(&task.updated_at).abs_diff(seconds(&imported.updated_at));
    assert!(apart <= 1, "{apart}");
    task.updated_at = imported.updated_at;
    assert_eq!(task, imported);
}

async fn stat_gives_tag_and_application_as_strings(w: TestedDaemon) {
    let (id, _) = w.imported(7).await;
    let task = w.client().await.stat(&id).await.unwrap();
    assert_eq!(task.tag.as_deref(), Some(""));
    assert_eq!(task.application.as_deref(), Some(""));
    assert_eq!(task.created_at.unwrap().nanos, 0);
    assert_eq!(task.updated_at.unwrap().nanos, 0);
}

async fn stat_of_an_unknown_id_is_not_found(w: TestedDaemon) {
    let client = w.client().await;
    for id in ["4", "../../etc/passwd", "an \"id\"\n"] {
        w.assert_not_found(&client.stat(id).await.unwrap_err(), id);
    }
}

async fn an_empty_id_is_refused_as_such(w: TestedDaemon) {
    let client = w.client().await;
    let out = w.path("out");
    let text = w.by_scheduler(
        Code::InvalidArgument,
        "invalid StatPersistentCacheTaskRequest.TaskId: value length must be at least 1 runes",
    );
    w.assert_internal(&client.stat("").await.unwrap_err(), &text);
    for request in [transfer(""), export_to("", &out)] {
        let exported = client.export(request).await;
        assert!(!exported.opened);
        w.assert_internal(&exported.status, &text);
    }
    assert!(!out.exists());
}

async fn stat_answers_of_a_failed_task(w: TestedDaemon) {
    let id = w.failed(MIB).await;
    let task = w.client().await.stat(&id).await.unwrap();
    assert_eq!(task.state, "Failed");
    assert_eq!(
        (
            task.current_persistent_replica_count,
            task.current_replica_count
        ),
        (0, 0)
    );
}

async fn stat_local_is_the_hosts_own_record(w: TestedDaemon) {
    let (id, _) = w.imported(4 * MIB + 9).await;
    let client = w.client().await;
    let (task, local) = (
        client.stat(&id).await.unwrap(),
        client.stat_local(&id).await.unwrap(),
    );
    assert_eq!(local.task_id, id);
    assert!(local.persistent);
    assert_eq!(local.ttl, Some(seconds(3600)));
    assert_eq!(local.content_length, Some(task.content_length));
    assert_eq!(local.piece_length, Some(task.piece_length));
    assert_eq!((local.uploading_count, local.uploaded_count), (0, 0));
    assert!(local.created_at.is_some() && local.updated_at.is_some());
    assert!(local.finished_at.is_some());
    assert_eq!(local.failed_at, None);
}

async fn stat_local_tells_when_a_task_failed(w: TestedDaemon) {
    let id = w.failed(MIB).await;
    let local = w.client().await.stat_local(&id).await.unwrap();
    assert!(local.failed_at.is_some());
    assert_eq!(local.finished_at, None);
}

async fn stat_local_of_an_unknown_id_is_not_found(w: TestedDaemon) {
    for id in ["", "4", "../../etc/passwd"] {
        let refused = w.client().await.stat_local(id).await.unwrap_err();
        assert_says(&refused, Code::Internal, &format!("task {id} not found"));
    }
}

async fn the_list_holds_what_stat_local_tells(w: TestedDaemon) {
    let client = w.client().await;
    for length in [1, 5] {
        let (id, _) = w.imported(length).await;
        let local = client.stat_local(&id).await.unwrap();
        assert!(client.list().await.unwrap().contains(&local));
    }
}

async fn the_list_is_in_the_order_of_the_ids(w: TestedDaemon) {
    for length in 1..6 {
        w.imported(length).await;
    }
    let listed = w.client().await.listed().await;
    assert!(
        listed.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()),
        "{listed:?}"
    );
    assert!(listed.len() >= 5);
}

async fn a_host_without_a_copy_has_no_record(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    let other = w.host(1).await;
    assert!(other.list().await.unwrap().is_empty());
    assert_eq!(
        other.stat_local(&id).await.unwrap_err().code(),
        Code::Internal
    );
    assert_eq!(other.stat(&id).await.unwrap().id, id);
}
