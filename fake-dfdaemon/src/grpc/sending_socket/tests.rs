use std::convert::Infallible;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use tokio::net::UnixStream;

use super::*;
use crate::grpc::chunk::MOST;
use crate::grpc::content_body::{ContentBody, Parts, ServedBody, channel};

/// What a receiver takes at a time, in bytes.
#[derive(Clone, Copy, Debug)]
struct Windows {
    stream: u32,
    frame: u32,
}

/// A connection over which one answer comes, which has this body.
async fn answer(body: ContentBody, windows: Windows) -> h2::RecvStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let handoff = Handoff::default();
    let socket = SendingSocket::new(Stream::Left(ours), handoff.clone());
    let body = std::sync::Mutex::new(Some(ServedBody::Content(body).sent_by(handoff)));
    let service = hyper::service::service_fn(move |_: http::Request<Incoming>| {
        let body = body.lock().unwrap().take().unwrap();
        std::future::ready(Ok::<_, Infallible>(http::Response::new(body)))
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
    let mut client = h2::client::Builder::new();
    client
        .initial_window_size(windows.stream)
        .max_frame_size(windows.frame);
    let (mut sender, connection) = client.handshake::<_, Bytes>(theirs).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://localhost/").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    response.await.unwrap().into_body()
}

/// The next bytes; none at the end.
async fn next(answer: &mut h2::RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let bytes = answer.data().await.transpose()?;
    if let Some(bytes) = &bytes {
        answer.flow_control().release_capacity(bytes.len())?;
    }
    Ok(bytes)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 3 + 1) as u8 | 1).collect()
}

fn file_of(content: &[u8]) -> Arc<File> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(content, 0).unwrap();
    Arc::new(file)
}

/// Sends parts that end at these places: every other one out of memory, the others out of the file.
async fn send(parts: Parts, content: Vec<u8>, file: Arc<File>, ends: Vec<usize>) {
    let mut start = 0;
    for (number, end) in ends.into_iter().enumerate() {
        let is_read = if number % 2 == 0 {
            let bytes = Bytes::copy_from_slice(&content[start..end]);
            parts.send(bytes).await
        } else {
            let range = start as u64..end as u64;
            parts.send_file(Arc::clone(&file), range).await
        };
        assert!(is_read);
        start = end;
    }
    parts.end(None).await;
}

async fn received(content: Vec<u8>, ends: Vec<usize>, windows: Windows) -> Vec<u8> {
    let (parts, body) = channel();
    let file = file_of(&content);
    let mut answer = answer(body, windows).await;
    tokio::spawn(send(parts, content, file, ends));
    let mut received = Vec::new();
    while let Some(bytes) = next(&mut answer).await.unwrap() {
        received.extend_from_slice(&bytes);
    }
    received
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #[test]
    fn parts_of_files_arrive_among_others_however_they_are_cut(
        lengths in prop::collection::vec(prop_oneof![0..600_usize, 0..60_000_usize], 1..6),
        stream in prop_oneof![200..2_000_u32, 10_000..5_000_000_u32],
        frame in 16_384..1_000_000_u32,
    ) {
        let mut end = 0;
        let ends = lengths.iter().map(|length| {
            end += length;
            end
        });
        let ends: Vec<_> = ends.collect();
        let content = content(end);
        let windows = Windows { stream, frame };
        let received = runtime().block_on(received(content.clone(), ends, windows));
        prop_assert!(received == content);
    }
}

#[tokio::test]
async fn parts_as_long_as_they_get_arrive() {
    let content = content(17 * MOST);
    let ends = (0..=17).map(|part| part * MOST).collect();
    let windows = Windows {
        stream: 4 << 20,
        frame: 1 << 20,
    };
    assert!(received(content.clone(), ends, windows).await == content);
}

#[tokio::test]
async fn a_file_that_is_cut_meanwhile_breaks_the_connection_and_nothing_else_is_sent() {
    const LEFT: usize = 100_000;
    let whole = content(MOST);
    // The second beginning lies where the library copies the start of a frame.
    for left in [LEFT, 65_535] {
        let (parts, body) = channel();
        let file = file_of(&whole);
        let windows = Windows {
            stream: 65_535,
            frame: 16_384,
        };
        let mut answer = answer(body, windows).await;
        assert!(parts.send_file(Arc::clone(&file), 0..MOST as u64).await);
        // All that the window lets through has come by then, or is on its way.
        let mut received = Vec::new();
        while received.len() < 65_535 {
            let bytes = answer.data().await.unwrap().unwrap();
            received.extend_from_slice(&bytes);
        }
        file.set_len(left as u64).unwrap();
        answer
            .flow_control()
            .release_capacity(received.len())
            .unwrap();
        let broken = loop {
            match next(&mut answer).await {
                Ok(Some(bytes)) => received.extend_from_slice(&bytes),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken, "it ended as if that were all");
        assert!(received.len() <= left && whole.starts_with(&received));
    }
}
