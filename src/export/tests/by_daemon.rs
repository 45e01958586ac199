use super::*;
use crate::types::remedy::Remedy;

/// The pieces as they come by path: without content.
fn announced_pieces() -> Vec<Piece> {
    let without_content = |piece: Piece| Piece {
        content: None,
        ..piece
    };
    pieces().into_iter().map(without_content).collect()
}

/// A daemon that writes `CONTENT` to the path that it gets, as one of release 0.2 does: never over
/// something that is there.
pub(super) fn writing_daemon() -> ScriptedDaemon {
    daemon_that_writes(CONTENT, started_with(announced_pieces()))
}

/// A daemon that writes `written` to the path that it gets, and says `steps` of it.
fn daemon_that_writes(written: &'static [u8], steps: Vec<Step>) -> ScriptedDaemon {
    ScriptedDaemon::start(Answers {
        export: Arc::new(move |request| {
            let path = request.output_path.clone().unwrap();
            assert!(!request.overwrite && request.digest.is_none());
            fs::File::create_new(&path)
                .and_then(|_| fs::write(&path, written))
                .map_err(|error| Status::internal(error.to_string()))?;
            Ok(steps.clone())
        }),
        ..Answers::default()
    })
}

async fn by_path(daemon: &ScriptedDaemon, path: &Path, overwrite: bool) -> Result<Exported> {
    let client = connected(daemon).await;
    client
        .export_to_path(request().overwrite(overwrite), path)
        .await
}

#[tokio::test]
async fn by_path_the_file_arrives_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = writing_daemon();
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
    let writes = |written| daemon_that_writes(written, started_with(announced_pieces()));
    let nothing = ScriptedDaemon::exporting(started_with(announced_pieces()));
    for (daemon, expected) in [
        (writes(b"0123456789a"), "wrote 11 bytes"),
        (writes(b"012345678"), "wrote 9 bytes"),
        (nothing, "not there"),
    ] {
        let error = by_path(&daemon, &path, true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        let causes = error.causes().join(": ");
        assert!(causes.contains(expected), "{causes:?}");
        let advises = error.remedy() == Some(&Remedy::TransferElsewhere);
        assert_eq!(advises, expected == "not there");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
    assert_eq!(names(directory.path()), ["out"]);
}

/// What a daemon can say at the good end of a stream although the file beside it is whole.
fn streams_that_are_not_whole() -> Vec<(&'static str, Vec<Step>)> {
    let mut scripts: Vec<(&str, Vec<Step>)> = (0..3)
        .map(|missing| {
            let mut pieces = announced_pieces();
            pieces.remove(missing);
            ("pieces are missing", started_with(pieces))
        })
        .collect();
    scripts.push(("pieces are missing", started_with([])));
    type Damage = fn(&mut Piece);
    let damages: [(&str, Damage); 3] = [
        ("beyond", |piece| piece.offset = u64::MAX),
        ("overlaps", |piece| piece.offset -= 1),
        ("overlaps", |piece| piece.length += 1),
    ];
    for (expected, damage) in damages {
        let mut pieces = announced_pieces();
        damage(&mut pieces[1]);
        scripts.push((expected, started_with(pieces)));
        // What is missing may come all the same; a stream that contradicts itself stays odd.
        let mut pieces = announced_pieces();
        pieces.push(pieces[1].clone());
        damage(&mut pieces[3]);
        scripts.push((expected, started_with(pieces)));
    }
    let shorter = announced_pieces().into_iter().map(Step::Piece);
    scripts.push((
        "beyond",
        std::iter::once(Step::Started(9)).chain(shorter).collect(),
    ));
    scripts
}

#[tokio::test]
async fn by_path_pieces_that_do_not_make_up_the_content_are_refused() {
    for (expected, steps) in streams_that_are_not_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let beside = daemon_that_writes(CONTENT, steps.clone());
        let itself = confined_daemon_that_says(&path, steps);
        for daemon in [beside, itself] {
            let error = by_path(&daemon, &path, false).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity);
            let causes = error.causes().join(": ");
            assert!(causes.contains(expected), "{causes:?} lacks {expected:?}");
            assert_eq!(names(directory.path()), [""; 0]);
        }
    }
}

#[tokio::test]
async fn by_path_pieces_may_come_in_any_order_and_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let twice = announced_pieces()
        .into_iter()
        .rev()
        .chain(announced_pieces());
    let daemon = daemon_that_writes(CONTENT, started_with(twice));
    let exported = by_path(&daemon, &path, false).await.unwrap();
    assert_eq!(exported.piece_count, 3);
    assert_eq!(names(directory.path()), ["out"]);
}

