use super::*;

/// A daemon that writes `CONTENT` to where it is told, as one of release 0.2 does: never over
/// something that is there.
pub(super) fn writing_daemon(announced: u64, written: &'static [u8]) -> ScriptedDaemon {
    ScriptedDaemon::start(Answers {
        export: Arc::new(move |request| {
            let path = request.output_path.clone().unwrap();
            assert!(!request.overwrite && request.digest.is_none());
            fs::File::create_new(&path)
                .and_then(|_| fs::write(&path, written))
                .map_err(|error| Status::internal(error.to_string()))?;
            Ok(vec![Step::Started(announced)])
        }),
        ..Answers::default()
    })
}

async fn by_path(daemon: &ScriptedDaemon, path: &Path, overwrite: bool) -> Result<Exported> {
    let client = daemon.client().await;
    client
        .export_to_path(&request(), path, ExportMode::ByPath, overwrite)
        .await
}

#[tokio::test]
async fn by_path_the_file_arrives_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = writing_daemon(10, CONTENT);
    let exported = by_path(&daemon, &path, false).await.unwrap();
    assert_eq!(exported.path.as_deref(), Some(&*path));
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    assert_eq!(names(directory.path()), ["out"]);
}

#[tokio::test]
async fn by_path_a_file_of_another_length_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    fs::write(&path, "old").unwrap();
    let error = by_path(&writing_daemon(11, CONTENT), &path, true).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let nothing = ScriptedDaemon::exporting(vec![Step::Started(10)]);
    let error = by_path(&nothing, &path, true).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(names(directory.path()), ["out"]);
}

#[tokio::test]
async fn by_path_a_wrong_digest_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    fs::write(&path, "old").unwrap();
    let client_of = writing_daemon(10, CONTENT);
    let mut request = request();
    request.digest = Some("crc32:1".parse().unwrap());
    let client = client_of.client().await;
    let exported = client
        .export_to_path(&request, &path, ExportMode::ByPath, true)
        .await;
    assert_eq!(exported.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(directory.path()), ["out"]);
}

/// A daemon that may write `target`, but nothing beside it.
fn confined_daemon(target: &Path) -> ScriptedDaemon {
    let target = target.to_owned();
    ScriptedDaemon::start(Answers {
        export: Arc::new(move |request| {
            let path = Path::new(request.output_path.as_deref().unwrap());
            if path != target {
                return Err(Status::internal("Permission denied (os error 13)"));
            }
            fs::write(path, CONTENT).unwrap();
            Ok(vec![Step::Started(10)])
        }),
        ..Answers::default()
    })
}

#[tokio::test]
async fn by_path_a_target_that_the_daemon_wrote_itself_is_removed_if_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = confined_daemon(&path);
    let mut request = request();
    request.digest = Some("crc32:1".parse().unwrap());
    let client = daemon.client().await;
    let exported = client
        .export_to_path(&request, &path, ExportMode::ByPath, false)
        .await;
    assert_eq!(exported.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn by_path_the_target_is_named_where_the_daemon_may_not_write_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = confined_daemon(&path);
    by_path(&daemon, &path, false).await.unwrap();
    assert_eq!(daemon.exports.lock().unwrap().len(), 2);
    assert_eq!(names(directory.path()), ["out"]);
    // What is there is not the daemon's to write: it is not named.
    let error = by_path(&daemon, &path, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalFile);
    assert_eq!(daemon.exports.lock().unwrap().len(), 3);
}
