//! Calls that end in their middle: the client is killed, or its reader goes away, or the daemon
//! dies. Recorded and replayed, they come to the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use testkit::wait::HANGS;

use super::{TWO_PIECES, all_files, begin, start, without_places};
use crate::support::command::{Run, words};
use crate::support::files::PIECE;
use crate::support::process::DaemonProcess;
use crate::support::world::Directory;

/// What ends a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    /// The client gets a signal.
    Client(Signal),
    /// Nobody reads the client's stdout any more.
    Reader,
    /// The daemon gets SIGKILL.
    Daemon,
}

/// A command, the fault that holds its call up, what ends it then, and the exit code; none if a
/// signal ended the client unheard. `ID` is a task of two pieces.
pub(super) type Case = (&'static str, &'static str, Cut, Option<i32>);

const STDOUT: &str = "export ID -O -";
const TRANSFER: &str = "export ID -O new --transfer-from-dfdaemon";
const BY_PATH: &str = "export ID -O new";
const OVER: &str = "export ID -O file2 --overwrite --format json";
const IMPORT: &str = "import file2";
const STAT: &str = "stat ID";

const PIECES: &str = "export@piece=1:stall";
/// The first piece is more than a pipe holds: the client waits for its reader.
const NEVER: &str = "export@piece=9:stall";
const SECOND: &str = "import@call=2:stall";

pub(super) const CASES: [Case; 20] = [
    (STDOUT, PIECES, Cut::Client(Signal::INT), Some(130)),
    (STDOUT, PIECES, Cut::Client(Signal::TERM), Some(143)),
    (STDOUT, PIECES, Cut::Client(Signal::HUP), Some(129)),
    (STDOUT, PIECES, Cut::Client(Signal::KILL), None),
    (STDOUT, NEVER, Cut::Reader, Some(141)),
    (STDOUT, PIECES, Cut::Daemon, Some(5)),
    (TRANSFER, PIECES, Cut::Client(Signal::INT), Some(130)),
    (TRANSFER, PIECES, Cut::Client(Signal::TERM), Some(143)),
    (TRANSFER, PIECES, Cut::Daemon, Some(5)),
    (BY_PATH, PIECES, Cut::Client(Signal::INT), Some(130)),
    (BY_PATH, PIECES, Cut::Client(Signal::HUP), Some(129)),
    (BY_PATH, PIECES, Cut::Daemon, Some(5)),
    (OVER, PIECES, Cut::Client(Signal::TERM), Some(143)),
    (OVER, PIECES, Cut::Daemon, Some(5)),
    (IMPORT, SECOND, Cut::Client(Signal::INT), Some(130)),
    (IMPORT, SECOND, Cut::Client(Signal::KILL), None),
    (IMPORT, SECOND, Cut::Daemon, Some(5)),
    (STAT, "stat:stall", Cut::Client(Signal::TERM), Some(143)),
    (STAT, "stat:stall", Cut::Daemon, Some(5)),
    // It finds no daemon at the second attempt.
    ("stat ID --retries 1", "stat:stall", Cut::Daemon, Some(5)),
];

/// What a command came to, and the files that were there then.
#[derive(Debug, PartialEq)]
struct Came {
    code: Option<i32>,
    signal: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Runs a command to the middle of its call, and `ends` what is to end.
fn cut(
    line: &str,
    cut: Cut,
    first: usize,
    (directory, socket): (&Directory, &Path),
    until_it_stands: impl FnOnce(),
    kill_daemon: impl FnOnce(),
) -> Came {
    let mut running = directory.at(socket).args(words(line)).start();
    let mut stdout = Vec::new();
    if line.ends_with("-O -") {
        stdout = running.read(first);
    }
    until_it_stands();
    match cut {
        Cut::Client(signal) => running.signal(signal),
        Cut::Reader => running.stop_reading(),
        Cut::Daemon => kill_daemon(),
    }
    let run: Run = running.wait();
    stdout.extend_from_slice(run.stdout_bytes());
    let mut files = Vec::new();
    all_files(&directory.work(), &mut files);
    Came {
        code: run.code(),
        signal: run.signal(),
        stdout,
        stderr: without_places(run.stderr().as_bytes(), directory, socket),
        files,
    }
}

/// The events of a daemon, followed from now on.
struct Events(BufReader<UnixStream>);

impl Events {
    fn of(control: &Path) -> Self {
        let mut stream = UnixStream::connect(control).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        let request = "GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = Self(BufReader::new(stream));
        // A comment says that it follows.
        events.until(":");
        events
    }

