//! Streams that end in the middle of a message, that never end, and recorders that are killed.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use fake_dfdaemon::FakeDfdaemon;
use h2::Reason;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testkit::wait::Changes;

use super::raw::{Between, connect, opened, program, read, record, request};
use super::written::DOWNLOAD;
use crate::support::client::Client;
use crate::support::content::bytes;
use crate::support::process::Process;
use crate::support::requests;

fn lines(cassette: &Path) -> Vec<Value> {
    let text = fs::read_to_string(cassette.join("calls.jsonl")).unwrap();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn replay(cassette: &Path, socket: &Path) -> Process {
    let mut command = program();
    command.arg("replay").arg("--cassette").arg(cassette);
    Process::start(command.arg("--socket").arg(socket))
}

/// The begin of a message with a piece, whose content is 300 000 bytes of 7.
fn piece() -> Vec<u8> {
    use dfdaemon_api::common::v2::Piece;
    use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
    use dfdaemon_api::dfdaemon::v2::{
        DownloadPersistentCacheTaskResponse, DownloadPieceFinishedResponse,
    };
    use prost::Message as _;
    let piece = Piece {
        number: 3,
        content: Some(vec![7; 300_000].into()),
        ..Piece::default()
    };
    let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
    let message = DownloadPersistentCacheTaskResponse {
        task_id: "7".to_owned(),
        response: Some(Event::DownloadPieceFinishedResponse(finished)),
        ..DownloadPersistentCacheTaskResponse::default()
    };
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &bytes].concat()
}

/// A client that has seen enough in the middle of a message sees as much of it in a replay.
#[tokio::test]
async fn a_message_that_was_cut_is_played_as_far_as_it_came() {
    // In the prefix, before the content, in it, and one byte before the end.
    let whole = piece();
    for at in [7, 20, 100_000, whole.len() - 1] {
        let between = Between::recording(&[]);
        let cassette = between.dir.path().join("cassette");
        let (mut client, mut daemon) = between.pair().await;
        let (answer, mut send) = client.send_request(request(DOWNLOAD), true).unwrap();
        let (_seen, mut respond) = daemon.call().await.unwrap();
        let mut body = respond.send_response(opened(), false).unwrap();
        let going = daemon.go_on();
        body.send_data(Bytes::copy_from_slice(&whole[..at]), false)
            .unwrap();
        let mut answer = answer.await.unwrap().into_body();
        let mut came = 0;
        while came < at {
            let data = answer.data().await.unwrap().unwrap();
            answer.flow_control().release_capacity(data.len()).unwrap();
            came += data.len();
        }
        send.send_reset(Reason::CANCEL);
        let recorded = || lines(&cassette).len() == 1;
        Changes::at(&cassette)
            .until("the call is recorded", recorded)
            .await;
        going.abort();
        let message = &lines(&cassette)[0]["answer"]["messages"][0];
        assert_eq!(message["cut"], whole.len() - 5, "{message}");

        let socket = between.dir.path().join("replay");
        let _replay = replay(&cassette, &socket);
        let mut client = connect(&socket).await;
        let (answer, _send) = client.send_request(request(DOWNLOAD), true).unwrap();
        let mut answer = answer.await.unwrap().into_body();
        let mut played = Vec::new();
        while played.len() < at {
            let data = answer.data().await.unwrap().unwrap();
            answer.flow_control().release_capacity(data.len()).unwrap();
            played.extend_from_slice(&data);
        }
        assert!(played == whole[..at], "other bytes came at {at}");
    }
}

/// Which of the two comes first is chance: the client sends the same again.
#[tokio::test]
async fn a_call_that_was_refused_before_its_request_came_is_played_for_all_of_it() {
    let between = Between::recording(&[]);
    let cassette = between.dir.path().join("cassette");
    let (mut client, mut daemon) = between.pair().await;
    let (answer, _send) = client.send_request(request(DOWNLOAD), false).unwrap();
    let (_seen, mut respond) = daemon.call().await.unwrap();
    let mut refused = opened();
    let status = http::HeaderValue::from_static("12");
    refused.headers_mut().insert("grpc-status", status);
    respond.send_response(refused, true).unwrap();
    let going = daemon.go_on();
    answer.await.unwrap();
    let recorded = || lines(&cassette).len() == 1;
    Changes::at(&cassette)
        .until("the call is recorded", recorded)
        .await;
    going.abort();
    let call = &lines(&cassette)[0];
    assert_eq!(call["requests"], serde_json::json!([]));
    assert_eq!(call["requests_cut"], true);

    let socket = between.dir.path().join("replay");
    let _replay = replay(&cassette, &socket);
    let mut client = connect(&socket).await;
    let (answer, mut send) = client.send_request(request(DOWNLOAD), false).unwrap();
    send.send_data(Bytes::from_static(b"\0\0\0\0\x03\x0a\x017"), true)
        .unwrap();
    assert_eq!(answer.await.unwrap().headers()["grpc-status"], "12");
}

