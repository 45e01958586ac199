use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::sync::{Arc, Mutex};

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};
use tempfile::TempDir;
use tonic::{Code, Status};

use super::*;
use crate::client::testing::connected;
use testkit::{Answers, ScriptedDaemon};

/// A directory with a file of 5 bytes, and the import of it.
fn file() -> (TempDir, ImportRequest) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "12345").unwrap();
    (directory, ImportRequest::new(path))
}

fn task(id: &str) -> PersistentCacheTask {
    PersistentCacheTask {
        id: id.into(),
        state: "Succeeded".into(),
        content_length: 5,
        ..PersistentCacheTask::default()
    }
}

async fn import(answers: Answers, request: ImportRequest) -> Result<Imported> {
    let daemon = ScriptedDaemon::start(answers);
    connected(&daemon).await.import(request).await
}

#[test]
fn what_is_not_a_regular_file_is_refused_by_name() {
    let (directory, request) = file();
    let place = |name: &str| directory.path().join(name);
    symlink("nowhere", place("dangling")).unwrap();
    symlink("file", place("link")).unwrap();
    for (name, why) in [
        ("missing", "No such file"),
        ("dangling", "No such file"),
        ("file/below", "Not a directory"),
        (".", "directory"),
    ] {
        let error = ImportRequest::new(place(name)).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert!(
            error
                .to_string()
                .contains(&place(name).display().to_string())
        );
        assert!(error.causes()[0].contains(why), "{error:?}");
    }
    let device = ImportRequest::new("/dev/null").check().unwrap_err();
    assert_eq!(device.causes(), ["it is not a regular file"]);
    assert!(request.check().is_ok());
    assert!(ImportRequest::new(place("link")).check().is_ok());
}

#[tokio::test]
async fn the_request_carries_what_was_given_and_nothing_else() {
    let (_directory, mut request) = file();
    let path = request.path.to_str().unwrap().to_owned();
    request.tag = Some(String::new());
    request.application = Some("app".into());
    request.piece_length = Some("4mib".parse().unwrap());
    request.timeout = Some("90s".parse().unwrap());
    let sent = Arc::new(Mutex::new(None));
    let received = Arc::clone(&sent);
    let answers = Answers {
        import: Arc::new(move |request| {
            *received.lock().unwrap() = Some(request.clone());
            Ok(task("7"))
        }),
        ..Answers::default()
    };
    let imported = import(answers, request).await.unwrap();
    assert_eq!(
        (imported.task.task_id.as_str(), imported.existed),
        ("7", false)
    );
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let expected = UploadPersistentCacheTaskRequest {
        path,
        persistent_replica_count: 2,
        application: Some("app".into()),
        piece_length: Some(4 << 20),
        ttl: seconds(3600),
        timeout: seconds(90),
        ..UploadPersistentCacheTaskRequest::default()
    };
    assert_eq!(sent.lock().unwrap().take(), Some(expected));
}

