//! `--timeout` and signals hold wherever a file system hangs.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use testkit::wait::HANGS;

use crate::support::command::{DFCACHE, words};
use crate::support::files::names_in;
use crate::support::hung::HungFileSystem;
use crate::support::process::fake_dfdaemon;
use crate::support::world::Directory;
use crate::support::{DaemonProcess, Dfcache, World};

/// Commands that touch a file in `hung`, which stands beside the directory that they run in.
const COMMANDS: [&str; 11] = [
    "import ../hung/file",
    "import --recursive ../hung",
    "verify ID ../hung/file",
    "verify --recursive ID ../hung",
    "export --recursive -O ../hung/out ID",
    "export -O ../hung/out ID",
    "export --overwrite -O ../hung/out ID",
    "export --transfer-from-dfdaemon -O ../hung/out ID",
    "stat --log-dir ../hung/logs ID",
    "ls --log-dir ../hung/logs",
    "ls --log-dir ../hung",
];

fn command(world: &World, id: &str, line: &str) -> Dfcache {
    world.dfcache().args(words(&line.replace("ID", id)))
}

#[test]
fn timeout_holds_where_a_file_system_hangs() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let Some(_hung) = HungFileSystem::mount(&world) else {
        return;
    };
    // All at once, since each waits for seconds.
    let running = COMMANDS.map(|line| {
        let command = command(&world, &id, line).args(["--timeout", "300ms"]);
        command.start()
    });
    for running in running {
        let run = running.wait().fails_with(8);
        run.says("it took longer than 300ms");
    }
    world.holds_only(&["file"]);
}

#[test]
fn a_signal_ends_a_command_where_a_file_system_hangs() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let Some(hung) = HungFileSystem::mount(&world) else {
        return;
    };
    assert!(hung.path().is_absolute());
    let lines = COMMANDS.into_iter().chain(["id ../hung/file"]);
    let running: Vec<_> = lines
        .map(|line| command(&world, &id, line).start())
        .collect();
    let signals = [(Signal::INT, 130), (Signal::HUP, 129)];
    let signals = signals.into_iter().cycle().take(running.len());
    // All before the first is waited for: each may hang in wait for another one's look-up, and the
    // system lets go of none before that.
    for (running, (signal, _)) in running.iter().zip(signals.clone()) {
        running.wait_until_it_listens();
        running.signal(signal);
    }
    for (running, (_, code)) in running.into_iter().zip(signals) {
        running.wait().fails_with(code);
    }
}

/// The calls of a client that names files in such a file system end with the fake, and so does
/// what it would leave behind.
#[test]
fn the_fake_ends_while_an_import_hangs() {
    let directory = Directory::new();
    let temporary = directory.beside("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let Some(hung) = HungFileSystem::mount(&directory) else {
        return;
    };
    let mut command = Command::new(fake_dfdaemon());
    command.arg("serve").env("TMPDIR", &temporary);
    let daemon = DaemonProcess::spawn(command);
    // Where the fake sees the file system that hangs, the import sees what lies below it.
    let below = |command: &str| {
        let mut shell = Command::new("unshare");
        let script = format!("umount -l \"$1\" && {command}");
        shell
            .args(["-m", "sh", "-c", &script, "sh"])
            .arg(hung.path());
        shell.arg(DFCACHE).arg(daemon.endpoint(0));
        shell
    };
    assert!(below("test -e \"$1/file\"").status().unwrap().success());
    assert!(!hung.is_asked(Duration::ZERO));
    let mut import = below("exec \"$2\" import -e \"$3\" \"$1/file\"");
    let mut import = import.stderr(Stdio::null()).spawn().unwrap();
    assert!(hung.is_asked(HANGS), "nothing asks for the file");
    assert_eq!(daemon.terminate(), Some(0));
    assert!(!import.wait().unwrap().success());
    assert_eq!(names_in(&temporary), [""; 0]);
}
