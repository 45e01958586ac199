//! However few threads a user may have, as in a container, each program does its work or says that it got none.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Dfcache;
use crate::support::command::words;
use crate::support::files::{PIECE, assert_same_bytes, names_in};
use crate::support::users::{Programs, can_change_users};
use crate::support::world::{Directory, World};

/// Fewer than a program begins with, and more than it works with.
const LIMITS: std::ops::RangeInclusive<u32> = 1..=ENOUGH;

/// So many that a program has two more than it needs.
const ENOUGH: u32 = 8;

/// A user who has no other process: the limit counts all that a user has.
fn somebody(of: u32) -> u32 {
    20_000 + of * 20_000 + std::process::id() % 20_000
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A program that may have so many threads, its own first one among them.
fn limited(program: &Path, limit: u32) -> [std::ffi::OsString; 2] {
    [format!("--nproc={limit}").into(), program.into()]
}

#[test]
fn a_daemon_with_few_threads_serves_or_does_not_start() {
    if !can_change_users() {
        return;
    }
    let directory = Directory::new();
    let programs = Programs::beside(&directory);
    let user = somebody(0);
    let file = directory.file("file", 3 * PIECE + 1);
    set_mode(&file, 0o644);
    for limit in LIMITS {
        let state = directory.beside(&format!("state-{limit}"));
        fs::create_dir(&state).unwrap();
        chown(&state, Some(user), Some(user)).unwrap();
        let mut command = Command::new("/usr/bin/prlimit");
        command.args(limited(&programs.fake_dfdaemon, limit));
        command.args([
            "serve",
            "--format",
            "json",
            "--exit-on-stdin-close",
            "--hosts",
            "2",
        ]);
        command.arg("--state-dir").arg(&state).uid(user).gid(user);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut daemon = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = daemon.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let is_ready = !line.is_empty();
        if is_ready {
            serves(&directory, &state, &file);
        }
        drop(daemon.stdin.take());
        let ended = daemon.wait().unwrap();
        let mut said = String::new();
        let stderr = daemon.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert!(!said.contains("panicked"), "{limit}: {said}");
        assert_eq!(ended.success(), is_ready, "{limit}: {ended} {said}");
        assert!(is_ready || said.starts_with("error: "), "{limit}: {said}");
        // A thread that has ended may be counted for a while: of the fewest, any may be too few.
        assert!(is_ready || limit < ENOUGH, "{limit}: {said}");
    }
}

/// Imports a file into a daemon, waits for its replica, and takes it from both hosts.
fn serves(directory: &Directory, state: &Path, file: &Path) {
    let at = |host: u32| {
        let endpoint = state.join(format!("host-{host}.sock"));
        directory.dfcache().at(&endpoint)
    };
    let id = at(0).arg("import").arg(file).run().succeeds().line();
    let stat = ["stat", "--wait-for-replicas", "2", &id];
    at(0).args(stat).run().succeeds();
    let output = directory.path("out");
    for host in 0..2 {
        let export = ["export", "--transfer-from-dfdaemon", &id, "-O"];
        at(host).args(export).arg(&output).run().succeeds();
        assert_same_bytes(&output, &fs::read(file).unwrap());
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn a_command_with_few_threads_works_or_does_nothing() {
    if !can_change_users() {
        return;
    }
    let world = World::with(|builder| builder.socket_mode(0o666));
    set_mode(world.daemon().state_dir(), 0o711);
    let directory = Directory::new();
    let programs = Programs::beside(&directory);
    let user = somebody(1);
    let file = directory.file("file", 3 * PIECE + 1);
    set_mode(&file, 0o644);
    let id = world.import(&file);
    for owned in [directory.home(), directory.work()] {
        chown(owned, Some(user), Some(user)).unwrap();
    }
    let before = names_in(&directory.work());
    for line in [
        "export --transfer-from-dfdaemon -O out ID",
        "export --verify -O out ID",
        "stat ID",
        "verify ID file",
        "import --skip-existing file",
    ] {
        for limit in LIMITS {
            let prlimit = Path::new("/usr/bin/prlimit");
            let command = Dfcache::of(prlimit, &directory.work(), &directory.home());
            let command = command.at(&world.endpoint(0)).by_user(user);
            let command = command.args(limited(&programs.dfcache, limit));
            let run = command.args(words(&line.replace("ID", &id))).run();
            if run.code() == Some(0) {
                let _ = fs::remove_file(directory.path("out"));
            } else {
                assert!(limit < ENOUGH, "{limit} {run}");
                run.exits_with(1)
                    .says("error: cannot ")
                    .says("(os error 11)");
            }
            assert_eq!(names_in(&directory.work()), before, "{line} {limit}");
        }
    }
}
