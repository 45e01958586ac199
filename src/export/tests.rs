use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use dfdaemon_api::common::v2::Piece;
use tempfile::TempDir;
use tokio::sync::watch;
use tonic::Status;

use super::*;
use crate::client::testing::connected;
use crate::types::options::TaskId;
use testkit::{Answers, ScriptedDaemon, Step, piece};

const CONTENT: &[u8] = b"0123456789";

mod any_stream;
mod by_daemon;
mod failing_disk;
mod targets;
mod verify;
mod writers;

use by_daemon::writing_daemon;

fn request() -> ExportRequest {
    ExportRequest::new("7")
}

/// `CONTENT` in pieces of 4, 4 and 2 bytes.
fn pieces() -> Vec<Piece> {
    let numbered = (0u32..).zip(CONTENT.chunks(4));
    numbered
        .map(|(number, content)| piece(number, u64::from(number) * 4, content))
        .collect()
}

fn started_with(pieces: impl IntoIterator<Item = Piece>) -> Vec<Step> {
    let started = Step::Started(CONTENT.len() as u64);
    std::iter::once(started)
        .chain(pieces.into_iter().map(Step::Piece))
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

/// Waits until this many bytes have come, which must not take for ever.
async fn received(progress: &mut watch::Receiver<Progress>, bytes: u64) {
    let come = progress.wait_for(|progress| progress.received == bytes);
    let come = tokio::time::timeout(testkit::wait::HANGS, come).await;
    assert!(
        come.is_ok_and(|open| open.is_ok()),
        "{bytes} bytes never came"
    );
}

/// A request whose progress goes to the other end.
fn watched_request() -> (ExportRequest, watch::Receiver<Progress>) {
    let (sender, receiver) = watch::channel(Progress::default());
    let request = request().on_progress(move |progress| {
        sender.send_replace(progress);
    });
    (request, receiver)
}

async fn transfer(steps: Vec<Step>, request: &ExportRequest, path: &Path) -> Result<Exported> {
    let daemon = ScriptedDaemon::exporting(steps);
    let client = connected(&daemon).await;
    let request = request.clone().mode(ExportMode::ByTransfer);
    client.export_to_path(request, path).await
}

type Outcome = std::result::Result<Vec<u8>, (ErrorKind, String)>;

/// What a transfer of these steps came to, whichever thread writes.
async fn outcome(steps: Vec<Step>) -> Outcome {
    let daemon = ScriptedDaemon::exporting(steps.clone());
    let on_thread = outcome_of(&connected(&daemon).await).await;
    let daemon = ScriptedDaemon::exporting(steps);
    let inline = outcome_of(&connected(&daemon).await.writing_inline()).await;
    // Where there is more than one reason to fail, either may be found first.
    assert_eq!(inline.ok(), on_thread.clone().ok());
    on_thread
}

/// After a failure nothing may be left.
async fn outcome_of(client: &Client) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let request = request().mode(ExportMode::ByTransfer);
    let exported = client.export_to_path(&request, &path);
    match exported.await {
        Ok(exported) => {
            assert_eq!(exported.content_length, CONTENT.len() as u64);
            assert_eq!(names(directory.path()), ["out"]);
            Ok(fs::read(path).unwrap())
        }
        Err(error) => {
            assert_eq!(names(directory.path()), [""; 0]);
            Err((error.kind(), error.causes().join(": ")))
        }
    }
}

#[tokio::test]
async fn pieces_in_any_order_and_repeated_make_the_file() {
    let [first, second, third] = <[Piece; 3]>::try_from(pieces()).unwrap();
    let undigested = Piece {
        digest: String::new(),
        ..second.clone()
    };
    let orders = [
        started_with([first.clone(), second.clone(), third.clone()]),
        started_with([third.clone(), second.clone(), first.clone()]),
        started_with([
            second.clone(),
            first.clone(),
            second.clone(),
            third.clone(),
            second.clone(),
        ]),
        started_with([undigested, first.clone(), third.clone()]),
        [
            started_with([third, second]),
            vec![Step::Nothing, Step::Started(10), Step::Piece(first)],
        ]
        .concat(),
    ];
    for steps in orders {
        assert_eq!(outcome(steps).await.as_deref(), Ok(CONTENT));
    }
}

#[tokio::test]
async fn progress_counts_a_repeated_piece_once() {
    let directory = tempfile::tempdir().unwrap();
    let (request, receiver) = watched_request();
    let repeated = pieces().into_iter().chain(pieces());
    let path = directory.path().join("out");
    transfer(started_with(repeated), &request, &path)
        .await
        .unwrap();
    let expected = Progress {
        content_length: Some(10),
        received: 10,
    };
    assert_eq!(*receiver.borrow(), expected);
}

