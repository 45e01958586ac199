//! Signals: passed on to the command, and nothing outlives them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::process::names;
use crate::world::{Running, World, is_alive};

#[test]
fn signals_are_passed_on_and_the_commands_end_is_waited_for() {
    for (signal, name, number) in [
        (Signal::TERM, "TERM", 15),
        (Signal::INT, "INT", 2),
        (Signal::HUP, "HUP", 1),
    ] {
        // One that does not mind, and one that has something to put away first.
        let w = World::new();
        let running = w.start_script(&[], "echo ready; exec sleep 60");
        running.signal(signal);
        running.wait().exits_with(128 + number);
        let script = format!(
            "trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
        );
        let running = w.start_script(&[], &script);
        running.signal(signal);
        let ended = running.wait().exits_with(7);
        assert_eq!(ended.stdout, format!("got {name}\n"));
        w.leaves_nothing();
    }
}

/// From the moment on that others can know of the daemon.
#[test]
fn a_signal_at_once_after_the_ready_file_leaves_nothing() {
    let w = World::new();
    for _ in 0..10 {
        let mut program = w.program();
        program.args(["run", "--ready-file", "ready.json", "--", "sleep", "60"]);
        let child = program.spawn().unwrap();
        while !w.path("ready.json").exists() {
            std::thread::yield_now();
        }
        let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        let ended = crate::world::ended(child.wait_with_output().unwrap());
        ended.exits_with(143);
        w.leaves_nothing();
        assert!(!w.path("ready.json").exists());
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it never came to be that {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_command_does_not_outlive_a_daemon_that_is_killed_and_the_next_start_sweeps() {
    let w = World::new();
    let running = w.start_script(&[], "echo $$; exec sleep 60");
    let command = running.line.clone();
    assert!(is_alive(&command));
    running.signal(Signal::KILL);
    until("the command is gone", || !is_alive(&command));
    assert_eq!(names(&w.tmp()).len(), 1, "a killed daemon removes nothing");
    w.run(&[], &["true"]).exits_with(0);
    w.leaves_nothing();
}

#[test]
fn a_daemon_whose_stdin_is_closed_stops_if_it_was_asked_to() {
    let w = World::new();
    let mut program = w.program();
    program
        .args(["serve", "--exit-on-stdin-close"])
        .stdin(Stdio::piped());
    let mut running = Running::start(program);
    assert!(
        running.line.starts_with("{\"event\":\"ready\""),
        "{}",
        running.line
    );
    running.close_stdin();
    running.wait().exits_with(0);
    w.leaves_nothing();
    // Not asked, it stays.
    let mut program = w.program();
    program.arg("serve").stdin(Stdio::piped());
    let mut running = Running::start(program);
    running.close_stdin();
    let control = serde_json::from_str::<serde_json::Value>(&running.line).unwrap();
    let control = control["control"].as_str().unwrap().to_owned();
    let mut asked = w.program();
    asked.args(["ctl", "--control", &control, "health"]);
    assert!(asked.status().unwrap().success());
    running.signal(Signal::TERM);
    running.wait().exits_with(0);
}
