//! `--timeout` holds wherever a daemon stands still, and a second signal wherever dfcache does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::whole;

use crate::support::command::{DFCACHE, words};
use crate::support::files::PIECE;
use crate::support::world::Directory;
use crate::support::{ScriptedDaemon, Step, World, seeded, skipped};

const COMMANDS: [&str; 6] = [
    "import file",
    "stat 7",
    "ls",
    "export -O out 7",
    "export --transfer-from-dfdaemon -O out 7",
    "export -O - 7",
];

const TIMEOUT: Duration = Duration::from_millis(300);

#[track_caller]
fn assert_in_time(directory: &Directory, endpoint: &Path, line: &str) {
    let started = Instant::now();
    let command = directory.at(endpoint).args(words(line));
    let run = command.args(["--timeout", "300ms"]).run();
    let elapsed = started.elapsed();
    run.exits_with(8)
        .says("it took longer than 300ms")
        .does_not_say("ancelled");
    assert!(elapsed >= TIMEOUT, "{line}: {elapsed:?}");
    directory.holds_only(&["file"]);
}

/// The queue of the socket is full, so that connecting does not even begin.
#[test]
fn timeout_holds_while_no_connection_is_taken() {
    let directory = Directory::new();
    directory.file("file", 10);
    let endpoint = directory.beside("full.sock");
    let listener = UnixListener::bind(&endpoint).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&endpoint).unwrap();
    for line in COMMANDS {
        assert_in_time(&directory, &endpoint, line);
    }
}

/// HTTP/2's SETTINGS frame, empty, and its acknowledgement.
const SETTINGS: [u8; 18] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];

/// A server that shakes hands and never answers. It goes with the test binary.
fn mute(directory: &Directory) -> PathBuf {
    let endpoint = directory.beside("mute.sock");
    let listener = UnixListener::bind(&endpoint).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                let _ = connection.write_all(&SETTINGS);
                let _ = connection.read_to_end(&mut Vec::new());
            });
        }
    });
    endpoint
}

#[test]
fn timeout_holds_after_the_preface() {
    let directory = Directory::new();
    directory.file("file", 10);
    let endpoint = mute(&directory);
    for line in COMMANDS {
        assert_in_time(&directory, &endpoint, line);
    }
}

/// Nothing is missing but the end of the stream.
#[test]
fn timeout_holds_before_the_end() {
    let content = seeded(1, PIECE + 1);
    // The scripted daemon has nothing to list.
    for line in COMMANDS.into_iter().filter(|line| *line != "ls") {
        let by_path = line.starts_with("export -O out");
        let mut steps = whole(&content);
        if by_path {
            steps.insert(1, Step::Write(content.clone()));
        }
        steps.push(Step::Hang);
        let world = World::new();
        world.file("file", 10);
        let daemon = ScriptedDaemon::answering(steps);
        assert_in_time(&world, &daemon.endpoint, line);
    }
}

/// A pipe that takes nothing more.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    use rustix::fs::{OFlags, fcntl_setfl};

    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    loop {
        match writer.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

/// Whether one of its threads is in a `write` to stdout or to a copy of it, as the kernel shows the
/// number of a call and its first argument.
#[cfg(target_os = "linux")]
fn hangs_in_a_write(process: u32) -> Option<bool> {
    // Where the kernel does not show the main thread's call, it shows none.
    std::fs::read_to_string(format!("/proc/{process}/syscall")).ok()?;
    let mut hangs = false;
    for task in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
        // A thread may have ended meanwhile.
        let Ok(call) = std::fs::read_to_string(task.ok()?.path().join("syscall")) else {
            continue;
        };
        let mut words = call.split(' ');
        let (number, file) = (words.next()?, words.next().unwrap_or_default());
        let file = file.trim_start_matches("0x");
        let file = u32::from_str_radix(file, 16).unwrap_or_default();
        let link = std::fs::read_link(format!("/proc/{process}/fd/{file}"));
        let stdout = std::fs::read_link(format!("/proc/{process}/fd/1")).ok()?;
        hangs |= ["1", "64"].contains(&number) && link.is_ok_and(|link| link == stdout);
    }
    Some(hangs)
}

/// In the result's last write nothing is left to be cleaned up.
#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_ends_a_command_that_hangs_in_the_system() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (_reader, writer) = full_pipe();
        let mut child = Command::new(DFCACHE)
            .args(["stat", "--log-max-files", "0", &id, "-e"])
            .arg(world.endpoint(0))
            .stdin(Stdio::null())
            .stdout(writer)
            .spawn()
            .unwrap();
        loop {
            match hangs_in_a_write(child.id()) {
                Some(true) => break,
                Some(false) => std::thread::yield_now(),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    skipped("/proc does not tell what a process waits for");
                    return;
                }
            }
        }
        let pid = Pid::from_child(&child);
        // Signals that come at once count as one; so until it has counted two.
        let status = loop {
            kill_process(pid, signal).unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::yield_now();
        };
        assert_eq!(status.code(), Some(code));
    }
}
