//! What an import answers, and the task that it makes: pieces, id, source.

use std::fs;

use dfdaemon_api::task_id::Parameters;

use crate::row::{Row, row};
use crate::support::client::Import;
use crate::tested_daemon::{MIB, TestedDaemon, import, import_as, seconds, transfer};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(success_answers_with_the_request_and_the_file),
        row!(the_answer_counts_the_importer_alone).needs("several hosts", |fake| fake.hosts(3)),
        row!(absent_tag_and_application_stay_absent),
        row!(an_empty_file_is_a_task_without_pieces),
        row!(one_byte_is_one_piece),
        row!(one_byte_less_than_a_piece_is_one_piece),
        row!(exactly_one_piece_is_one_piece),
        row!(one_byte_more_than_a_piece_is_two_pieces),
        row!(a_requested_piece_length_cuts_the_content),
        row!(the_id_is_computed_from_bytes_tag_application_and_piece_length),
        row!(the_id_is_computed_from_the_content_given_for_it_alone),
        row!(the_source_is_never_changed),
        row!(a_symbolic_link_stands_for_its_target),
    ]
}

async fn success_answers_with_the_request_and_the_file(w: TestedDaemon) {
    let source = w.file(9);
    let request = Import {
        tag: Some("a tag".to_owned()),
        application: Some("an \"application\"".to_owned()),
        persistent_replica_count: 2,
        ttl: Some(seconds(5400)),
        ..import(&source.path)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.persistent_replica_count, 2);
    assert_eq!(task.tag.as_deref(), Some("a tag"));
    assert_eq!(task.application.as_deref(), Some("an \"application\""));
    assert_eq!((task.piece_length, task.content_length), (4 << 20, 9));
    assert_eq!((task.piece_count, task.state.as_str()), (1, "Succeeded"));
    assert_eq!(task.ttl, Some(seconds(5400)));
    let (created, updated) = (task.created_at.unwrap(), task.updated_at.unwrap());
    assert_eq!(created.nanos, 0, "the scheduler's times are whole seconds");
    assert_ne!(updated.nanos, 0, "the importer's own time is not");
    assert!(updated.seconds >= created.seconds);
}

async fn the_answer_counts_the_importer_alone(w: TestedDaemon) {
    let source = w.file(1);
    let request = Import {
        persistent_replica_count: 3,
        ..import(&source.path)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.current_persistent_replica_count, 1);
    assert_eq!(task.current_replica_count, 1);
}

async fn absent_tag_and_application_stay_absent(w: TestedDaemon) {
    let source = w.file(1);
    let task = w.client().await.import(import(&source.path)).await.unwrap();
    assert_eq!((task.tag, task.application), (None, None));
}

async fn an_empty_file_is_a_task_without_pieces(w: TestedDaemon) {
    // Every empty file has the same id, which an endpoint may know already.
    let source = w.file(0);
    assert_pieces(
        &w,
        import_as(&source.path, &w.unique("empty")),
        &source.bytes,
        0,
    )
    .await;
}

async fn one_byte_is_one_piece(w: TestedDaemon) {
    let source = w.file(1);
    let request = import_as(&source.path, &w.unique("byte"));
    assert_pieces(&w, request, &source.bytes, 1).await;
}

async fn one_byte_less_than_a_piece_is_one_piece(w: TestedDaemon) {
    let source = w.file(4 * MIB - 1);
    assert_pieces(&w, import(&source.path), &source.bytes, 1).await;
}

async fn exactly_one_piece_is_one_piece(w: TestedDaemon) {
    let source = w.file(4 * MIB);
    assert_pieces(&w, import(&source.path), &source.bytes, 1).await;
}

async fn one_byte_more_than_a_piece_is_two_pieces(w: TestedDaemon) {
    let source = w.file(4 * MIB + 1);
    assert_pieces(&w, import(&source.path), &source.bytes, 2).await;
}

async fn a_requested_piece_length_cuts_the_content(w: TestedDaemon) {
    let source = w.file(11 * MIB);
    let request = Import {
        piece_length: Some(5 << 20),
        ..import(&source.path)
    };
    let task = assert_pieces(&w, request, &source.bytes, 3).await;
    assert_eq!(task.piece_length, 5 << 20);
}

/// Imports, and finds the content cut as it should be.
async fn assert_pieces(
    w: &TestedDaemon,
    request: Import,
    bytes: &[u8],
    pieces: u32,
) -> dfdaemon_api::common::v2::PersistentCacheTask {
    let client = w.client().await;
    let task = client.import(request).await.unwrap();
    assert_eq!(task.piece_count, pieces);
    assert_eq!(task.content_length, bytes.len() as u64);
    assert!(task.piece_length >= 4 << 20);
    let exported = client.export(transfer(&task.id)).await.ok();
    assert_eq!(exported.pieces.len(), pieces as usize);
    assert!(exported.content() == bytes, "the content is another one");
    for piece in &exported.pieces {
        assert_eq!(piece.offset, u64::from(piece.number) * task.piece_length);
    }
    task
}

async fn the_id_is_computed_from_bytes_tag_application_and_piece_length(w: TestedDaemon) {
    let source = w.file(33);
    let (tag, application) = (Some("tag1"), Some("app1"));
    for (tag, application, piece_length) in [
        (None, None, None),
        (tag, None, None),
        (None, application, None),
        (None, None, Some(4 << 20)),
        (tag, application, Some(5 << 20)),
    ] {
        let request = Import {
            tag: tag.map(str::to_owned),
            application: application.map(str::to_owned),
            piece_length,
            ..import(&source.path)
        };
        let task = w.client().await.import(request).await.unwrap();
        let parameters = Parameters {
            tag,
            application,
            piece_length,
        };
        assert_eq!(
            task.id,
            w.id_of(&source.bytes, parameters),
            "{parameters:?}"
        );
    }
}

async fn the_id_is_computed_from_the_content_given_for_it_alone(w: TestedDaemon) {
    let text = w.unique("content");
    let request = Import {
        tag: Some("tag1".to_owned()),
        piece_length: Some(4 << 20),
        ..import_as(&w.file(1).path, &text)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.id, w.scheme().of_content(&text));
}

async fn the_source_is_never_changed(w: TestedDaemon) {
    let source = w.file(4 * MIB + 1);
    let before = fs::metadata(&source.path).unwrap();
    w.client().await.import(import(&source.path)).await.unwrap();
    let after = fs::metadata(&source.path).unwrap();
    assert!(fs::read(&source.path).unwrap() == source.bytes);
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(before.permissions(), after.permissions());
}

async fn a_symbolic_link_stands_for_its_target(w: TestedDaemon) {
    let (source, link) = (w.file(77), w.path("link"));
    std::os::unix::fs::symlink(&source.path, &link).unwrap();
    assert_pieces(&w, import(&link), &source.bytes, 1).await;
}
