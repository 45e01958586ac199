//! The journal as a test asks it.

use fake_dfdaemon::{FakeDfdaemon, Rpc};

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
