//! Crash points: after every message of an export the client is ended, or its daemon.
//!
//! Whatever was ended, and whenever: the output is the old file or the whole new one, the exit
//! code says which, and nothing stays beside it. Only SIGKILL may leave one temporary name, which
//! the next export there takes away.

use std::fs;

use rustix::process::Signal;

use crate::support::command::Running;
use crate::support::files::{PIECE, assert_same_bytes, names_in};
use crate::support::world::Directory;
use crate::support::{DaemonProcess, Dfcache, Run, ScriptedDaemon, Step, seeded};
use testkit::piece;

const PIECES: usize = 3;
const PIECE_LENGTH: usize = 1000;

/// How an export gets its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The daemon links its file before it says a word.
    ByLink,
    /// The daemon copies into its file between its words.
    ByCopy,
    Transfer,
    Stdout,
}

/// What is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Client(Signal),
    Daemon,
}

const ENDINGS: [Ended; 4] = [
    Ended::Client(Signal::KILL),
    Ended::Client(Signal::TERM),
    Ended::Client(Signal::INT),
    Ended::Daemon,
];

impl Mode {
    fn arguments(self, overwrite: bool) -> Vec<&'static str> {
        let mut arguments = vec!["export", "-O"];
        arguments.push(if self == Self::Stdout { "-" } else { "out" });
        if self == Self::Transfer {
            arguments.push("--transfer-from-dfdaemon");
        }
        if overwrite {
            arguments.push("--overwrite");
        }
        arguments
    }

    /// All that an honest daemon does in an export.
    fn script(self, content: &[u8]) -> Vec<Step> {
        let pieces = content.chunks(PIECE_LENGTH).zip(0..);
        let mut steps = vec![Step::Started(content.len() as u64)];
        steps.extend(pieces.map(|(bytes, number)| {
            let offset = u64::from(number) * PIECE_LENGTH as u64;
            Step::Piece(piece(number, offset, bytes))
        }));
        let half = Step::Write(content[..content.len() / 2].to_vec());
        let whole = Step::Write(content.to_vec());
        match self {
            Self::ByLink => steps.insert(0, whole),
            Self::ByCopy => {
                steps.insert(2, half);
                steps.push(whole);
            }
            Self::Transfer | Self::Stdout => {}
        }
        steps
    }
}

/// A moment of an export: what the daemon has done when something is ended.
#[derive(Clone, Debug, Default)]
struct Moment {
    steps: Vec<Step>,
    /// The end has come too: the export may be over when something is ended.
    over: bool,
}

impl Moment {
    fn has_started(&self) -> bool {
        let is_start = |step: &Step| matches!(step, Step::Started(_));
        self.steps.iter().any(is_start)
    }

    fn pieces(&self) -> usize {
        let pieces = self.steps.iter();
        pieces.filter(|step| matches!(step, Step::Piece(_))).count()
    }
}

/// Every moment there is: before the answer begins, after each step of it, and after its end.
fn moments(mode: Mode, content: &[u8]) -> Vec<Moment> {
    let script = mode.script(content);
    let unanswered = Moment {
        steps: vec![Step::Unanswered],
        over: false,
    };
    let open = (0..=script.len()).map(|done| Moment {
        steps: [&script[..done], &[Step::Reached, Step::Hang]].concat(),
        over: false,
    });
    let ended = Moment {
        steps: [&script[..], &[Step::Reached]].concat(),
        over: true,
    };
    std::iter::once(unanswered)
        .chain(open)
        .chain([ended])
        .collect()
}

/// Lets the client log each message that it has taken.
fn telling(command: Dfcache) -> Dfcache {
    command.args(["--verbose", "--log-level", "debug"])
}

/// Waits until the client has taken these messages.
fn wait_until_taken(running: &mut Running, started: bool, pieces: usize) {
    let mut wait_for = |text: &str| {
        while !running.taken_line().contains(text) {}
    };
    if started {
        wait_for("export started");
    }
    (0..pieces).for_each(|_| wait_for(" piece "));
}

