//! Calls that pass through: neither side can tell.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Response};
use rustix::process::Signal;

use super::raw::{Between, fill, opened, read, request};
use crate::support::client::Client;
use crate::support::content::bytes;
use crate::support::requests;
use crate::support::world::ended;

/// What the header below says.
const CALL_TIME: Duration = Duration::from_millis(1);

/// Each with a proxy that passes calls on, and with one that looks into them.
macro_rules! both {
    ($($name:ident,)*) => {
        $(mod $name {
            use super::super::raw::Between;

            #[tokio::test]
            async fn plain() {
                super::$name(Between::start()).await;
            }

            #[tokio::test]
            async fn looked_into() {
                super::$name(Between::with_journal()).await;
            }
        })*
    };
}

both! {
    heads_bytes_and_trailers_pass_as_they_are,
    an_answer_without_a_stream_and_an_empty_stream_stay_what_they_are,
    resets_of_the_daemon_pass_with_their_reason,
    a_cancellation_by_the_client_reaches_the_daemon,
    a_daemon_that_dies_takes_its_clients_connection_along,
    a_client_that_goes_away_takes_its_connection_along,
    a_reader_that_stalls_stalls_its_daemon_and_nobody_else,
    a_proxy_that_ends_lets_a_call_end_and_takes_no_other,
}

/// That something ends, and does not hang.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(testkit::wait::HANGS, what).await;
    done.expect("it hangs")
}

async fn heads_bytes_and_trailers_pass_as_they_are(between: Between) {
    let (mut client, mut daemon) = between.pair().await;
    let mut asked = request("/no.such.Service/Méthode".replace('é', "%C3%A9").as_str());
    for (name, value) in [
        ("grpc-timeout", "1m"),
        ("x-twice", "one"),
        ("x-twice", "two"),
        ("x-odd-bin", "AAEC/w"),
        ("user-agent", "grpc-odd/0.1"),
    ] {
        asked
            .headers_mut()
            .append(name, HeaderValue::from_static(value));
    }
    let expected = asked.clone();
    let (answer, mut send) = client.send_request(asked, false).unwrap();
    // No message of gRPC at all, in parts of odd lengths.
    let sent = bytes(1, 100_001);
    for part in sent.chunks(33_333) {
        send.send_data(Bytes::copy_from_slice(part), false).unwrap();
    }
    let mut last = HeaderMap::new();
    last.insert("x-client", HeaderValue::from_static("trails"));
    send.send_trailers(last.clone()).unwrap();

    let (seen, mut respond) = daemon.call().await.unwrap();
    assert_eq!(seen.uri(), expected.uri());
    assert_eq!(seen.headers(), expected.headers());
    // The call's time is over, and the proxy has not enforced it.
    testkit::wait::real_time(5 * CALL_TIME).await;
    let going = daemon.go_on();
    let (data, trailers) = read(seen.into_body()).await.unwrap();
    assert!(data == sent, "other bytes came");
    assert_eq!(trailers, Some(last));

    let head = Response::builder()
        .header("content-type", "application/grpc+odd")
        .header("x-twice", "three")
        .header("x-twice", "four");
    let mut body = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    let back = bytes(2, 65_537);
    body.send_data(back.clone().into(), false).unwrap();
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static("13"));
    end.insert("grpc-message", HeaderValue::from_static("caf%C3%A9"));
    end.insert("grpc-status-details-bin", HeaderValue::from_static("/wAB"));
    body.send_trailers(end.clone()).unwrap();

    let (head, body) = answer.await.unwrap().into_parts();
    let twice: Vec<_> = head.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["three", "four"]);
    assert_eq!(head.headers.len(), 3, "{:?}", head.headers);
    let (data, trailers) = read(body).await.unwrap();
    assert!(data == back, "other bytes came");
    assert_eq!(trailers, Some(end));
    going.abort();
}

