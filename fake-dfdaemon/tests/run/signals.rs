//! Signals: passed on to the command, and nothing outlives them.

use std::process::Stdio;

use rustix::process::Signal;
use testkit::wait::{Changes, until_process_ends};

use crate::run::sandbox::{Running, Sandbox, is_alive};
use crate::support::process::names;

/// The rest of a shell script that waits for signals: `wait` misses none that comes just before it, as a `read` does.
const WAITS: &str = "sleep 300 & echo ready; while :; do wait; done";

#[test]
fn signals_are_passed_on_and_the_commands_end_is_waited_for() {
    for (signal, name, number) in [
        (Signal::TERM, "TERM", 15),
        (Signal::INT, "INT", 2),
        (Signal::HUP, "HUP", 1),
        (Signal::QUIT, "QUIT", 3),
        (Signal::USR1, "USR1", 10),
        (Signal::ALARM, "ALRM", 14),
    ] {
        // One that does not mind, and one that has something to put away first.
        let w = Sandbox::new();
        let running = w.start_script(&[], "echo ready; exec sleep 300");
        running.signal(signal);
        running.wait().exits_with(128 + number);
        let script = format!("trap 'echo got {name}; exit 7' {name}; {WAITS}");
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
    let w = Sandbox::new();
    for _ in 0..10 {
        let mut program = w.program();
        program.args(["run", "--ready-file", "ready.json", "--", "sleep", "60"]);
        let (changes, ready) = (Changes::at(&w.path("")), w.path("ready.json"));
        let child = program.spawn().unwrap();
        changes.block_until("it is ready", || ready.exists());
        let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        let ended = crate::run::sandbox::ended(child.wait_with_output().unwrap());
        ended.exits_with(143);
        w.leaves_nothing();
        assert!(!w.path("ready.json").exists());
    }
}

#[test]
fn the_command_does_not_outlive_a_daemon_that_is_killed_and_the_next_start_sweeps() {
    let w = Sandbox::new();
    let running = w.start_script(&[], "echo $$; exec sleep 300");
    let command = running.line.clone();
    assert!(is_alive(&command));
    running.signal(Signal::KILL);
    until_process_ends(command.parse().unwrap());
    // Its locks go with its last thread, which may be later.
    running.wait_for_death();
    let left = names(&w.tmp());
    assert_eq!(left.len(), 1, "a killed daemon removes nothing");
    let left = w.tmp().join(&left[0]);
    let changes = Changes::at(&w.tmp());
    let next = w.start_script(&[], "mkfifo swept; echo ready; read line < swept");
    changes.block_until("it is swept", || !left.exists());
    std::fs::write(w.path("swept"), "\n").unwrap();
    next.wait().exits_with(0);
    w.leaves_nothing();
}

#[test]
fn a_daemon_whose_stdin_is_closed_stops_if_it_was_asked_to() {
    let w = Sandbox::new();
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

#[test]
fn every_signal_that_ends_a_process_ends_it_cleanly() {
    for signal in [
        Signal::HUP,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::XCPU,
    ] {
        let w = Sandbox::new();
        let mut program = w.program();
        program.args(["serve", "--hosts", "1"]);
        let running = Running::start(program);
        running.signal(signal);
        let ended = running.wait().exits_with(0);
        assert_eq!(ended.stderr, "", "{signal:?}");
        w.leaves_nothing();
    }
}

/// The start takes minutes: a file is hashed that is long and takes no space.
#[test]
fn a_signal_during_the_start_ends_it_and_leaves_nothing() {
    const LENGTH: u64 = 1 << 40;
    let options = "--dfdaemon-version 1.5 --ready-file ready.json --preload files";
    for (name, signal, code) in [
        ("serve", Signal::TERM, 0),
        ("serve", Signal::HUP, 0),
        ("run", Signal::INT, 130),
        ("run", Signal::TERM, 143),
    ] {
        let w = Sandbox::new();
        std::fs::create_dir(w.path("files")).unwrap();
        let long = std::fs::File::create(w.path("files/long")).unwrap();
        long.set_len(LENGTH).unwrap();
        let mut program = w.program();
        program.arg(name).args(options.split(' '));
        if name == "run" {
            program.args(["--", "touch", "ran"]);
        }
        let mut changes = Changes::at(&w.tmp());
        let child = program.spawn().unwrap();
        let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        changes.block_until("it has a directory", || !names(&w.tmp()).is_empty());
        changes = Changes::below(&w.tmp());
        let state = w.tmp().join(&names(&w.tmp())[0]);
        changes.block_until("its state is there", || state.join("hosts").exists());
        rustix::process::kill_process(pid, signal).unwrap();
        let ended = crate::run::sandbox::ended(child.wait_with_output().unwrap());
        let ended = ended.exits_with(code);
        assert_eq!(ended.stdout, "", "it said that it is ready");
        assert_eq!(ended.stderr, "");
        w.leaves_nothing();
        assert_eq!(names(&w.path("")), ["files"]);
    }
}

#[test]
fn a_signal_that_it_was_started_to_ignore_is_ignored() {
    let w = Sandbox::new();
    let mut program = std::process::Command::new("sh");
    let script = "trap '' HUP; exec \"$0\" serve --hosts 1";
    program.args(["-c", script, env!("CARGO_BIN_EXE_fake-dfdaemon")]);
    program.env("TMPDIR", w.tmp()).stdout(Stdio::piped());
    let running = Running::start(program);
    running.signal(Signal::HUP);
    let ready = serde_json::from_str::<serde_json::Value>(&running.line).unwrap();
    let mut asked = w.program();
    asked.args(["ctl", "health", "--control"]);
    asked.arg(ready["control"].as_str().unwrap());
    assert!(asked.status().unwrap().success(), "it has ended");
    running.signal(Signal::TERM);
    running.wait().exits_with(0);
    w.leaves_nothing();
}

/// What the command started goes with it, whether it minds or not.
#[test]
fn what_a_command_leaves_behind_ends_with_it() {
    let w = Sandbox::new();
    // Their outputs are their own: the end of the command is seen although they go on.
    let script = r#"
        mkfifo minds
        sleep 300 > quiet 2>&1 & echo $! >> pids
        sh -c 'trap "" TERM; echo $$ >> pids; echo minds > minds; exec sleep 300' > quiet 2>&1 &
        read line < minds
        exit 3"#;
    let ended = w.run_script(&[], script).exits_with(3);
    assert_eq!(ended.stderr, "");
    let pids = std::fs::read_to_string(w.path("pids")).unwrap();
    assert_eq!(pids.lines().count(), 2, "{pids}");
    for pid in pids.lines() {
        until_process_ends(pid.parse().unwrap());
    }
    w.leaves_nothing();
}

/// A signal comes to all that the command started, as from a terminal.
#[test]
fn a_signal_is_passed_on_to_all_that_the_command_started() {
    let w = Sandbox::new();
    let script = format!(
        r#"trap 'wait; echo command; exit 7' TERM
        sh -c 'trap "echo child; exit" TERM; {WAITS}' &
        while :; do wait; done"#
    );
    let running = w.start_script(&[], &script);
    running.signal(Signal::TERM);
    let ended = running.wait().exits_with(7);
    assert_eq!(ended.stdout, "child\ncommand\n");
    w.leaves_nothing();
}
