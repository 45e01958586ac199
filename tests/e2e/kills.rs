//! The daemon is killed in the middle of everything: dfcache says so, and nothing half-done stays.
//!
//! Where the kill hits is drawn from a seed. `make kills` does more rounds than `make test`.

use std::fs;
use std::time::Duration;

use crate::support::files::{MIB, PIECE, assert_same_bytes, drawn, names_in};
use crate::support::world::Directory;
use crate::support::{DaemonProcess, Run, seeded};

fn rounds() -> u64 {
    let rounds = std::env::var("DFCACHE_TEST_KILL_ROUNDS");
    rounds.map_or(8, |rounds| rounds.parse().unwrap())
}

/// A point in time within `span`, and a bit beyond.
fn moment(seed: u64, span: Duration) -> Duration {
    let nanos = u64::try_from(span.as_nanos()).unwrap();
    Duration::from_nanos(drawn(seed, nanos + nanos / 4 + 1))
}

/// In the first round certainly before the command is done, then anywhere.
fn kill_after(round: u64, span: Duration) -> Duration {
    match round {
        0 => Duration::ZERO,
        round => moment(round, span),
    }
}

struct Rounds {
    directory: Directory,
    release: &'static str,
}

impl Rounds {
    fn new(release: &'static str) -> Self {
        let directory = Directory::new();
        Self { directory, release }
    }

    fn daemon(&self) -> DaemonProcess {
        let state = self.directory.beside("state");
        DaemonProcess::start(
            &state,
            &["--hosts", "2", "--dfdaemon-version", self.release],
        )
    }

    fn run(&self, daemon: &DaemonProcess, host: usize, arguments: &[&str]) -> Run {
        let command = self.directory.at(&daemon.endpoint(host));
        command.args(arguments).run()
    }

    /// Starts a command, kills the daemon `after` that, and returns what the command came to.
    fn killed(&self, daemon: DaemonProcess, host: usize, line: &[&str], after: Duration) -> Run {
        let command = self.directory.at(&daemon.endpoint(host));
        let running = command.args(line).start();
        // Where the kill hits is what is varied.
        testkit::wait::block_for(after);
        daemon.kill();
        running.wait()
    }
}

#[track_caller]
fn succeeded_or_lost_its_daemon(run: Run) -> bool {
    match run.code() {
        Some(0) => true,
        Some(5) => {
            assert!(run.stdout_bytes().is_empty(), "{run}");
            assert!(run.stderr().starts_with("error: "), "{run}");
            false
        }
        _ => panic!("{run}"),
    }
}

fn imports(release: &'static str) {
    let world = Rounds::new(release);
    let mut broken = 0;
    for round in 0..rounds() {
        let content = seeded(round, 24 * MIB + 1);
        let file = world.directory.path("file");
        fs::write(&file, &content).unwrap();
        let after = kill_after(round, Duration::from_millis(60));
        let run = world.killed(world.daemon(), 0, &["import", "file"], after);
        broken += u64::from(!succeeded_or_lost_its_daemon(run));
        assert_same_bytes(&file, &content);

        // Whatever it had begun is finished, failed or gone, never still under way.
        let daemon = world.daemon();
        let list = ["ls", "--format", "json"];
        for line in world.run(&daemon, 0, &list).succeeds().stdout().lines() {
            let task: serde_json::Value = serde_json::from_str(line).unwrap();
            let ended = !task["finished_at"].is_null() || !task["failed_at"].is_null();
            assert!(ended, "neither finished nor failed: {line}");
        }
        // The file can be imported, and is then all there.
        let import = ["import", "--skip-existing", "file"];
        let id = world.run(&daemon, 0, &import).succeeds().line();
        for host in 0..2 {
            let export = ["export", "--transfer-from-dfdaemon", "-O", "out", &id];
            world.run(&daemon, host, &export).succeeds();
            assert_same_bytes(&world.directory.path("out"), &content);
            fs::remove_file(world.directory.path("out")).unwrap();
        }
        assert_eq!(daemon.terminate(), Some(0));
        assert_eq!(names_in(&world.directory.work()), ["file"]);
    }
    eprintln!("{broken} of {} imports were broken off", rounds());
    assert!(broken > 0, "no kill hit an import");
}

#[test]
fn import_survives_kills_of_dfdaemon_0_2() {
    imports("0.2");
}

#[test]
fn import_survives_kills_of_dfdaemon_1_5() {
    imports("1.5");
}

/// Onto an old file and onto none, by path and by transfer, from the importer and from the other.
fn exports(release: &'static str) {
    let world = Rounds::new(release);
    let content = seeded(99, 10 * PIECE + 1);
    fs::write(world.directory.path("file"), &content).unwrap();
    let mut daemon = world.daemon();
    let import = ["import", "--persistent-replica-count", "1", "file"];
    let id = world.run(&daemon, 0, &import).succeeds().line();
    let old = b"old".to_vec();
    let mut broken = 0;
    for round in 0..2 * rounds() {
        let host = usize::try_from(round / 2 % 2).unwrap();
        let output = world.directory.path("out");
        let mut line = vec!["export", "-O", "out", &id];
        if round % 2 == 0 {
            line.push("--transfer-from-dfdaemon");
        }
        if round % 3 == 0 {
            fs::write(&output, &old).unwrap();
            line.push("--overwrite");
        }
        let after = kill_after(round, Duration::from_millis(120));
        let run = world.killed(daemon, host, &line, after);
        if succeeded_or_lost_its_daemon(run) {
            assert_same_bytes(&output, &content);
            fs::remove_file(&output).unwrap();
        } else {
            broken += 1;
            if round % 3 == 0 {
                assert_same_bytes(&output, &old);
                fs::remove_file(&output).unwrap();
            }
        }
        assert_eq!(names_in(&world.directory.work()), ["file"], "round {round}");
        daemon = world.daemon();
        world.run(&daemon, host, &line).succeeds();
        assert_same_bytes(&output, &content);
        fs::remove_file(&output).unwrap();
    }
    eprintln!("{broken} of {} exports were broken off", 2 * rounds());
    assert!(broken > 0, "no kill hit an export");
}

#[test]
fn export_survives_kills_of_dfdaemon_0_2() {
    exports("0.2");
}

#[test]
fn export_survives_kills_of_dfdaemon_1_5() {
    exports("1.5");
}

/// Certainly in the middle: the export stands still, since nobody reads on.
#[test]
fn an_export_to_stdout_whose_daemon_is_killed_fails_after_a_true_prefix() {
    let world = Rounds::new("0.2");
    let content = seeded(5, 100 * MIB);
    fs::write(world.directory.path("file"), &content).unwrap();
    let daemon = world.daemon();
    let id = world.run(&daemon, 0, &["import", "file"]).succeeds().line();
    let command = world.directory.at(&daemon.endpoint(0));
    let mut running = command.args(["export", "-O", "-", &id]).start();
    let mut read = running.read(MIB);
    daemon.kill();
    let run = running.wait().exits_with(5);
    read.extend_from_slice(run.stdout_bytes());
    assert!(read.len() < content.len() && content.starts_with(&read));
}

/// The socket of a killed daemon stays: nobody listens there.
#[test]
fn a_killed_daemon_is_unavailable() {
    let world = Rounds::new("0.2");
    let daemon = world.daemon();
    let endpoint = daemon.endpoint(0);
    daemon.kill();
    let command = world.directory.at(&endpoint);
    command
        .args(["stat", "7"])
        .run()
        .fails_with(5)
        .says("nobody listens there");
    let daemon = world.daemon();
    world.run(&daemon, 0, &["stat", "7"]).fails_with(3);
}
