use std::sync::Arc;

use dfdaemon_api::common::v2::PersistentCacheTask;
use fake_dfdaemon::{FakeDfdaemon, Fault, Rpc};
use tonic::Status;

use super::*;
use crate::client::testing::connected;
use testkit::{Answers, ScriptedDaemon};

#[tokio::test]
async fn stat_and_list_show_what_the_daemon_answers() {
    let daemon = ScriptedDaemon::start(Answers {
        stat: Arc::new(|request| {
            if request.task_id != "7" {
                let text = format!("persistent cache task {} not found", request.task_id);
                return Err(Status::internal(format!(
                    "code: 'Some requested entity was not found', message: {text:?}"
                )));
            }
            Ok(PersistentCacheTask {
                id: "7".into(),
                ..PersistentCacheTask::default()
            })
        }),
        ..Answers::default()
    });
    let client = connected(&daemon).await;
    let task = client.stat("7").await.unwrap();
    assert_eq!(task.task_id, "7");
    assert_eq!(client.list().await.unwrap()[0].task_id, "7");
    let error = client.stat("8").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.causes(), ["persistent cache task 8 not found"]);
}

#[tokio::test]
async fn errors_about_long_names_arrive() {
    let daemon = ScriptedDaemon::start(Answers {
        stat: Arc::new(|request| {
            let text = format!("persistent cache task {} not found", request.task_id);
            Err(Status::not_found(text))
        }),
        ..Answers::default()
    });
    let client = connected(&daemon).await;
    // As long as a path can be, in characters that travel as three.
    let task_id = TaskId::try_from("%".repeat(4096 * 2)).unwrap();
    let error = client.stat(&task_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_answer_about_another_task_or_none_is_no_answer() {
    for id in ["", "8", "7\n"] {
        let daemon = ScriptedDaemon::start(Answers {
            stat: Arc::new(move |_| {
                let id = id.into();
                Ok(PersistentCacheTask {
                    id,
                    ..PersistentCacheTask::default()
                })
            }),
            ..Answers::default()
        });
        let client = connected(&daemon).await;
        let error = client.stat("7").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{id:?}");
    }
}

#[tokio::test]
async fn an_answer_about_one_task_is_no_place_for_megabytes() {
    let task = |id: &str, tag_length| PersistentCacheTask {
        id: id.into(),
        tag: Some("x".repeat(tag_length)),
        ..PersistentCacheTask::default()
    };
    let daemon = ScriptedDaemon::start(Answers {
        stat: Arc::new(move |request| {
            let fits = request.task_id == "7";
            let tag_length = if fits {
                1 << 20
            } else {
                crate::wire::service::MAX_ANSWER_LENGTH
            };
            Ok(task(&request.task_id, tag_length))
        }),
        ..Answers::default()
    });
    let client = connected(&daemon).await;
    client.stat("7").await.unwrap();
    let error = client.stat("8").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
}

#[tokio::test]
async fn whatever_is_not_a_listening_socket_is_unavailable_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let stale = directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let missing = directory.path().join("missing");
    for (path, hint) in [
        (&stale, "nobody listens"),
        (&file, "not a socket"),
        (&missing, "no socket is there"),
        (&directory.path().to_owned(), "not a socket"),
    ] {
        let endpoint = Endpoint::new(path).unwrap();
        let error = Client::connect(&endpoint).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&endpoint.to_string()));
        let advice = error.remedy().unwrap().to_string();
        assert!(advice.contains(hint), "{advice}");
    }
}

fn assert_send_sync<T: Send + Sync + 'static>() {}