    /// Waits for a line that begins so.
    fn until(&mut self, line: &str) {
        let lines = self.0.by_ref().lines().map(Result::unwrap);
        let found = { lines }.find(|read| read.starts_with(line));
        assert!(found.is_some(), "there is no {line}");
    }
}

fn comes_to_the_same((line, fault, ends, code): Case) {
    let case = format!("{line}: {ends:?}");
    println!("{case}");
    let world = Directory::new();
    begin(&world, &[], TWO_PIECES);
    let daemon = DaemonProcess::start(&world.beside("state"), &["--fault", fault]);
    let imported = world.at(&daemon.endpoint(0));
    let id = imported.args(words("import file")).run().succeeds().line();
    let line = line.replace("ID", &id);

    let (socket, cassette) = (world.beside("in"), world.beside("cassette"));
    let (upstream, named) = (daemon.endpoint(0), cassette.to_str().unwrap());
    let upstream = upstream.to_str().unwrap();
    let recorder = start(
        "record",
        &socket,
        &["--upstream", upstream, "--cassette", named],
    );
    let mut events = Events::of(&daemon.control());
    let first = if ends == Cut::Reader { 1 } else { PIECE };
    // Unless it is what is cut, it outlives the recorder, which would see two ends of the call.
    let mut daemon = Some(daemon);
    let mut recorded = cut(
        &line,
        ends,
        first,
        (&world, &socket),
        || {
            if ends != Cut::Reader {
                events.until("event: fault-fired");
            }
        },
        || daemon.take().unwrap().kill(),
    );
    assert_eq!(recorded.code, code, "{case}: {}", recorded.stderr);
    assert_eq!(recorder.terminate(), Some(0), "{case}");
    drop(daemon);

    let elsewhere = Directory::new();
    begin(&elsewhere, &[], TWO_PIECES);
    let (socket, control) = (elsewhere.beside("in"), elsewhere.beside("control"));
    let mapping = format!("{}={}", world.work().display(), elsewhere.work().display());
    let mut command = Command::new(crate::support::process::fake_dfdaemon());
    command.args(["replay", "--cassette", named, "--path", &mapping]);
    command
        .arg("--socket")
        .arg(&socket)
        .arg("--control")
        .arg(&control);
    command.env("TMPDIR", elsewhere.beside(""));
    // What a client asks when its call is over may have been cut too: its request is not known then.
    command.stderr(Stdio::null());
    let replay = DaemonProcess::spawn(command);
    let mut events = Events::of(&control);
    let standing = || {
        // What the daemon's end has ended does not stand still, and what nobody reads does.
        if matches!(ends, Cut::Client(_)) {
            events.until("event: call-begun");
        }
    };
    let first = if ends == Cut::Daemon { 0 } else { first };
    let mut replayed = cut(&line, ends, first, (&elsewhere, &socket), standing, || {});
    if ends == Cut::Daemon {
        // A connection that breaks may overtake what has come and was not written yet.
        assert!(recorded.stdout.starts_with(&replayed.stdout), "{case}");
        recorded.stdout.clone_from(&replayed.stdout);
    }
    // The proxy named the place of the daemon.
    replayed.stderr = without_places(replayed.stderr.as_bytes(), &world, &world.beside("in"));
    assert_eq!(replayed.stderr, recorded.stderr, "{case}");
    assert!(replayed == recorded, "{case}: {replayed:?}\n{recorded:?}");
    assert_eq!(replay.terminate(), Some(0), "{case}");
}

#[test]
fn a_call_that_is_cut_comes_to_the_same() {
    std::thread::scope(|scope| {
        for cases in CASES.chunks(CASES.len() / 4) {
            scope.spawn(move || cases.iter().copied().for_each(comes_to_the_same));
        }
    });
}
