//! Content that goes to a writer, and clients that share a daemon.

use std::time::Duration;

use testkit::wait::HANGS;

use super::*;

#[tokio::test]
async fn a_writer_gets_the_content_in_order() {
    let daemon = ScriptedDaemon::exporting(started_with(pieces().into_iter().rev()));
    let mut written = Vec::new();
    let client = connected(&daemon).await;
    let exported = client.export_to_writer(&request(), &mut written).await;
    assert_eq!(exported.unwrap().content_length, 10);
    assert_eq!(written, CONTENT);
}

#[tokio::test]
async fn a_reader_that_goes_away_interrupts() {
    let daemon = ScriptedDaemon::exporting(started_with(pieces()));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let client = connected(&daemon).await;
    let error = client
        .export_to_blocking_writer(&request(), writer)
        .await
        .unwrap_err();
    let gone = ErrorKind::Interrupted(crate::types::error::Interruption::ReaderGone);
    assert_eq!(error.kind(), gone);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stalls_is_cut_off_by_a_timeout() {
    let daemon = ScriptedDaemon::exporting(vec![Step::Started(10), Step::Stall]);
    let directory = tempfile::tempdir().unwrap();
    let client = connected(&daemon).await;
    let request = request()
        .mode(ExportMode::ByTransfer)
        .timeout(Duration::from_secs(5));
    let export = client.export_to_path(request, directory.path().join("out"));
    let error = export.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "cannot export task 7");
    assert_eq!(error.causes(), ["it took longer than 5s"]);
    assert_eq!(names(directory.path()), [""; 0]);
}

/// Of a single piece, the export itself has ended by then.
#[tokio::test(start_paused = true)]
async fn a_writer_that_takes_nothing_is_waited_for_no_longer_than_asked() {
    for pieces in [vec![piece(0, 0, CONTENT)], pieces()] {
        let daemon = ScriptedDaemon::exporting(started_with(pieces));
        let (writer, _reader) = tokio::io::duplex(1);
        let client = connected(&daemon).await;
        let request = request().timeout(Duration::from_secs(5));
        let error = client.export_to_writer(request, writer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.causes(), ["it took longer than 5s"]);
    }
}

#[tokio::test]
async fn an_asynchronous_writer_that_fails_ends_the_export() {
    let daemon = ScriptedDaemon::exporting(started_with(pieces()));
    let (writer, reader) = tokio::io::duplex(1);
    drop(reader);
    let client = connected(&daemon).await;
    let error = client.export_to_writer(&request(), writer).await;
    let gone = ErrorKind::Interrupted(crate::types::error::Interruption::ReaderGone);
    assert_eq!(error.unwrap_err().kind(), gone);
}

/// Readers that never take anything, on one client.
#[tokio::test]
async fn transfers_that_stall_stop_no_other_call() {
    const LENGTH: usize = 4 << 20;
    let content = vec![0; LENGTH];
    let pieces =
        (0..8_u32).map(|number| piece(number, u64::from(number) * LENGTH as u64, &content));
    let steps: Vec<_> = std::iter::once(Step::Started(8 * LENGTH as u64))
        .chain(pieces.map(Step::Piece))
        .collect();
    let daemon = ScriptedDaemon::start(Answers {
        export: Arc::new(move |_| Ok(steps.clone())),
        stat: Arc::new(|_| Err(Status::not_found("persistent cache task 7 not found"))),
        ..Answers::default()
    });
    let client = connected(&daemon).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (writer, reader) = tokio::io::duplex(1);
        readers.push(reader);
        let (request, mut received) = watched_request();
        let client = client.clone();
        tokio::spawn(async move { client.export_to_writer(&request, writer).await });
        let first = received.wait_for(|progress| progress.received >= LENGTH as u64);
        tokio::time::timeout(HANGS, first).await.unwrap().unwrap();
    }
    let id = request().task_id;
    let stat = client.stat(&id);
    let stat = tokio::time::timeout(HANGS, stat).await;
    assert_eq!(stat.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
}