impl Running {
    fn taken_line(&mut self) -> String {
        let line = self.read_error_line();
        assert!(!line.is_empty(), "it ended before it had taken everything");
        line
    }
}

struct Place {
    directory: Directory,
    content: Vec<u8>,
    mode: Mode,
    /// What was at the output before.
    old: Option<Vec<u8>>,
}

impl Place {
    fn new(mode: Mode, old: bool) -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.beside("spill")).unwrap();
        let old = old.then(|| b"old".to_vec());
        if let Some(old) = &old {
            fs::write(directory.path("out"), old).unwrap();
        }
        let content = seeded(7, PIECES * PIECE_LENGTH - 1);
        Self {
            directory,
            content,
            mode,
            old,
        }
    }

    fn export(&self, mode: Mode) -> Dfcache {
        let command = self.directory.dfcache();
        let command = command.env("TMPDIR", self.directory.beside("spill"));
        command.args(mode.arguments(self.old.is_some()))
    }

    /// Ends something at a moment.
    fn ended_at(&self, moment: &Moment, ended: Ended) -> Run {
        let daemon = ScriptedDaemon::answering(moment.steps.clone());
        let command = telling(self.export(self.mode)).at(&daemon.endpoint);
        let mut running = command.arg("7").start();
        daemon.wait_until_reached();
        if !moment.over {
            wait_until_taken(&mut running, moment.has_started(), moment.pieces());
        }
        match ended {
            Ended::Client(signal) => running.signal(signal),
            Ended::Daemon => drop(daemon),
        }
        running.wait()
    }

    /// Holds what is there against what the run came to.
    fn check(&self, run: &Run, ended: Ended, moment: &Moment) {
        let over = moment.over;
        let succeeded = run.code() == Some(0);
        let as_it_should = match ended {
            Ended::Client(Signal::KILL) => run.signal() == Some(9),
            Ended::Client(Signal::TERM) => run.code() == Some(143),
            Ended::Client(_) => run.code() == Some(130),
            Ended::Daemon => run.code() == Some(5),
        };
        assert!(as_it_should || over && succeeded, "{run}");
        let killed = run.signal().is_some();
        // A signal that cannot be caught may hit between the last step and the exit.
        let may_be_done = succeeded || killed && over;
        let output = fs::read(self.directory.path("out")).ok();
        if self.mode == Mode::Stdout {
            let written = run.stdout_bytes();
            assert!(self.content.starts_with(written), "{run}");
            assert!(!succeeded || written.len() == self.content.len(), "{run}");
        } else if !run.stdout().is_empty() {
            // It printed the path of its output, which is whole then.
            assert!(may_be_done, "{run}");
            assert!(output.as_ref() == Some(&self.content), "{run}");
        }
        let names = names_in(&self.directory.work());
        let (left, others): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|name| name.starts_with(".dfcache-"));
        assert!(left.len() <= usize::from(killed), "{left:?}\n{run}");
        if killed && !over && moment.pieces() > 0 && self.mode != Mode::Stdout {
            assert_eq!(left.len(), 1, "nothing was there to be left\n{run}");
        }
        assert_eq!(names_in(&self.directory.beside("spill")), [""; 0], "{run}");
        assert_eq!(others.len(), usize::from(output.is_some()), "{others:?}");
        if self.mode == Mode::Stdout || output == self.old {
            assert!(self.mode == Mode::Stdout || !succeeded, "{run}");
            assert_eq!(output, self.old);
        } else {
            assert!(may_be_done, "{run}");
            assert!(output.as_ref() == Some(&self.content), "{run}");
        }
    }

    /// The next export there succeeds, and nothing but its output stays, whichever way it goes.
    fn exports_next(&self, mode: Mode) {
        let _ = fs::remove_file(self.directory.path("out"));
        let daemon = ScriptedDaemon::answering(mode.script(&self.content));
        let command = self.export(mode).at(&daemon.endpoint);
        command.arg("7").run().succeeds();
        assert_same_bytes(&self.directory.path("out"), &self.content);
        assert_eq!(names_in(&self.directory.work()), ["out"]);
    }
}

