//! What stays of a fake when the test fails that holds it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use fake_dfdaemon::{Builder, FakeDfdaemon};

/// Where a fake had its state whose holder panicked.
fn state_after_a_panic(builder: Builder) -> PathBuf {
    let mut state = None;
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let daemon = builder.start_blocking().unwrap();
        state = Some(daemon.state_dir().to_owned());
        panic!("as a test does that fails");
    }));
    failed.unwrap_err();
    state.unwrap()
}

#[test]
fn the_state_stays_after_a_panic_if_that_was_asked_for() {
    let state = state_after_a_panic(FakeDfdaemon::builder().keep_state_on_panic());
    assert!(state.join("journal.jsonl").is_file(), "{}", state.display());
    // No later start sweeps it.
    drop(FakeDfdaemon::start_blocking().unwrap());
    assert!(state.join("state.json").is_file());
    fs::remove_dir_all(state).unwrap();

    let state = state_after_a_panic(FakeDfdaemon::builder());
    assert!(!state.exists(), "{}", state.display());
}

#[test]
fn a_state_that_is_given_up_without_a_panic_goes() {
    let builder = FakeDfdaemon::builder().keep_state_on_panic();
    let daemon = builder.start_blocking().unwrap();
    let state = daemon.state_dir().to_owned();
    drop(daemon);
    assert!(!state.exists());
}
