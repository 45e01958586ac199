//! Where the content goes, and what was there before.

use super::*;

#[tokio::test]
async fn an_output_whose_directory_vanishes_meanwhile_is_a_local_file_error() {
    for mode in [ExportMode::ByTransfer, ExportMode::ByPath] {
        let directory = tempfile::tempdir().unwrap();
        let parent = directory.path().join("parent");
        fs::create_dir(&parent).unwrap();
        let gate = Arc::new(tokio::sync::Notify::new());
        let [first, second, third] = <[Piece; 3]>::try_from(pieces()).unwrap();
        let mut steps = started_with([first, second]);
        steps.extend([Step::Wait(Arc::clone(&gate)), Step::Piece(third)]);
        let daemon = ScriptedDaemon::start(Answers {
            export: Arc::new(move |request| {
                if let Some(path) = &request.output_path {
                    fs::write(path, CONTENT).unwrap();
                }
                Ok(steps.clone())
            }),
            ..Answers::default()
        });
        let (request, mut receiver) = watched_request();
        let request = request.mode(mode);
        let client = connected(&daemon).await;
        let export = client.export_to_path(&request, parent.join("out"));
        let vanish = async {
            received(&mut receiver, 8).await;
            fs::remove_dir_all(&parent).unwrap();
            gate.notify_one();
        };
        let (exported, ()) = tokio::join!(export, vanish);
        assert_eq!(
            exported.unwrap_err().kind(),
            ErrorKind::LocalFile,
            "{mode:?}"
        );
        assert_eq!(names(directory.path()), [""; 0]);
    }
}

/// A directory with a target, `out`, another name of the same file, `link`, and a daemon.
fn with_old_file() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(&path, directory.path().join("link")).unwrap();
    directory
}

#[tokio::test]
async fn overwriting_never_writes_through_a_link_and_keeps_the_mode() {
    for (mode, daemon) in [
        (
            ExportMode::ByTransfer,
            ScriptedDaemon::exporting(started_with(pieces())),
        ),
        (ExportMode::ByPath, writing_daemon()),
    ] {
        let directory = with_old_file();
        let path = directory.path().join("out");
        let client = connected(&daemon).await;
        let exported = client
            .export_to_path(request().mode(mode).overwrite(true), &path)
            .await;
        exported.unwrap();
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        assert_eq!(fs::read(directory.path().join("link")).unwrap(), b"old");
        if mode == ExportMode::ByTransfer {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        }
        let linked = directory.path().join("symbolic");
        symlink("link", &linked).unwrap();
        client
            .export_to_path(request().mode(mode).overwrite(true), &linked)
            .await
            .unwrap();
        assert!(fs::symlink_metadata(&linked).unwrap().is_file());
        assert_eq!(fs::read(directory.path().join("link")).unwrap(), b"old");
    }
}

#[tokio::test]
async fn without_overwrite_a_file_that_appears_meanwhile_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let appearing = path.clone();
    let daemon = ScriptedDaemon::start(Answers {
        export: Arc::new(move |_| {
            fs::write(&appearing, "mine").unwrap();
            Ok(started_with(pieces()))
        }),
        ..Answers::default()
    });
    let client = connected(&daemon).await;
    let exported = client
        .export_to_path(request().mode(ExportMode::ByTransfer), &path)
        .await;
    assert_eq!(exported.unwrap_err().kind(), ErrorKind::LocalFile);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(names(directory.path()), ["out"]);
}
