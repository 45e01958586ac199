//! The journal as a test asks it.

use std::time::Duration;

use fake_dfdaemon::{Code, FakeDfdaemon, Query, Rpc, WaitError, block_on};

use crate::support::client::Client;
use crate::support::runtime;

fn stat_once(daemon: &FakeDfdaemon) {
    let endpoint = daemon.endpoint().to_owned();
    runtime().block_on(async {
        Client::connect(&endpoint)
            .await
            .stat("7")
            .await
            .unwrap_err();
    });
}

#[test]
fn calls_that_are_expected_are_returned() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    daemon.journal().expect(Rpc::Stat, ..1);
    stat_once(&daemon);
    assert_eq!(daemon.journal().expect(Rpc::Stat, 1..).len(), 1);
    daemon.journal().expect(Rpc::Stat, 1..=1);
}

#[test]
#[should_panic(expected = "0 import calls have ended, expected 1..; near misses:\n  ")]
fn calls_that_did_not_come_panic_with_those_that_came_near() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    stat_once(&daemon);
    daemon.journal().expect(Rpc::Import, 1..);
}

#[test]
#[should_panic(expected = "2 stat calls have ended, expected ..=1; the latest:\n  \
                call 2 (stat on host-0): INTERNAL\n  call 1 (stat on host-0): INTERNAL")]
fn calls_that_are_too_many_are_named() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    stat_once(&daemon);
    stat_once(&daemon);
    daemon.journal().expect(Rpc::Stat, ..=1);
}

#[test]
fn a_call_that_is_waited_for_is_returned_when_it_has_ended() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    let missing = || Query::of(Rpc::Stat).status(Code::Internal).host("host-0");
    std::thread::scope(|scope| {
        // Without a runtime, and before the calls come.
        let wait = daemon.journal().wait_for(missing().task("7")).count(2);
        let waiting = scope.spawn(|| block_on(wait));
        stat_once(&daemon);
        stat_once(&daemon);
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    });
    // They are there already.
    assert_eq!(
        block_on(daemon.journal().wait_for(missing()))
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_call_that_does_not_come_is_given_up_and_what_comes_near_is_named() {
    let daemon = FakeDfdaemon::builder()
        .manual_clock()
        .start()
        .await
        .unwrap();
    let journal = daemon.journal();
    let imports = || {
        journal
            .wait_for(Rpc::Import)
            .within(Duration::from_millis(20))
    };
    let given_up = imports().await.unwrap_err();
    assert_eq!(
        given_up.to_string(),
        "0 of 1 calls ended within 20ms; there are no calls that come near"
    );
    let client = Client::connect(daemon.endpoint()).await;
    client.stat("7").await.unwrap_err();
    let given_up = imports().await.unwrap_err();
    let text = "0 of 1 calls ended within 20ms; near misses:\n  call 1 (stat on host-0): rpc is stat, not import";
    assert!(
        matches!(&given_up, WaitError::TimedOut(message) if message == text),
        "{given_up}"
    );
    assert_eq!(format!("{given_up:?}"), text);
}