#[tokio::test]
async fn content_that_is_not_what_was_promised_is_refused() {
    let mut scripts: Vec<(&str, Vec<Step>)> = Vec::new();
    let mut all = pieces();
    scripts.push(("pieces are missing", started_with(all[..2].to_vec())));
    scripts.push(("pieces are missing", vec![Step::Started(10)]));
    scripts.push(("does not start", Vec::new()));
    scripts.push(("does not start", vec![Step::Piece(all[0].clone())]));
    scripts.push(("does not start", vec![Step::Nothing, Step::Started(10)]));
    scripts.push(("more than a file can have", vec![Step::Started(u64::MAX)]));
    let changed = [started_with(all.clone()), vec![Step::Started(11)]].concat();
    scripts.push(("length of the content changed", changed));
    let longer = [
        vec![Step::Started(11)],
        all.iter().cloned().map(Step::Piece).collect(),
    ]
    .concat();
    scripts.push(("pieces are missing", longer));
    let shorter = [
        vec![Step::Started(9)],
        all.iter().cloned().map(Step::Piece).collect(),
    ]
    .concat();
    scripts.push(("beyond", shorter));
    type Damage = fn(&mut Piece);
    let damages: [(&str, Damage); 6] = [
        ("came without content", |piece| piece.content = None),
        ("of content, not", |piece| piece.length += 1),
        ("damaged", |piece| piece.content = Some("abcd".into())),
        ("damaged", |piece| piece.digest = "crc32:1".into()),
        ("cannot be checked", |piece| piece.digest = "md5:1".into()),
        ("overlaps", |piece| piece.offset -= 1),
    ];
    for (expected, damage) in damages {
        all = pieces();
        damage(&mut all[1]);
        scripts.push((expected, started_with(all)));
    }
    for (expected, steps) in scripts {
        let (kind, causes) = outcome(steps).await.unwrap_err();
        assert_eq!(kind, ErrorKind::Integrity, "{expected}");
        assert!(causes.contains(expected), "{causes:?} lacks {expected:?}");
    }
}

#[tokio::test]
async fn a_repeat_is_verified_though_it_is_not_written() {
    let mut repeat = pieces().remove(1);
    repeat.content = Some("abcd".into());
    let with = |repeat: &Piece| started_with(pieces().into_iter().chain([repeat.clone()]));
    let (kind, causes) = outcome(with(&repeat)).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Integrity);
    assert!(causes.contains("piece 1 is damaged"), "{causes}");
    // Without a promise there is nothing to hold it against, and the good bytes stay.
    repeat.digest = String::new();
    assert_eq!(outcome(with(&repeat)).await.as_deref(), Ok(CONTENT));
}

#[tokio::test]
async fn a_stream_that_breaks_leaves_nothing() {
    let begun = || started_with(pieces().into_iter().take(2));
    let broken = [
        (Step::Reset, ErrorKind::Unavailable),
        (
            Step::Fail(Status::unavailable("gone")),
            ErrorKind::Unavailable,
        ),
        (
            Step::Fail(Status::internal("peer p not found")),
            ErrorKind::Unavailable,
        ),
        (Step::Fail(Status::data_loss("")), ErrorKind::Integrity),
    ];
    for (step, expected) in broken {
        for steps in [vec![step.clone()], [begun(), vec![step.clone()]].concat()] {
            let (kind, causes) = outcome(steps).await.unwrap_err();
            assert_eq!(kind, expected, "{step:?}: {causes}");
        }
    }
}

#[tokio::test]
async fn damage_is_reported_while_the_daemon_stalls() {
    let mut damaged = pieces();
    damaged[0].digest = "crc32:1".into();
    let steps = [started_with(damaged.into_iter().take(1)), vec![Step::Stall]].concat();
    let (kind, _) = outcome(steps).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Integrity);
}

#[tokio::test]
async fn a_dropped_export_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (request, mut receiver) = watched_request();
    let steps = [
        started_with(pieces().into_iter().take(2)),
        vec![Step::Stall],
    ]
    .concat();
    let daemon = ScriptedDaemon::exporting(steps);
    let client = connected(&daemon).await;
    let path = directory.path().join("out");
    tokio::select! {
        exported = client.export_to_path(request.mode(ExportMode::ByTransfer), path) => {
            panic!("{exported:?}");
        }
        left = async {
            received(&mut receiver, 8).await;
            names(directory.path()).len()
        } => assert_eq!(left, 1),
    }
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn the_digest_is_checked_whatever_the_order() {
    let right = "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    let wrong = right.replace("84", "85");
    let reversed = || started_with(pieces().into_iter().rev());
    for steps in [started_with(pieces()), reversed()] {
        for (digest, expected) in [(right, None), (&*wrong, Some(ErrorKind::Integrity))] {
            let directory = tempfile::tempdir().unwrap();
            let mut request = request();
            request.digest = Some(digest.parse().unwrap());
            let path = directory.path().join("out");
            let exported = transfer(steps.clone(), &request, &path).await;
            assert_eq!(exported.err().map(|error| error.kind()), expected);
            assert_eq!(path.exists(), expected.is_none());
        }
    }
}