async fn an_answer_without_a_stream_and_an_empty_stream_stay_what_they_are(between: Between) {
    let (mut client, mut daemon) = between.pair().await;
    let details = HeaderValue::from_bytes("A".repeat(20_000).as_bytes()).unwrap();
    for is_whole in [true, false] {
        let (answer, _) = client.send_request(request("/a/b"), true).unwrap();
        let (seen, mut respond) = daemon.call().await.unwrap();
        assert!(seen.body().is_end_stream(), "the request was whole");
        let mut head = opened();
        let mut status = HeaderMap::new();
        status.insert("grpc-status", HeaderValue::from_static("5"));
        status.insert("grpc-status-details-bin", details.clone());
        if is_whole {
            head.headers_mut().extend(status.clone());
        }
        let mut body = respond.send_response(head.clone(), is_whole).unwrap();
        if !is_whole {
            body.send_trailers(status.clone()).unwrap();
        }
        let read = async {
            let answer = answer.await.unwrap();
            assert_eq!(answer.body().is_end_stream(), is_whole);
            assert_eq!(answer.headers(), head.headers());
            let (data, trailers) = read(answer.into_body()).await.unwrap();
            assert!(data.is_empty());
            assert_eq!(trailers, (!is_whole).then_some(status));
        };
        tokio::select! {
            () = read => {}
            _ = daemon.call() => unreachable!("there is one call"),
        }
    }
}