fn every_moment_of(mode: Mode) {
    let outputs: &[bool] = if mode == Mode::Stdout {
        &[false]
    } else {
        &[false, true]
    };
    for old in outputs {
        let place = Place::new(mode, *old);
        for moment in moments(mode, &place.content) {
            for ended in ENDINGS {
                let run = place.ended_at(&moment, ended);
                place.check(&run, ended, &moment);
                if run.signal().is_some() && mode != Mode::Stdout {
                    let other = match mode {
                        Mode::Transfer => Mode::ByLink,
                        _ => Mode::Transfer,
                    };
                    place.exports_next(other);
                }
                let _ = fs::remove_file(place.directory.path("out"));
                if let Some(old) = &place.old {
                    fs::write(place.directory.path("out"), old).unwrap();
                }
            }
        }
    }
}

#[test]
fn an_export_by_link_is_whole_or_nothing_whatever_ends_after_whichever_message() {
    every_moment_of(Mode::ByLink);
}

#[test]
fn an_export_by_copy_is_whole_or_nothing_whatever_ends_after_whichever_message() {
    every_moment_of(Mode::ByCopy);
}

#[test]
fn a_transfer_is_whole_or_nothing_whatever_ends_after_whichever_message() {
    every_moment_of(Mode::Transfer);
}

#[test]
fn an_export_to_stdout_is_a_prefix_whatever_ends_after_whichever_message() {
    every_moment_of(Mode::Stdout);
}

/// Kills a fake while it stands still before each piece, and before and after all of them.
fn a_killed_fake(release: &str) {
    for mode in [Mode::ByLink, Mode::Transfer, Mode::Stdout] {
        let outputs: &[bool] = if mode == Mode::Stdout {
            &[false]
        } else {
            &[false, true]
        };
        for old in outputs {
            let mut place = Place::new(mode, *old);
            place.content = seeded(8, 2 * PIECE + 1);
            fs::write(place.directory.beside("file"), &place.content).unwrap();
            let state = place.directory.beside("state");
            let serve = |fault: &[&str]| {
                let options = ["--hosts", "2", "--dfdaemon-version", release];
                DaemonProcess::start(&state, &[&options, fault].concat())
            };
            let daemon = serve(&[]);
            let import = ["import", "--persistent-replica-count", "1", "../file"];
            let command = place.directory.at(&daemon.endpoint(0));
            let id = command.args(import).run().succeeds().line();
            drop(daemon);
            for (fault, taken) in [
                ("export@phase=before:stall", None),
                ("export@piece=0:stall", Some(0)),
                ("export@piece=1:stall", Some(1)),
                ("export@piece=2:stall", Some(2)),
                ("export@phase=after:stall", Some(3)),
            ] {
                let daemon = serve(&["--fault", fault]);
                let command = telling(place.export(mode)).at(&daemon.endpoint(0));
                let mut running = command.arg(&id).start();
                running.read_on();
                match taken {
                    Some(pieces) => wait_until_taken(&mut running, true, pieces),
                    None => while !running.taken_line().contains("connected") {},
                }
                daemon.kill();
                let run = running.wait();
                place.check(&run, Ended::Daemon, &Moment::default());
            }
            if mode != Mode::Stdout {
                let daemon = serve(&[]);
                let command = place.export(mode).at(&daemon.endpoint(0));
                command.arg(&id).run().succeeds();
                assert_same_bytes(&place.directory.path("out"), &place.content);
            }
        }
    }
}

#[test]
fn an_export_whose_fake_0_2_is_killed_at_any_piece_leaves_what_was_there() {
    a_killed_fake("0.2");
}

#[test]
fn an_export_whose_fake_1_5_is_killed_at_any_piece_leaves_what_was_there() {
    a_killed_fake("1.5");
}
