//! The program as process 1, which a container makes of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use testkit::program::skipped;

use crate::run::sandbox::{PROGRAM, Sandbox};

/// The program in a namespace of processes; none where none can be made.
fn contained(world: &Sandbox, arguments: &[&str]) -> Option<Command> {
    let unshare = [
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount-proc",
    ];
    let possible = Command::new("unshare").args(unshare).arg("true").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        skipped("no namespace of processes can be made");
        return None;
    }
    let mut command = world.program();
    let program = std::mem::replace(&mut command, Command::new("unshare"));
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
        .args(unshare)
        // unshare passes its environment on to the program.
        .args(["sh", "-c", "echo $$; exec \"$@\"", "sh", PROGRAM])
        .args(arguments)
        .current_dir(world.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Some(command)
}

#[test]
fn what_the_command_leaves_behind_is_no_zombie() {
    let world = Sandbox::new();
    // The process that the inner shell leaves behind becomes a child of process 1.
    // It ends when it is written to; who has been waited for is gone from /proc, which tells nobody.
    let script = "
        mkfifo ends
        orphan=$(sh -c '(exec > /dev/null; read line < ends) & echo $!')
        echo > ends
        timeout 60 sh -c 'while [ -e /proc/$0 ]; do :; done' $orphan || { cat /proc/$orphan/status >&2; exit 1; }
        exit 7";
    let Some(mut command) = contained(&world, &["run", "--", "sh", "-c", script]) else {
        return;
    };
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"1\n", "it was process 1");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

#[test]
fn a_signal_reaches_the_command_through_process_1() {
    let world = Sandbox::new();
    let script = "trap 'exit 9' TERM; sleep 300 & echo up; while :; do wait; done";
    let Some(mut command) = contained(&world, &["run", "--", "sh", "-c", script]) else {
        return;
    };
    let mut unshare = command.spawn().unwrap();
    let mut lines = BufReader::new(unshare.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let first = std::fs::read_to_string(children).unwrap();
    let killed = Command::new("kill").args(["-TERM", first.trim()]).status();
    assert!(killed.unwrap().success());
    assert_eq!(unshare.wait().unwrap().code(), Some(9));
}

#[test]
fn a_signal_ends_serve_as_process_1() {
    let world = Sandbox::new();
    let Some(mut command) = contained(&world, &["serve"]) else {
        return;
    };
    let mut unshare = command.spawn().unwrap();
    let mut lines = BufReader::new(unshare.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.contains("\"pid\":1,"), "{ready}");
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let first = std::fs::read_to_string(children).unwrap();
    let killed = Command::new("kill").args(["-TERM", first.trim()]).status();
    assert!(killed.unwrap().success());
    assert_eq!(unshare.wait().unwrap().code(), Some(0));
    assert!(world.tmp().read_dir().unwrap().next().is_none());
}
