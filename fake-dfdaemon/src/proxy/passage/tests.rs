use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::*;

/// What one side sends: frames whose content has these lengths, or anything.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![0..300_usize, 60_000..70_000_usize, 200_000..600_000_usize];
    let frame = (0..10_u8, any::<u8>(), 0..9_u32, lengths);
    let frames = prop::collection::vec(frame, 0..12).prop_map(|frames| {
        let mut bytes = Vec::new();
        for (kind, flags, stream, length) in frames {
            bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
            bytes.extend([kind, flags]);
            bytes.extend(stream.to_be_bytes());
            let content = (0..length).map(|at| (at * 31 + at / 251) as u8);
            bytes.extend(content);
        }
        bytes
    });
    prop_oneof![4 => frames, 1 => prop::collection::vec(any::<u8>(), 0..5000)]
}

/// A client, a daemon, and what passes their bytes.
fn between(
    graceful: &CancellationToken,
) -> (UnixStream, UnixStream, impl Future<Output = ()> + use<>) {
    let (client, near) = UnixStream::pair().unwrap();
    let (far, daemon) = UnixStream::pair().unwrap();
    let graceful = graceful.clone();
    let passing = async move { pass(near, far, &graceful, &CancellationToken::new()).await };
    (client, daemon, passing)
}

async fn send(mut side: impl AsyncWrite + Unpin, bytes: &[u8], part: usize) {
    for part in bytes.chunks(part) {
        side.write_all(part).await.unwrap();
    }
    side.shutdown().await.unwrap();
}

async fn receive(mut side: impl AsyncRead + Unpin, part: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; part];
    loop {
        match side.read(&mut buffer).await.unwrap() {
            0 => return all,
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn every_byte_passes_each_way_whatever_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let case = (sent(), sent(), 1..400_000_usize, 1..400_000_usize);
    let mut runner = TestRunner::new(Config::with_cases(40));
    let law = |(asked, answered, write, read): (Vec<u8>, Vec<u8>, usize, usize)| {
        // Else it takes long.
        let write = write.max(asked.len().max(answered.len()) / 5000);
        let read = read.max(asked.len().max(answered.len()) / 5000);
        runtime.block_on(async {
            let (client, daemon, passing) = between(&CancellationToken::new());
            let (from_daemon, to_daemon) = client.into_split();
            let (from_client, to_client) = daemon.into_split();
            let ((), (), (), at_daemon, at_client) = tokio::join!(
                passing,
                send(to_daemon, &asked, write),
                send(to_client, &answered, write),
                receive(from_client, read),
                receive(from_daemon, read),
            );
            prop_assert!(at_daemon == asked, "other bytes came to the daemon");
            prop_assert!(at_client == answered, "other bytes came to the client");
            Ok(())
        })
    };
    runner.run(&case, law).unwrap();
}

/// Time stands still unless all wait for it.
#[tokio::test(start_paused = true)]
async fn the_end_of_one_side_is_the_end_of_the_other_at_once() {
    for is_client in [true, false] {
        let (client, daemon, passing) = between(&CancellationToken::new());
        let passing = tokio::spawn(passing);
        let began = Instant::now();
        let (goes, mut stays) = match is_client {
            true => (client, daemon),
            false => (daemon, client),
        };
        drop(goes);
        assert_eq!(stays.read(&mut [0]).await.unwrap(), 0);
        drop(stays);
        passing.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_never_closes_its_end_is_left() {
    let (client, _daemon, passing) = between(&CancellationToken::new());
    drop(client);
    tokio::time::timeout(LINGER * 10, passing).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_calls_ends_when_it_is_to_end_and_one_with_calls_behind_them() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADERS: [u8; 10] = [0, 0, 1, 1, 4, 0, 0, 0, 1, 0x82];
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const WINDOW: [u8; 13] = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const ANSWER: [u8; 12] = [0, 0, 3, 0, 1, 0, 0, 0, 1, 7, 8, 9];
    let began = Instant::now();
    // Nothing was said yet; nothing is asked; a call waits for its answer.
    for (asks, answers) in [(false, false), (false, true), (true, true)] {
        let graceful = CancellationToken::new();
        let (mut client, mut daemon, passing) = between(&graceful);
        let passing = tokio::spawn(passing);
        if answers {
            client.write_all(PREFACE).await.unwrap();
            daemon.read_exact(&mut [0; 24]).await.unwrap();
            daemon.write_all(&SETTINGS).await.unwrap();
            client.read_exact(&mut [0; 9]).await.unwrap();
        }
        if asks {
            client.write_all(&HEADERS).await.unwrap();
            daemon.read_exact(&mut [0; 10]).await.unwrap();
            // The frame has begun when the end comes.
            daemon.write_all(&ANSWER[..10]).await.unwrap();
            client.read_exact(&mut [0; 10]).await.unwrap();
        }
        graceful.cancel();
        let mut received = Vec::new();
        if asks {
            let silent = tokio::time::timeout(LINGER / 4, client.read_u8()).await;
            assert!(silent.is_err(), "something came in the middle of a frame");
            daemon.write_all(&ANSWER[10..]).await.unwrap();
        }
        client.read_to_end(&mut received).await.unwrap();
        let rest = if asks { &ANSWER[10..] } else { &[] };
        assert!(received.starts_with(rest), "{received:?}");
        // No more calls are taken: GOAWAY.
        let goaway = received.get(rest.len() + 3);
        assert_eq!(goaway.is_some(), answers, "{received:?}");
        assert!(goaway.is_none_or(|kind| *kind == 7), "{received:?}");
        // A client that returns window after the end does not break its connection.
        for _ in 0..100 {
            client.write_all(&WINDOW).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(client);
        passing.await.unwrap();
    }
    assert!(began.elapsed() < LINGER, "{:?}", began.elapsed());
}