#[tokio::test]
async fn by_path_an_empty_file_has_no_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = daemon_that_writes(b"", vec![Step::Started(0)]);
    let exported = by_path(&daemon, &path, false).await.unwrap();
    assert_eq!((exported.content_length, exported.piece_count), (0, 0));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

/// The daemon's own error says more than the pieces that did not come because of it.
#[tokio::test]
async fn by_path_an_error_at_the_end_counts_more_than_missing_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let steps = vec![
        Step::Started(10),
        Step::Fail(Status::internal("peer p not found")),
    ];
    let daemon = daemon_that_writes(CONTENT, steps);
    let error = by_path(&daemon, &path, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn by_path_a_wrong_digest_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    fs::write(&path, "old").unwrap();
    let client_of = writing_daemon();
    let request = request().digest("crc32:1".parse().unwrap());
    let client = connected(&client_of).await;
    let exported = client.export_to_path(request.overwrite(true), &path).await;
    assert_eq!(exported.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(directory.path()), ["out"]);
}

/// A daemon that may write `target`, but nothing beside it.
fn confined_daemon(target: &Path) -> ScriptedDaemon {
    confined_daemon_that_says(target, started_with(announced_pieces()))
}

fn confined_daemon_that_says(target: &Path, steps: Vec<Step>) -> ScriptedDaemon {
    let target = target.to_owned();
    ScriptedDaemon::start(Answers {
        export: Arc::new(move |request| {
            // It is asked to cache the task before it is asked for the target itself.
            let Some(path) = request.output_path.as_deref().map(Path::new) else {
                return Ok(steps.clone());
            };
            assert_eq!(request.force_hard_link, path == target);
            if path != target {
                return Err(Status::internal("Permission denied (os error 13)"));
            }
            fs::write(path, CONTENT).unwrap();
            Ok(steps.clone())
        }),
        ..Answers::default()
    })
}

#[tokio::test]
async fn by_path_a_target_that_the_daemon_wrote_itself_is_removed_if_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = confined_daemon(&path);
    let request = request().digest("crc32:1".parse().unwrap());
    let client = connected(&daemon).await;
    let exported = client.export_to_path(&request, &path).await;
    assert_eq!(exported.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn by_path_the_target_is_named_where_the_daemon_may_not_write_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = confined_daemon(&path);
    by_path(&daemon, &path, false).await.unwrap();
    assert_eq!(daemon.requests().exports.len(), 3);
    assert_eq!(names(directory.path()), ["out"]);
    // What is there is not the daemon's to write: it is not named.
    let error = by_path(&daemon, &path, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalFile);
    assert_eq!(daemon.requests().exports.len(), 4);
}

/// Its file system may be another one, as that of a container's host: then the file is left there.
#[tokio::test]
async fn by_path_a_target_that_was_written_elsewhere_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let target = path.clone();
    let daemon = ScriptedDaemon::start(Answers {
        export: Arc::new(move |request| match request.output_path.as_deref() {
            Some(path) if Path::new(path) != target => {
                Err(Status::internal("Permission denied (os error 13)"))
            }
            _ => Ok(started_with(announced_pieces())),
        }),
        ..Answers::default()
    });
    let error = by_path(&daemon, &path, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalFile);
    let wrote = format!("dfdaemon says that it wrote {}", path.display());
    assert!(error.causes()[0].starts_with(&wrote), "{error:?}");
}

/// What is not cached is not asked for at the target: a part of it could stay there.
#[tokio::test]
async fn by_path_the_target_is_not_named_before_the_daemon_has_the_task() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let steps = vec![Step::Started(10), Step::Fail(Status::unavailable("gone"))];
    let daemon = confined_daemon_that_says(&path, steps);
    let error = by_path(&daemon, &path, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let last = daemon.requests().exports.pop().unwrap();
    assert!(last.output_path.is_none() && !last.need_piece_content);
    assert_eq!(names(directory.path()), [""; 0]);
}

/// Neither on a read-only file system is dfdaemon asked to write where this side cannot.
#[tokio::test]
async fn by_path_nothing_is_asked_on_a_read_only_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let daemon = writing_daemon();
    let cannot = |_, name| (name == "create directory").then_some(rustix::io::Errno::ROFS);
    let (disk, _) = crate::output::disk::Disk::failing(cannot);
    let target = Target::check(&path, false).unwrap().on(disk);
    let client = connected(&daemon).await;
    let exported = client.export(&request(), target).await;
    assert_eq!(exported.unwrap_err().kind(), ErrorKind::LocalFile);
    assert!(daemon.requests().exports.is_empty());
}
