//! What stays when a command has failed, and for how long.

use std::fs;

use crate::run::sandbox::Sandbox;
use crate::support::process::names;

/// The directory that a message names.
fn kept(said: &str) -> String {
    let start = said.find("kept in ").unwrap() + "kept in ".len();
    said[start..].split([',', '\n']).next().unwrap().to_owned()
}

#[test]
fn the_state_of_a_command_that_failed_is_kept_and_named_if_asked_for() {
    let w = Sandbox::new();
    let script = r#"echo content > file; "$0" ctl faults add 'stat:stall' >&2; exit 3"#;
    let ended = w.run(
        &["--keep-on-failure"],
        &["sh", "-c", script, env!("CARGO_BIN_EXE_fake-dfdaemon")],
    );
    let ended = ended.exits_with(3).says("journal.jsonl");
    let state = kept(&ended.stderr);
    assert!(fs::metadata(&state).unwrap().is_dir());
    assert!(
        !names(state.as_ref())
            .iter()
            .any(|name| name.ends_with(".sock"))
    );
    assert!(names(state.as_ref()).contains(&"journal.jsonl".to_owned()));
    // Later starts sweep what was killed, and never this.
    for _ in 0..3 {
        w.run(&[], &["true"]).exits_with(0);
    }
    assert!(fs::metadata(&state).is_ok(), "it was swept");
    // It is a state directory like any other.
    w.run(&["--state-dir", &state], &["true"]).exits_with(0);
    assert_eq!(names(&w.tmp()).len(), 1);
}

#[test]
fn nothing_is_kept_of_a_command_that_ended_well_or_when_not_asked_for() {
    let w = Sandbox::new();
    let ended = w.run(&["--keep-on-failure"], &["true"]).exits_with(0);
    assert_eq!(ended.stderr, "");
    let ended = w.run(&[], &["false"]).exits_with(1);
    assert_eq!(ended.stderr, "");
    w.leaves_nothing();
}

#[test]
fn a_command_that_died_or_is_not_there_has_failed_too() {
    let w = Sandbox::new();
    let killed = w
        .run_script(&["--keep-on-failure"], "kill -KILL $$")
        .exits_with(137);
    assert!(fs::metadata(kept(&killed.stderr)).is_ok());
    let missing = w
        .run(&["--keep-on-failure"], &["no-such-command"])
        .exits_with(127);
    assert!(fs::metadata(kept(&missing.stderr)).is_ok());
}

#[test]
fn a_given_state_persists_from_run_to_run() {
    let w = Sandbox::new();
    let ctl = env!("CARGO_BIN_EXE_fake-dfdaemon");
    fs::create_dir(w.path("fixtures")).unwrap();
    fs::write(w.path("fixtures/a"), "content").unwrap();
    let state = ["--state-dir", "state"];
    let options = [&state[..], &["--preload", "fixtures"]].concat();
    w.run(&options, &["true"]).exits_with(0);
    let ended = w
        .run(&state, &[ctl, "ctl", "--format", "json", "tasks"])
        .exits_with(0);
    let tasks: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(tasks["tasks"][0]["content_length"], 7);
    assert!(
        !names(&w.path("state"))
            .iter()
            .any(|name| name.ends_with(".sock"))
    );
    w.leaves_nothing();
}
