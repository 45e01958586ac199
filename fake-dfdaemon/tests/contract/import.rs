//! Import: `UploadPersistentCacheTask`.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dfdaemon_api::task_id::Parameters;
use fake_dfdaemon::Release;
use tonic::{Code, Status};

use crate::row::{Row, row};
use crate::support::client::{Client, Import};
use crate::support::eventually;
use crate::world::{MIB, World, assert_says, import, import_as, seconds, transfer};

const ENOENT: &str = "No such file or directory (os error 2)";
const EISDIR: &str = "Is a directory (os error 21)";

/// Long enough to be seen while it is imported.
const LONG: usize = 192 * MIB;

pub(crate) fn rows() -> Vec<Row> {
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
        row!(a_missing_path_is_invalid),
        row!(an_empty_path_is_invalid),
        row!(a_directory_is_invalid),
        row!(an_unreadable_path_is_internal_when_the_id_is_given),
        row!(a_task_that_succeeded_is_not_imported_again),
        row!(a_task_that_is_uploading_is_not_imported_again)
            .needs("an import that takes long", |fake| fake)
            .only(Release::V0_2),
        row!(of_several_imports_at_once_exactly_one_succeeds),
        row!(no_replica_is_refused),
        row!(a_short_piece_length_is_refused),
        row!(limits_are_checked_in_order),
        row!(a_ttl_outside_the_limits_is_refused).ours(
            "the limits of the reference document, 1 m and 7 d; the scheduler's are 5 m and 7 d",
        ),
        row!(a_ttl_at_the_limits_is_allowed).ours("as above"),
        row!(the_text_names_the_limits_in_force).needs("limits of its own", |fake| {
            fake.min_ttl(Duration::from_secs(90))
                .max_ttl(Duration::from_secs(3600))
        }),
        row!(no_ttl_is_an_unexpected_response).only(Release::V0_2),
        row!(no_ttl_is_a_day).only(Release::V1_5),
        row!(what_does_not_fit_is_refused).needs("a capacity", small),
        row!(what_does_not_fit_is_refused_after_its_task_is_known_to_exist)
            .needs("a capacity", small),
        row!(a_failed_task_may_be_imported_again).needs("a capacity", small),
        row!(blocked_tags_and_applications_are_refused).needs("a blocklist", |fake| {
            fake.block("import:tag=bad".parse().unwrap())
                .block("import:application=bad".parse().unwrap())
        }),
        row!(the_blocklist_comes_before_the_file).needs("a blocklist", |fake| {
            fake.block("import:tag=bad".parse().unwrap())
        }),
        row!(an_overloaded_daemon_says_so)
            .needs("a limit of requests", |fake| fake.max_requests(0)),
        row!(what_is_not_a_regular_file_is_refused_at_once)
            .ours("the real one reads a FIFO, and waits for who writes to it"),
        row!(a_device_is_refused_at_once)
            .needs("a daemon that does not read it without end", |fake| fake)
            .ours("the real one reads it"),
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

fn small(fake: fake_dfdaemon::Builder) -> fake_dfdaemon::Builder {
    fake.capacity(MIB as u64)
}

async fn success_answers_with_the_request_and_the_file(w: World) {
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
    assert_eq!(
        (created.nanos, updated.nanos),
        (0, 0),
        "times are whole seconds"
    );
    assert!(updated.seconds >= created.seconds);
}

async fn the_answer_counts_the_importer_alone(w: World) {
    let source = w.file(1);
    let request = Import {
        persistent_replica_count: 3,
        ..import(&source.path)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.current_persistent_replica_count, 1);
    assert_eq!(task.current_replica_count, 1);
}

async fn absent_tag_and_application_stay_absent(w: World) {
    let source = w.file(1);
    let task = w.client().await.import(import(&source.path)).await.unwrap();
    assert_eq!((task.tag, task.application), (None, None));
}

async fn an_empty_file_is_a_task_without_pieces(w: World) {
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

async fn one_byte_is_one_piece(w: World) {
    let source = w.file(1);
    let request = import_as(&source.path, &w.unique("byte"));
    assert_pieces(&w, request, &source.bytes, 1).await;
}

async fn one_byte_less_than_a_piece_is_one_piece(w: World) {
    let source = w.file(4 * MIB - 1);
    assert_pieces(&w, import(&source.path), &source.bytes, 1).await;
}

async fn exactly_one_piece_is_one_piece(w: World) {
    let source = w.file(4 * MIB);
    assert_pieces(&w, import(&source.path), &source.bytes, 1).await;
}

async fn one_byte_more_than_a_piece_is_two_pieces(w: World) {
    let source = w.file(4 * MIB + 1);
    assert_pieces(&w, import(&source.path), &source.bytes, 2).await;
}

async fn a_requested_piece_length_cuts_the_content(w: World) {
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
    w: &World,
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

async fn the_id_is_computed_from_bytes_tag_application_and_piece_length(w: World) {
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

async fn the_id_is_computed_from_the_content_given_for_it_alone(w: World) {
    let text = w.unique("content");
    let request = Import {
        tag: Some("tag1".to_owned()),
        piece_length: Some(4 << 20),
        ..import_as(&w.file(1).path, &text)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.id, w.scheme().of_content(&text));
}

async fn the_source_is_never_changed(w: World) {
    let source = w.file(4 * MIB + 1);
    let before = fs::metadata(&source.path).unwrap();
    w.client().await.import(import(&source.path)).await.unwrap();
    let after = fs::metadata(&source.path).unwrap();
    assert!(fs::read(&source.path).unwrap() == source.bytes);
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(before.permissions(), after.permissions());
}

async fn a_symbolic_link_stands_for_its_target(w: World) {
    let (source, link) = (w.file(77), w.path("link"));
    std::os::unix::fs::symlink(&source.path, &link).unwrap();
    assert_pieces(&w, import(&link), &source.bytes, 1).await;
}

async fn a_missing_path_is_invalid(w: World) {
    let refused = w.client().await.import(import(&w.path("missing"))).await;
    assert_says(&refused.unwrap_err(), Code::InvalidArgument, ENOENT);
}

async fn an_empty_path_is_invalid(w: World) {
    let refused = w.client().await.import(import(Path::new(""))).await;
    assert_says(&refused.unwrap_err(), Code::InvalidArgument, ENOENT);
}

async fn a_directory_is_invalid(w: World) {
    let refused = w.client().await.import(import(w.dir.path())).await;
    assert_says(&refused.unwrap_err(), Code::InvalidArgument, EISDIR);
}

async fn an_unreadable_path_is_internal_when_the_id_is_given(w: World) {
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

async fn a_task_that_succeeded_is_not_imported_again(w: World) {
    let source = w.file(3);
    let client = w.client().await;
    let task = client.import(import(&source.path)).await.unwrap();
    let refused = client.import(import(&source.path)).await.unwrap_err();
    let text = format!(
        "persistent cache task {} is Succeeded cannot upload",
        task.id
    );
    w.assert_internal(&refused, &w.by_scheduler(Code::AlreadyExists, &text));
    let unharmed = client.stat(&task.id).await.unwrap();
    assert_eq!(
        (unharmed.state.as_str(), unharmed.created_at),
        ("Succeeded", task.created_at)
    );
}

/// Imports in the background, and returns when the scheduler says that it is under way.
async fn begin_long_import(
    w: &World,
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
    assert_eq!(client.stat(&id).await.unwrap().state, "Uploading");
    (id, request, running)
}

async fn a_task_that_is_uploading_is_not_imported_again(w: World) {
    let client = w.client().await;
    let (id, request, running) = begin_long_import(&w, &client).await;
    let refused = client.import(request).await.unwrap_err();
    let text = format!("persistent cache task {id} is Uploading cannot upload");
    w.assert_internal(&refused, &w.by_scheduler(Code::AlreadyExists, &text));
    running.await.unwrap().unwrap();
}

async fn of_several_imports_at_once_exactly_one_succeeds(w: World) {
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

/// That a request is refused for a field, and why.
async fn assert_refused(w: &World, request: Import, field_and_why: &str) {
    let refused = w.client().await.import(request).await.unwrap_err();
    let text = format!("invalid UploadPersistentCacheTaskStartedRequest.{field_and_why}");
    w.assert_internal(&refused, &w.by_scheduler(Code::InvalidArgument, &text));
}

async fn no_replica_is_refused(w: World) {
    let request = Import {
        persistent_replica_count: 0,
        ..import(&w.file(1).path)
    };
    let why = "PersistentReplicaCount: value must be greater than or equal to 1";
    assert_refused(&w, request, why).await;
}

async fn a_short_piece_length_is_refused(w: World) {
    for piece_length in [1, (4 << 20) - 1] {
        let request = Import {
            piece_length: Some(piece_length),
            ..import(&w.file(1).path)
        };
        let why = "PieceLength: value must be greater than or equal to 4194304";
        assert_refused(&w, request, why).await;
    }
}

async fn limits_are_checked_in_order(w: World) {
    let all_wrong = Import {
        persistent_replica_count: 0,
        piece_length: Some(1),
        ttl: Some(seconds(1)),
        ..import(&w.file(1).path)
    };
    let why = "PersistentReplicaCount: value must be greater than or equal to 1";
    assert_refused(&w, all_wrong.clone(), why).await;
    let two_wrong = Import {
        persistent_replica_count: 1,
        ..all_wrong
    };
    let why = "PieceLength: value must be greater than or equal to 4194304";
    assert_refused(&w, two_wrong, why).await;
}

async fn a_ttl_outside_the_limits_is_refused(w: World) {
    for ttl in [0, 59, 604_801, -1, i64::MAX] {
        let request = Import {
            ttl: Some(seconds(ttl)),
            ..import(&w.file(1).path)
        };
        assert_refused(
            &w,
            request,
            "Ttl: value must be inside range [1m0s, 168h0m0s]",
        )
        .await;
    }
}

async fn a_ttl_at_the_limits_is_allowed(w: World) {
    for ttl in [60, 604_800] {
        let request = Import {
            ttl: Some(seconds(ttl)),
            ..import(&w.file(5).path)
        };
        let task = w.client().await.import(request).await.unwrap();
        assert_eq!(task.ttl, Some(seconds(ttl)));
    }
}

async fn the_text_names_the_limits_in_force(w: World) {
    let request = Import {
        ttl: Some(seconds(89)),
        ..import(&w.file(1).path)
    };
    assert_refused(
        &w,
        request,
        "Ttl: value must be inside range [1m30s, 1h0m0s]",
    )
    .await;
}

async fn no_ttl_is_an_unexpected_response(w: World) {
    let request = Import {
        ttl: None,
        ..import(&w.file(1).path)
    };
    let refused = w.client().await.import(request).await.unwrap_err();
    w.assert_internal(&refused, "unexpected response");
}

async fn no_ttl_is_a_day(w: World) {
    let request = Import {
        ttl: None,
        ..import(&w.file(5).path)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.ttl, Some(seconds(24 * 60 * 60)));
}

async fn what_does_not_fit_is_refused(w: World) {
    let source = w.file(MIB + 1);
    let text = w.unique("big");
    for request in [import(&source.path), import_as(&source.path, &text)] {
        let refused = w.client().await.import(request).await.unwrap_err();
        let text = "no space left on device: not enough space to store the persistent cache \
                    task: content_length=1048577";
        w.assert_internal(&refused, text);
    }
    for id in [
        w.id_of(&source.bytes, Parameters::default()),
        w.scheme().of_content(&text),
    ] {
        assert_eq!(w.client().await.stat(&id).await.unwrap().state, "Failed");
    }
    w.imported(MIB).await;
}

async fn what_does_not_fit_is_refused_after_its_task_is_known_to_exist(w: World) {
    let source = w.file(MIB);
    let client = w.client().await;
    let task = client.import(import(&source.path)).await.unwrap();
    let refused = client.import(import(&source.path)).await.unwrap_err();
    let text = format!(
        "persistent cache task {} is Succeeded cannot upload",
        task.id
    );
    w.assert_internal(&refused, &w.by_scheduler(Code::AlreadyExists, &text));
}

async fn a_failed_task_may_be_imported_again(w: World) {
    let text = w.unique("again");
    let client = w.client().await;
    let too_big = w.file(MIB + 1);
    client
        .import(import_as(&too_big.path, &text))
        .await
        .unwrap_err();
    let fits = w.file(MIB);
    let request = Import {
        persistent_replica_count: 4,
        ttl: Some(seconds(777)),
        ..import_as(&fits.path, &text)
    };
    let task = client.import(request).await.unwrap();
    assert_eq!(
        (task.content_length, task.ttl),
        (MIB as u64, Some(seconds(777)))
    );
    let task = client.stat(&task.id).await.unwrap();
    assert_eq!(
        (task.state.as_str(), task.persistent_replica_count),
        ("Succeeded", 4)
    );
    let exported = client.export(transfer(&task.id)).await.ok();
    assert!(exported.content() == fits.bytes);
}

async fn blocked_tags_and_applications_are_refused(w: World) {
    let client = w.client().await;
    let bad = Some("bad".to_owned());
    let (tagged, applied) = (
        Import {
            tag: bad.clone(),
            ..import(&w.file(2).path)
        },
        Import {
            application: bad,
            ..import(&w.file(2).path)
        },
    );
    for request in [tagged, applied] {
        let refused = client.import(request).await.unwrap_err();
        assert_says(
            &refused,
            Code::PermissionDenied,
            "upload rejected by blocklist policy",
        );
    }
    let other = Import {
        tag: Some("good".to_owned()),
        ..import(&w.file(2).path)
    };
    client.import(other).await.unwrap();
}

async fn the_blocklist_comes_before_the_file(w: World) {
    let request = Import {
        tag: Some("bad".to_owned()),
        ..import(&w.path("missing"))
    };
    let refused = w.client().await.import(request).await.unwrap_err();
    assert_says(
        &refused,
        Code::PermissionDenied,
        "upload rejected by blocklist policy",
    );
}

async fn an_overloaded_daemon_says_so(w: World) {
    let text = "server is overloaded: too many requests, please retry later";
    let refused = w.client().await.import(import(&w.file(1).path)).await;
    assert_says(&refused.unwrap_err(), Code::ResourceExhausted, text);
}

async fn what_is_not_a_regular_file_is_refused_at_once(w: World) {
    let (fifo, socket) = (w.path("fifo"), w.path("socket"));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in [&fifo, &socket] {
        assert_not_regular(&w, path).await;
    }
}

async fn a_device_is_refused_at_once(w: World) {
    assert_not_regular(&w, Path::new("/dev/zero")).await;
}

async fn assert_not_regular(w: &World, path: &Path) {
    let with_content = import_as(path, &w.unique("odd"));
    for request in [import(path), with_content] {
        let refused = w.client().await.import(request).await.unwrap_err();
        let text = format!("{} is not a regular file", path.display());
        assert_says(&refused, Code::InvalidArgument, &text);
    }
}

/// Writes to a file all the time, until dropped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn of(path: &Path) -> Self {
        use std::os::unix::fs::FileExt;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let mut text = 0u64;
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                text += 1;
                file.write_all_at(&text.to_le_bytes(), 0).unwrap();
                // Leaves the file's lock to who reads it.
                thread::yield_now();
            }
        });
        let thread = Some(thread);
        Self { stop, thread }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

async fn a_file_that_changes_while_it_is_read_is_refused(w: World) {
    let path = w.long_file(32 * MIB);
    let writer = Writer::of(&path);
    let (_, refused) = refused_for_a_change(&w, &path).await;
    drop(writer);
    let text = format!("{} changed while it was read", path.display());
    assert_says(&refused, Code::Aborted, &text);
}

/// Imports a file that is being written to, until the writer gets its turn during an import.
async fn refused_for_a_change(w: &World, path: &Path) -> (String, Status) {
    let client = w.client().await;
    for _ in 0..100 {
        let text = w.unique("changing");
        if let Err(refused) = client.import(import_as(path, &text)).await {
            return (text, refused);
        }
    }
    panic!("a hundred imports saw no change");
}

async fn a_change_ends_the_task_failed(w: World) {
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

async fn a_client_that_goes_away_ends_the_task_failed(w: World) {
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
