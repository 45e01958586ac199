//! `--timeout` holds wherever a daemon stands still, and a second signal wherever dfcache does.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Answers, whole};

use crate::support::command::{DFCACHE, words};
use crate::support::files::PIECE;
use crate::support::world::{Directory, timeouts};
use crate::support::{ScriptedDaemon, Step, World, seeded, skipped};

/// Both outputs are there, and stay.
const COMMANDS: [&str; 7] = [
    "ls",
    "import file",
    "stat 7",
    "export --overwrite -O old 7",
    "export --overwrite --transfer-from-dfdaemon -O old 7",
    "export -O new 7",
    "export -O - 7",
];

const TIMEOUT: Duration = Duration::from_millis(300);

/// Nothing that a daemon which stands still leaves undone takes longer than `--timeout`, which is over no earlier.
#[track_caller]
fn assert_in_time(endpoint: &Path, lines: &[&str]) {
    let directory = Directory::new();
    directory.file("file", 10);
    let old = fs::read(directory.file("old", 10)).unwrap();
    // All at once, since each takes its time.
    let running = lines.iter().map(|line| {
        let command = directory.at(endpoint).args(words(line));
        (Instant::now(), command.args(["--timeout", "300ms"]).start())
    });
    for (started, running) in running.collect::<Vec<_>>() {
        let run = running.wait();
        let elapsed = started.elapsed();
        let run = run.exits_with(8).says("it took longer than 300ms");
        let run = run.says("--timeout gives it more time");
        assert!(elapsed >= TIMEOUT, "{elapsed:?}\n{run}");
        run.does_not_say("ancelled");
    }
    directory.holds_only(&["file", "old"]);
    assert!(fs::read(directory.path("old")).unwrap() == old);
}

/// A socket that takes no connection. With room in its queue, a client believes that it is connected.
fn takes_none(
    directory: &Directory,
    has_room: bool,
) -> (PathBuf, UnixListener, Option<UnixStream>) {
    let endpoint = directory.beside("silent.sock");
    let listener = UnixListener::bind(&endpoint).unwrap();
    let waiting = (!has_room).then(|| {
        rustix::net::listen(&listener, 0).unwrap();
        UnixStream::connect(&endpoint).unwrap()
    });
    (endpoint, listener, waiting)
}

#[test]
fn timeout_holds_while_no_connection_is_taken() {
    for has_room in [false, true] {
        let directory = Directory::new();
        let (endpoint, _listener, _waiting) = takes_none(&directory, has_room);
        assert_in_time(&endpoint, &COMMANDS);
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
    assert_in_time(&mute(&directory), &COMMANDS);
}

/// After the first byte, which ends the reference client's timeout; and when nothing is missing but the end of the stream.
#[test]
fn timeout_holds_to_the_end_of_a_stream() {
    let content = seeded(1, PIECE + 1);
    for pieces in [1, 2] {
        let content = content.clone();
        let export = move |request: &DownloadPersistentCacheTaskRequest| {
            let mut steps = whole(&content);
            steps.truncate(1 + pieces);
            if request.output_path.is_some() {
                let written = content.iter().copied().take(pieces * PIECE);
                steps.insert(1, Step::Write(written.collect()));
            }
            steps.push(Step::Hang);
            Ok(steps)
        };
        let daemon = ScriptedDaemon::start(Answers {
            export: Arc::new(export),
            before: vec![Step::Hang],
            ..Answers::default()
        });
        // The scripted daemon does not wait before it lists.
        assert_in_time(&daemon.endpoint, &COMMANDS[1..]);
    }
}

#[test]
fn timeout_holds_for_a_reader_that_does_not_read() {
    let world = World::new();
    let id = world.import(&world.file("file", 8 * PIECE));
    let comes = timeouts().any(|timeout| {
        let command = world.dfcache().args(["export", "--timeout", &timeout]);
        let mut running = command.args(["-O", "-", &id]).start();
        // Content has begun to come, for which a busy machine takes more time.
        let comes = running.try_read(1000).is_some();
        assert!(running.read_error_line().contains("cannot export"));
        running.wait().exits_with(8);
        comes
    });
    assert!(comes);
}

/// Nobody accepts: the connection waits in the queue of the socket.
#[test]
fn a_second_signal_is_not_needed_while_nobody_accepts() {
    let directory = Directory::new();
    let (endpoint, listener, _) = takes_none(&directory, true);
    let running = directory.at(&endpoint).args(["stat", "7"]).start();
    // It has connected, and has therefore begun to listen to signals.
    let _connection = listener.accept().unwrap();
    running.interrupt();
    running.wait().fails_with(130).says("interrupted");
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
