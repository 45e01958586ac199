//! The tests that docs/rust.md shows: what a program does to a fake that its test starts, and to what a
//! recorder saw.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use fake_dfdaemon::{Code, FakeDfdaemon, Fault, Rpc};

#[tokio::test]
async fn stat_says_that_the_daemon_is_gone() -> Result<(), Box<dyn Error>> {
    let daemon = FakeDfdaemon::builder()
        .hosts(3)
        .manual_clock()
        .start()
        .await?; // ready when it returns
    let gone = Fault::on(Rpc::Stat).error(Code::Unavailable);
    let _gone = daemon.fault(gone); // until it is dropped

    // The program under test: CARGO_BIN_EXE_<name> is the path of a binary of the same package.
    // This blocks the test's thread. The fake has a thread of its own.
    let program = Command::new(env!("CARGO_BIN_EXE_dfcache"))
        .args(["stat", "--log-max-files", "0", "3954905097"])
        .env("DFCACHE_ENDPOINT", daemon.endpoint())
        .output()?;
    assert_eq!(program.status.code(), Some(5));

    daemon.clock().advance(Duration::from_secs(3600))?;
    daemon.settle().await; // what was due by then is done
    assert_eq!(daemon.journal().calls(Rpc::Stat).len(), 1);
    Ok(())
}

use fake_dfdaemon::{Recorder, Replay};

#[tokio::test]
async fn a_dfdaemon_is_not_there_and_answers() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let cassette = directory.path().join("cassette");
    let stat = |endpoint: &std::path::Path| {
        let mut stat = Command::new(env!("CARGO_BIN_EXE_dfcache"));
        stat.args(["stat", "--log-max-files", "0", "3954905097"]);
        stat.env("DFCACHE_ENDPOINT", endpoint).output()
    };
    let daemon = FakeDfdaemon::builder().start().await?; // or a real one, by its socket
    let recorder = Recorder::builder(daemon.endpoint(), &cassette)
        .start()
        .await?;
    let recorded = stat(recorder.endpoint())?;
    assert_eq!(recorder.stop().await?, 1); // one call is in the cassette
    daemon.stop().await;

    let replay = Replay::builder(&cassette).any_order().start().await?;
    assert_eq!(stat(replay.endpoint())?, recorded);
    let _slow = replay.fault(Fault::on(Rpc::Stat).error(Code::Unavailable));
    assert_eq!(stat(replay.endpoint())?.status.code(), Some(5));
    assert_eq!(replay.misses(), 0);
    Ok(())
}