#[tokio::test]
async fn an_id_that_is_not_one_word_is_not_passed_on() {
    for id in ["", "7\n8", "a b", "\x1b[2J"] {
        let answers = Answers {
            import: Arc::new(move |_| Ok(task(id))),
            ..Answers::default()
        };
        let (_directory, request) = file();
        let error = import(answers, request).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Integrity, "{id:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_whole_file_is_no_success() {
    for (state, content_length, why) in [
        ("Failed", 5, "task 7 is \"Failed\""),
        ("Uploading", 5, "task 7 is \"Uploading\""),
        ("", 5, "task 7 is \"\""),
        (
            "Succeeded",
            4,
            "imported 4 bytes as task 7, and the file has 5",
        ),
        (
            "Succeeded",
            0,
            "imported 0 bytes as task 7, and the file has 5",
        ),
    ] {
        let answers = Answers {
            import: Arc::new(move |_| {
                let state = state.into();
                Ok(PersistentCacheTask {
                    state,
                    content_length,
                    ..task("7")
                })
            }),
            ..Answers::default()
        };
        let (_directory, request) = file();
        let error = import(answers, request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(error.causes()[0].contains(why), "{error:?}");
    }
}

#[tokio::test]
async fn the_daemon_is_told_what_a_link_leads_to() {
    let (directory, request) = file();
    let root = fs::canonicalize(directory.path()).unwrap();
    let odd = OsStr::from_bytes(b"odd \xff");
    symlink("file", root.join("link")).unwrap();
    symlink("link", root.join(odd)).unwrap();
    for name in [OsStr::new("link"), odd] {
        let link = ImportRequest::new(root.join(name)).check().unwrap();
        assert_eq!(link.wire_path, root.join("file").to_str().unwrap());
        assert_eq!(link.path(), root.join(name));
    }
    fs::rename(request.path, root.join(OsStr::from_bytes(b"\xfe"))).unwrap();
    symlink(OsStr::from_bytes(b"\xfe"), root.join("to-odd")).unwrap();
    let error = ImportRequest::new(root.join("to-odd")).check().unwrap_err();
    assert!(error.causes()[0].contains("not UTF-8"), "{error:?}");
}

#[test]
fn a_path_that_means_another_file_to_the_daemon_is_refused_by_name() {
    for path in ["/dev/stdin", "/dev/fd/0", "/proc/self/cwd/Cargo.toml"] {
        let error = ImportRequest::new(path).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert!(
            error.causes()[0].ends_with("names another file for dfdaemon"),
            "{error:?}"
        );
    }
}

fn existing(found: std::result::Result<PersistentCacheTask, Status>) -> Answers {
    let text = "persistent cache task 7 is Succeeded cannot upload";
    let wrapped = format!(
        "status: {:?}, message: {text:?}, details: []",
        Code::AlreadyExists
    );
    Answers {
        import: Arc::new(move |_| Err(Status::internal(wrapped.clone()))),
        stat: Arc::new(move |_| found.clone()),
        ..Answers::default()
    }
}

#[tokio::test]
async fn an_existing_task_is_a_success_only_if_asked_and_the_same() {
    let (_directory, mut request) = file();
    let error = import(existing(Ok(task("7"))), request.clone()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);

    request.skip_existing = true;
    let imported = import(existing(Ok(task("7"))), request.clone()).await;
    assert!(imported.unwrap().existed);

    let longer = PersistentCacheTask {
        content_length: 6,
        ..task("7")
    };
    let unfinished = PersistentCacheTask {
        state: "Uploading".into(),
        ..task("7")
    };
    for other in [longer, unfinished] {
        let error = import(existing(Ok(other)), request.clone()).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    let error = import(existing(Ok(task("8\n9"))), request.clone()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Integrity);
    let gone = Status::not_found("persistent cache task 7 not found");
    let error = import(existing(Err(gone)), request).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
}

/// What a daemon that hashed `content` answers, while `meanwhile` happens to the file.
fn while_imported(
    scheme: TaskIdScheme,
    content: &'static str,
    meanwhile: impl Fn(&Path) + Send + Sync + 'static,
) -> Answers {
    Answers {
        import: Arc::new(move |request| {
            meanwhile(Path::new(&request.path));
            let mut hasher = TaskIdHasher::new(scheme);
            hasher.update(content.as_bytes());
            let id = match &request.content_for_calculating_task_id {
                Some(text) => scheme.of_content(text),
                None => hasher.finish(Parameters::default()),
            };
            Ok(task(&id))
        }),
        ..Answers::default()
    }
}

/// Writes as `rsync --inplace -t` does: the modification time is put back.
fn rewrite(path: &Path, content: &str) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let before = file.metadata().unwrap();
    // The clock of the file system has a tick.
    while file.metadata().unwrap().ctime_nsec() == before.ctime_nsec() {
        file.write_all_at(content.as_bytes(), 0).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    }
}

/// Writes as anybody does.
fn write(path: &Path, content: &str) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    while fs::metadata(path).unwrap().modified().unwrap() == before {
        fs::write(path, content).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_changes_during_its_import_is_refused_whatever_its_modification_time_says() {
    for scheme in [TaskIdScheme::Crc32, TaskIdScheme::Sha256] {
        let (_directory, mut request) = file();
        let answers = while_imported(scheme, "12345", |path| rewrite(path, "12346"));
        let error = import(answers, request.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert!(error.causes()[0].contains("put back"), "{error:?}");

        let answers = while_imported(scheme, "12346", |path| write(path, "12345"));
        let error = import(answers, request.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalFile);

        request.content_for_calculating_task_id = Some("text".into());
        let answers = while_imported(scheme, "", |path| rewrite(path, "54321"));
        let error = import(answers, request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalFile);
    }
}

#[tokio::test]
async fn a_file_whose_content_stays_is_imported_whatever_else_happens_to_it() {
    for scheme in [TaskIdScheme::Crc32, TaskIdScheme::Sha256] {
        let (_directory, request) = file();
        let happens: [fn(&Path); 5] = [
            |path| fs::hard_link(path, path.with_extension("link")).unwrap(),
            |path| {
                let link = path.with_extension("short");
                fs::hard_link(path, &link).unwrap();
                fs::remove_file(link).unwrap();
            },
            |path| fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap(),
            |path| rewrite(path, "12345"),
            |path| fs::rename(path, path.with_extension("moved")).unwrap(),
        ];
        for happens in happens {
            let answers = while_imported(scheme, "12345", happens);
            import(answers, request.clone()).await.unwrap();
        }
    }
}