async fn resets_of_the_daemon_pass_with_their_reason(between: Between) {
    let (mut client, mut daemon) = between.pair().await;
    for reason in [Reason::REFUSED_STREAM, Reason::ENHANCE_YOUR_CALM] {
        // Before there is an answer.
        let (answer, _) = client.send_request(request("/a/b"), true).unwrap();
        let (_seen, mut respond) = daemon.call().await.unwrap();
        respond.send_reset(reason);
        let failed = tokio::select! {
            failed = answer => failed.unwrap_err(),
            _ = daemon.call() => unreachable!("there is one call"),
        };
        assert_eq!(failed.reason(), Some(reason));
        // In the middle of one.
        let (answer, _) = client.send_request(request("/a/b"), true).unwrap();
        let (_seen, mut respond) = daemon.call().await.unwrap();
        let mut body = respond.send_response(opened(), false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let failed = async {
            let mut answer = answer.await.unwrap().into_body();
            assert_eq!(answer.data().await.unwrap().unwrap(), "abc");
            body.send_reset(reason);
            answer.data().await.unwrap().unwrap_err()
        };
        let failed = tokio::select! {
            failed = failed => failed,
            _ = daemon.call() => unreachable!("there is one call"),
        };
        assert_eq!(failed.reason(), Some(reason));
    }
}

async fn a_cancellation_by_the_client_reaches_the_daemon(between: Between) {
    for answers in [false, true] {
        let (mut client, mut daemon) = between.pair().await;
        let (answer, mut send) = client.send_request(request("/a/b"), true).unwrap();
        let (_seen, mut respond) = daemon.call().await.unwrap();
        let going = daemon.go_on();
        if answers {
            let mut body = respond.send_response(opened(), false).unwrap();
            let answer = answer.await.unwrap();
            send.send_reset(Reason::CANCEL);
            let reset = std::future::poll_fn(|context| body.poll_reset(context));
            assert_eq!(in_time(reset).await.unwrap(), Reason::CANCEL);
            drop(answer);
        } else {
            send.send_reset(Reason::CANCEL);
            let reset = std::future::poll_fn(|context| respond.poll_reset(context));
            assert_eq!(in_time(reset).await.unwrap(), Reason::CANCEL);
        }
        going.abort();
    }
}

/// A daemon that dies says no status, and a proxy makes none up.
async fn a_daemon_that_dies_takes_its_clients_connection_along(between: Between) {
    for answers in [false, true] {
        let (mut client, mut daemon) = between.pair().await;
        let (answer, _) = client.send_request(request("/a/b"), true).unwrap();
        let (_seen, mut respond) = daemon.call().await.unwrap();
        let failed = if answers {
            let mut body = respond.send_response(opened(), false).unwrap();
            body.send_data(Bytes::from_static(b"abc"), false).unwrap();
            let first = async {
                let mut answer = answer.await.unwrap().into_body();
                assert_eq!(answer.data().await.unwrap().unwrap(), "abc");
                answer
            };
            let mut answer = tokio::select! {
                answer = first => answer,
                _ = daemon.call() => unreachable!("there is one call"),
            };
            drop(daemon);
            answer.data().await.unwrap().unwrap_err()
        } else {
            drop(daemon);
            answer.await.unwrap_err()
        };
        assert!(failed.is_io(), "{failed:?}");
        // And others come in.
        between.pair().await;
    }
}

async fn a_client_that_goes_away_takes_its_connection_along(between: Between) {
    let (mut client, mut daemon) = between.pair().await;
    let (answer, send) = client.send_request(request("/a/b"), true).unwrap();
    let (_seen, _respond) = daemon.call().await.unwrap();
    drop((answer, send, client));
    assert!(in_time(daemon.call()).await.is_none(), "there was one call");
}

async fn a_reader_that_stalls_stalls_its_daemon_and_nobody_else(between: Between) {
    /// What the two windows, the buffers beside them and the kernel hold, and some.
    const MOST: usize = 6 << 20;
    let (mut client, mut daemon) = between.pair().await;
    let (answer, mut send) = client.send_request(request("/a/b"), false).unwrap();
    let (_seen, mut respond) = daemon.call().await.unwrap();
    let mut body = respond.send_response(opened(), false).unwrap();
    let going = daemon.go_on();
    let _answer = answer.await.unwrap();
    // In either direction, while another client gets more.
    let (mut down, mut up) = (0, 0);
    tokio::select! {
        () = fill(&mut body, MOST, &mut down) => panic!("the daemon sends on"),
        () = fill(&mut send, MOST, &mut up) => panic!("the client sends on"),
        () = in_time(another_gets(&between, 4 * MOST)) => {}
    }
    assert!(down > 0 && up > 0, "{down} and {up} bytes");
    going.abort();
}

/// Another client gets an answer of at least so many bytes.
async fn another_gets(between: &Between, length: usize) {
    let (mut client, mut daemon) = between.pair().await;
    let (answer, _) = client.send_request(request("/c/d"), true).unwrap();
    let (_seen, mut respond) = daemon.call().await.unwrap();
    let mut body = respond.send_response(opened(), false).unwrap();
    let going = daemon.go_on();
    let sending = async {
        fill(&mut body, length, &mut 0).await;
        body.send_data(Bytes::new(), true).unwrap();
    };
    let reading = async { read(answer.await.unwrap().into_body()).await.unwrap() };
    let ((got, _), ()) = tokio::join!(reading, sending);
    assert!(got.len() >= length, "{} bytes", got.len());
    going.abort();
}

async fn a_proxy_that_ends_lets_a_call_end_and_takes_no_other(between: Between) {
    let (mut client, mut daemon) = between.pair().await;
    let (answer, _) = client.send_request(request("/a/b"), true).unwrap();
    let (_seen, mut respond) = daemon.call().await.unwrap();
    let mut body = respond.send_response(opened(), false).unwrap();
    let going = daemon.go_on();
    let answer = answer.await.unwrap().into_body();
    between.signal(Signal::TERM);
    // It has answered the client by then.
    let answered = async {
        let mut is_refused = async || {
            std::future::poll_fn(|context| client.poll_ready(context))
                .await
                .is_err()
        };
        while !is_refused().await {
            tokio::task::yield_now().await;
        }
    };
    in_time(answered).await;
    // More than the client's window: it returns some, perhaps to a proxy that has sent everything.
    let content = bytes(5, 300_000);
    body.send_data(content.clone().into(), false).unwrap();
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(end.clone()).unwrap();
    let (data, trailers) = read(answer).await.unwrap();
    assert!(data == content, "other bytes came");
    assert_eq!(trailers, Some(end));
    going.abort();
}

/// What a client does through it, it does as without it: many at a time.
#[tokio::test]
async fn many_clients_at_a_time_get_what_they_ask_for() {
    const CLIENTS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    let daemon = fake_dfdaemon::FakeDfdaemon::builder().hosts(1);
    let daemon = daemon.start().await.unwrap();
    let socket = dir.path().join("in");
    let command = &mut super::raw::proxy(daemon.endpoint(), &socket);
    let _proxy = crate::support::process::Process::start(command);
    let file = dir.path().join("file");
    let content = bytes(3, (8 << 20) + 5);
    std::fs::write(&file, &content).unwrap();
    let first = Client::connect(&socket).await;
    let task = first
        .import(requests::import(&file, 1, 3600))
        .await
        .unwrap();
    assert_eq!(first.health("").await.unwrap(), 1);
    let missing = first.stat("0").await.unwrap_err();
    let direct = Client::connect(daemon.endpoint()).await;
    let as_is = direct.stat("0").await.unwrap_err();
    assert_eq!(missing.message(), as_is.message());
    let id = task.id;
    let task = direct.stat(&id).await.unwrap();
    let clients = (0..CLIENTS).map(|_| async {
        let client = Client::connect(&socket).await;
        assert_eq!(client.stat(&id).await.unwrap(), task);
        let exported = client.export(requests::transfer(&id)).await.ok();
        assert!(exported.content() == content, "other bytes came");
    });
    futures_util::future::join_all(clients).await;
    drop((first, direct));
    ended(&daemon, fake_dfdaemon::Rpc::Export, CLIENTS).await;
    daemon.stop().await;
}
