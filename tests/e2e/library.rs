//! The test that docs/rust.md shows: what a program does to a fake that its test starts.

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