/// Values, errors and clients go from thread to thread.
#[test]
fn what_is_public_is_send_and_sync() {
    assert_send_sync::<Client>();
    assert_send_sync::<crate::ImportRequest>();
    assert_send_sync::<crate::ExportRequest>();
    assert_send_sync::<crate::Imported>();
    assert_send_sync::<crate::Exported>();
    assert_send_sync::<crate::Task>();
    assert_send_sync::<crate::LocalTask>();
    assert_send_sync::<crate::Error>();
    assert_send_sync::<crate::ValueError>();
    let is_send = |_: &(dyn Send + 'static)| ();
    let client = Client::new(Endpoint::default());
    let (importing, exporting) = (client.clone(), client);
    is_send(&async move { importing.import("/file").await });
    is_send(&async move {
        exporting
            .export_to_path(TaskId::try_from("7")?, "/out")
            .await
    });
}

/// Unoptimised code moves futures about on the stack, each caller once more.
#[test]
fn calls_are_no_burden_on_a_callers_stack() {
    const MOST: usize = 16 << 10;
    let client = Client::new(Endpoint::default());
    let id = TaskId::try_from("7").unwrap();
    let export = || crate::ExportRequest::new(id.clone());
    let tree = crate::ImportTree::new("/tree");
    let check = crate::VerifyTree::new(&id);
    for (call, size) in [
        ("stat", size_of_val(&client.stat(id.clone()))),
        ("list", size_of_val(&client.list())),
        (
            "wait",
            size_of_val(&client.wait_for_replicas(id.clone(), 1)),
        ),
        ("import", size_of_val(&client.import("/file"))),
        ("import_tree", size_of_val(&client.import_tree(&tree))),
        (
            "path",
            size_of_val(&client.export_to_path(export(), "/out")),
        ),
        (
            "writer",
            size_of_val(&client.export_to_writer(export(), Vec::new())),
        ),
        (
            "blocking_writer",
            size_of_val(&client.export_to_blocking_writer(export(), Vec::new())),
        ),
        ("verify", size_of_val(&client.verify(id.clone(), "/out"))),
        (
            "verify_tree",
            size_of_val(&client.verify_tree(&check, "/out")),
        ),
    ] {
        assert!(size <= MOST, "{call}: {size} bytes");
    }
}

async fn fake_at(socket: &std::path::Path) -> FakeDfdaemon {
    let builder = FakeDfdaemon::builder().socket(socket);
    builder.start().await.unwrap()
}

#[tokio::test]
async fn a_client_connects_again_when_the_daemon_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("dfdaemon.sock");
    let daemon = fake_at(&socket).await;
    let client = Client::connect(&socket).await.unwrap();
    let clone = client.clone();
    let error = client.stat("7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!error.is_retryable());

    daemon.stop().await;
    let error = client.stat("7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable());

    let daemon = fake_at(&socket).await;
    for client in [client, clone] {
        let error = client.stat("7").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        client.list().await.unwrap();
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_lazy_client_says_what_it_could_not_do_when_nobody_listens() {
    let client = Client::lazy("/nowhere.sock").unwrap();
    let error = client.stat("7").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot stat task 7");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.remedy(), Some(&crate::Remedy::NameEndpoint));
    assert_eq!(error.raw_os_error(), Some(2));
    let error = client.export_to_writer("7", Vec::new()).await;
    assert_eq!(error.unwrap_err().to_string(), "cannot export task 7");
}

#[tokio::test]
async fn a_daemon_that_says_nothing_is_not_waited_for_longer_than_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let daemon = FakeDfdaemon::builder().start().await.unwrap();
    let _stat = daemon.fault(Fault::on(Rpc::Stat).stall());
    let _import = daemon.fault(Fault::on(Rpc::Import).stall());
    let client = Client::connect(daemon.endpoint()).await.unwrap();
    let soon = Duration::from_millis(50);
    let import = crate::ImportRequest::new(&file).timeout(soon);
    let error = client.import(import).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        format!("cannot import {}", file.display())
    );
    let tree = crate::ImportTree::new(crate::ImportRequest::new(directory.path()).timeout(soon));
    let error = client.import_tree(&tree).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let client = client.with_timeout(soon);
    let tree = crate::ImportTree::new(directory.path());
    let tree = client.import_tree(&tree).await.unwrap_err();
    let stat = client.stat("7").await.unwrap_err();
    let wait = client.wait_for_replicas("7", 2).await.unwrap_err();
    for error in [tree, stat, wait] {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.causes(), ["it took longer than 50ms"]);
        assert_eq!(error.remedy(), Some(&crate::Remedy::MoreTime));
    }
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replicas_are_waited_for_until_they_are_there_or_never_will_be() {
    let asked = std::sync::atomic::AtomicU64::new(0);
    let daemon = ScriptedDaemon::start(Answers {
        stat: Arc::new(move |request| {
            let state = if request.task_id == "7" {
                "Succeeded"
            } else {
                "Failed"
            };
            Ok(PersistentCacheTask {
                id: request.task_id.clone(),
                state: state.into(),
                current_persistent_replica_count: asked
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                ..PersistentCacheTask::default()
            })
        }),
        ..Answers::default()
    });
    let client = connected(&daemon).await;
    let error = client.wait_for_replicas("8", 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failure);
    let task = client.wait_for_replicas("7", 3).await.unwrap();
    assert_eq!(task.current_persistent_replica_count, 3);
}

#[tokio::test]
async fn a_value_that_is_none_is_told_when_the_request_is_used() {
    let client = Client::lazy("/nowhere.sock").unwrap();
    let file = "/file";
    let imports = [
        crate::ImportRequest::new(file).persistent_replica_count(0),
        crate::ImportRequest::new(file).ttl(Duration::from_secs(1)),
        crate::ImportRequest::new(file).piece_length(1000),
    ];
    for import in imports {
        let error = client.import(import).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
    }
    let export = crate::ExportRequest::new("");
    let to_path = client.export_to_path(&export, "/out").await.unwrap_err();
    let to_writer = client.export_to_writer(export, Vec::new()).await;
    for error in [to_path, to_writer.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
        assert!(
            error
                .causes()
                .contains(&"a task id must not be empty".to_owned())
        );
    }
    assert_eq!(client.stat("").await.unwrap_err().kind(), ErrorKind::Usage);
    assert!(Client::lazy("http://daemon").is_err());
}
