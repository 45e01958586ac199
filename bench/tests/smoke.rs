//! The suite at its smallest: it measures nothing that counts, and shows that every job still runs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use testkit::wait::Changes;

const BENCH: &str = env!("CARGO_BIN_EXE_dfcache-bench");

fn bench(directory: &Path) -> Command {
    let programs = Path::new(BENCH).parent().unwrap();
    assert!(
        programs.join("fake-dfdaemon").exists(),
        "`make test` builds the binaries of the workspace first, \
         `cargo build --workspace --bins` does it by hand"
    );
    testkit::signals::as_in_a_terminal();
    let mut command = Command::new(BENCH);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["BENCH_", "PEER_", "DFCACHE_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
        .arg(programs)
        .env("BENCH_SIZE", "tiny")
        .env("BENCH_ROUNDS", "1")
        .env("BENCH_DIR", directory);
    command
}

fn table_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (table, complaints) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{table}\n{complaints}");
    assert!(!complaints.contains("does not count"), "{complaints}");
    table
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn every_job_runs_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let table = table_of(&mut bench(directory.path()));
    for job in [
        "export in transfer mode",
        "exports in transfer mode, ten at once",
        "import of a tree",
        "export of a tree by path",
        "export of a tree in transfer mode",
        "import (id by CRC-32)",
        "import (id by content given)",
        "dfcache stat (whole process)",
        "export by path (small file)",
        "export by path (sparse file)",
        "export by path (other file system)",
        "stat calls",
        "transfer mode through a proxy",
        "transfer mode through a proxy with a journal",
        "a stat call through a proxy",
        "a stat call through a proxy with a journal",
        "imports of 4 KiB",
        "exec to ready",
        "opens a state directory",
        "pieces of 4 MiB",
        "pieces of 64 MiB",
    ] {
        assert!(table.contains(job), "{job} is missing:\n{table}");
    }
    assert!(is_empty(directory.path()));
}

#[test]
fn a_reference_client_and_its_daemon_stand_beside_ours() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let work = directory.path().join("work");
    fs::create_dir(&work).unwrap();
    // Ours stand in: this shows that the columns are filled, not what a reference client does.
    let programs = Path::new(BENCH).parent().unwrap();
    let mut daemon = Command::new(programs.join("fake-dfdaemon"));
    let run = daemon.args(["run", "--state-dir"]).arg(&state).arg("--");
    let bench = bench(&work);
    run.arg(bench.get_program()).args(bench.get_args());
    for (name, value) in bench.get_envs() {
        match value {
            Some(value) => run.env(name, value),
            None => run.env_remove(name),
        };
    }
    run.env("PEER_DFCACHE", programs.join("dfcache"))
        .env("PEER_DFDAEMON_ENDPOINT", state.join("host-0.sock"))
        .env("BENCH_JOBS", "given daemon,whole process");
    let table = table_of(run);
    assert!(table.contains("CPU / peer"), "{table}");
    let given: Vec<_> = table
        .lines()
        .filter(|line| line.contains("given daemon"))
        .collect();
    assert_eq!(given.len(), 3, "{table}");
    for row in given {
        assert!(
            !row.contains("failed") && !row.contains("not measured"),
            "{row}"
        );
    }
    assert!(is_empty(&work));
}

#[test]
fn an_interrupted_suite_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let directory = tempfile::tempdir().unwrap();
        let changes = Changes::at(directory.path());
        let mut suite = bench(directory.path())
            .env("BENCH_ROUNDS", "1000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let state = directory
            .path()
            .join(format!("dfcache-bench-{}/state", suite.id()));
        let begins = |directory: &Path| {
            changes.block_until("it has a directory", || directory.exists());
            Changes::at(directory)
        };
        begins(state.parent().unwrap()).block_until("it has begun", || state.exists());
        assert!(suite.try_wait().unwrap().is_none(), "it ended by itself");
        let pid = Pid::from_raw(i32::try_from(suite.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = suite.wait().unwrap();
        assert!(!status.success(), "{status}");
        assert!(is_empty(directory.path()), "{signal:?}");
        assert!(!holds(directory.path()), "{signal:?}");
    }
}

/// Whether any process was started with this directory among its arguments.
fn holds(directory: &Path) -> bool {
    let directory = directory.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok())
        .any(|arguments| String::from_utf8_lossy(&arguments).contains(directory))
}

#[test]
fn what_cannot_be_measured_is_said_on_stderr() {
    let directory = tempfile::tempdir().unwrap();
    let output = bench(directory.path())
        .env("BENCH_JOBS", "no such job")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("whole process"), "{complaint}");
    assert!(output.stdout.is_empty());
}