/// A stream that does not end, such as of health, is kept up to a bound, and played as far.
#[tokio::test]
async fn a_stream_without_end_does_not_grow_in_memory() {
    /// More than are kept of one call.
    const MESSAGES: usize = 150_000;
    /// A hundred bytes a message, and what a recorder takes that has nothing to do.
    const MOST: u64 = 160 << 20;
    let between = Between::recording(&[]);
    let cassette = between.dir.path().join("cassette");
    let (mut client, mut daemon) = between.pair().await;
    let watch = request("/grpc.health.v1.Health/Watch");
    let (answer, _) = client.send_request(watch, true).unwrap();
    let (_seen, mut respond) = daemon.call().await.unwrap();
    let mut body = respond.send_response(opened(), false).unwrap();
    let going = daemon.go_on();
    let serving = b"\0\0\0\0\x02\x08\x01".repeat(MESSAGES);
    body.send_data(serving.into(), false).unwrap();
    let mut end = http::HeaderMap::new();
    end.insert("grpc-status", http::HeaderValue::from_static("0"));
    body.send_trailers(end).unwrap();
    let (data, trailers) = read(answer.await.unwrap().into_body()).await.unwrap();
    assert_eq!(data.len(), 7 * MESSAGES);
    assert!(trailers.is_some());
    let recorded = || lines(&cassette).len() == 1;
    Changes::at(&cassette)
        .until("the call is recorded", recorded)
        .await;
    going.abort();
    let peak = between.peak_memory();
    assert!(peak < MOST, "{peak} bytes");
    let answer = &lines(&cassette)[0]["answer"];
    let kept = answer["messages"].as_array().unwrap().len();
    assert!(kept > 10_000, "{kept}");
    assert_eq!(answer["left_out"], MESSAGES - kept);

    let socket = between.dir.path().join("replay");
    let _replay = replay(&cassette, &socket);
    let mut client = connect(&socket).await;
    let watch = request("/grpc.health.v1.Health/Watch");
    let (answer, _send) = client.send_request(watch, true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    let mut played = 0;
    while played < 7 * kept {
        let data = answer.data().await.unwrap().unwrap();
        answer.flow_control().release_capacity(data.len()).unwrap();
        played += data.len();
    }
    // It goes on as a stream does that says nothing more, not as one that has ended.
    let more = std::future::poll_fn(|context| {
        std::task::Poll::Ready(answer.poll_data(context).is_ready())
    });
    assert!(!more.await);
}

/// Calls of all kinds, over and over.
async fn call_on(socket: std::path::PathBuf, file: std::path::PathBuf, round: usize) {
    let Ok(client) = Client::try_connect(&socket).await else {
        return;
    };
    for number in 0.. {
        let name = format!("{round}-{number}");
        let Ok(task) = client
            .import(requests::import_as(&file, &name, 1, 3600))
            .await
        else {
            return;
        };
        client.export(requests::transfer(&task.id)).await;
        if client.stat(&task.id).await.is_err() {
            return;
        }
    }
}

/// Whatever it was doing: every line is whole but the last, with its content, and is played.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_is_killed_at_any_instant_leaves_a_cassette_that_can_be_played() {
    let daemon = FakeDfdaemon::builder().hosts(1).start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for round in 0..12 {
        let (socket, cassette) = (dir.path().join("in"), dir.path().join(format!("c{round}")));
        let file = dir.path().join(format!("file{round}"));
        fs::write(&file, bytes(round + 1, 300_000)).unwrap();
        let mut command = record(daemon.endpoint(), &cassette);
        let recorder = Process::start(command.arg("--socket").arg(&socket));
        let round = usize::try_from(round).unwrap();
        let clients: Vec<_> = (0..3)
            .map(|client| tokio::spawn(call_on(socket.clone(), file.clone(), 10 * round + client)))
            .collect();
        // In the middle of whatever comes then.
        let enough = || fs::read(cassette.join("calls.jsonl")).unwrap().len() > 400 * round;
        Changes::at(&cassette)
            .until("some calls are recorded", enough)
            .await;
        recorder.kill();
        for client in clients {
            client.await.unwrap();
        }
        let lines = lines(&cassette);
        for line in &lines {
            let mut contents = vec![&line["source"]["content"]];
            contents.extend(
                line["answer"]["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|message| &message["content"]),
            );
            for content in contents.into_iter().filter(|content| !content.is_null()) {
                let name = content["sha256"].as_str().unwrap();
                let bytes = fs::read(cassette.join("content").join(name)).unwrap();
                let digest = Sha256::digest(&bytes);
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(hex, name);
                assert_eq!(bytes.len(), content["length"]);
            }
        }
        seen += lines.len();
        let replay = replay(&cassette, &socket);
        assert_eq!(replay.ready["calls"], lines.len());
    }
    assert!(seen > 12, "{seen} calls");
}
