//! Signals, timeouts, and daemons that stand still.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use fake_dfdaemon::Fault;
use rustix::process::Signal;
use testkit::piece;
use testkit::wait::Changes;

use crate::support::command::words;
use crate::support::files::{PIECE, names_in};
use crate::support::world::until_it_fires;
use crate::support::{ScriptedDaemon, Step, World, seeded};

/// Commands that stand still in the middle, with a file that was there before.
const COMMANDS: [&str; 6] = [
    "import file",
    "stat 7",
    "export --overwrite -O old 7",
    "export --overwrite --transfer-from-dfdaemon -O old 7",
    "export -O new 7",
    "export --transfer-from-dfdaemon -O new 7",
];

/// A stream that stops after its first piece, which the daemon has also written by path.
fn half(in_transfer: bool) -> Vec<Step> {
    let content = seeded(1, PIECE);
    let mut steps = vec![
        Step::Started(2 * PIECE as u64),
        Step::Write(content.clone()),
        Step::Piece(piece(0, 0, &content)),
        Step::Reached,
        Step::Hang,
    ];
    if in_transfer {
        steps.remove(1);
    }
    steps
}

#[test]
fn a_signal_ends_any_command_with_its_code_and_leaves_nothing() {
    for line in COMMANDS {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let world = World::new();
            let (file, old) = (world.file("file", 10), world.file("old", 10));
            let before = (fs::read(&file).unwrap(), fs::read(&old).unwrap());
            let daemon = ScriptedDaemon::answering(half(line.contains("transfer")));
            let command = world.at(&daemon.endpoint).args(words(line));
            let running = command.start();
            daemon.wait_until_reached();
            running.signal(signal);
            running.wait().fails_with(code);
            assert_eq!(
                names_in(&world.work()),
                ["file", "old"],
                "{line} {signal:?}"
            );
            assert!(before == (fs::read(&file).unwrap(), fs::read(&old).unwrap()));
        }
    }
}

/// As many as there are that end a process unless it hears them.
#[test]
fn every_signal_that_ends_a_process_takes_back_what_was_begun() {
    let numbers = [1, 2, 3, 10, 12, 14, 15, 16, 24, 26, 27, 29, 30, 34, 50, 64];
    for line in [
        "export --overwrite -O old 7",
        "export --transfer-from-dfdaemon -O new 7",
    ] {
        let world = World::new();
        world.file("old", 10);
        for number in numbers {
            let daemon = ScriptedDaemon::answering(half(line.contains("transfer")));
            let command = world.at(&daemon.endpoint).args(words(line));
            let running = command.start();
            daemon.wait_until_reached();
            running.signal_numbered(number);
            running.wait().fails_with(128 + number).says("error: ");
            world.holds_only(&["old"]);
        }
    }
}

/// As timeout(1) sends it: to the process, and then to its group.
#[test]
fn a_signal_that_is_sent_twice_skips_neither_clean_up_nor_message() {
    for line in [
        "export -O new 7",
        "export --transfer-from-dfdaemon -O new 7",
    ] {
        let world = World::new();
        let daemon = ScriptedDaemon::answering(half(line.contains("transfer")));
        let command = world.at(&daemon.endpoint).args(words(line));
        let running = command.start();
        daemon.wait_until_reached();
        // Until it is gone: some come while it cleans up, some while it says so.
        let ended = AtomicBool::new(false);
        let run = std::thread::scope(|scope| {
            let storm = running.storm();
            let ended = &ended;
            scope.spawn(move || {
                // Each when the one before has been heard: two that wait count as one.
                for _ in 0..200 {
                    while !ended.load(SeqCst) && storm.waits(15) {
                        std::thread::yield_now();
                    }
                    if ended.load(SeqCst) || !storm.send(Signal::TERM) {
                        break;
                    }
                }
            });
            let run = running.wait();
            ended.store(true, SeqCst);
            run
        });
        run.fails_with(143).says("terminated");
        world.holds_only(&[]);
    }
}

#[test]
fn a_signal_that_it_was_started_to_ignore_is_ignored() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(half(true));
    let command = world.dfcache_after("trap '' HUP INT").at(&daemon.endpoint);
    let line = "export --transfer-from-dfdaemon -O new 7";
    let running = command.args(words(line)).start();
    daemon.wait_until_reached();
    // Signals with lower numbers are delivered first.
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        running.signal(signal);
    }
    running.wait().fails_with(143);
    world.holds_only(&[]);
}

#[test]
fn a_signal_while_nobody_reads_the_content_ends_an_export_to_stdout() {
    let world = World::new();
    let id = world.import(&world.file("file", 8 * PIECE));
    let mut running = world.dfcache().args(["export", "-O", "-", &id]).start();
    // It stands still now: the pipe is full.
    running.read(1000);
    running.terminate();
    running.wait().exits_with(143);
}

/// How far an import has come when it is broken off.
#[derive(Clone, Copy, Debug)]
enum Comes {
    Nowhere,
    ToListen,
    ToItsCall,
    ToContent,
    ToItsAnswer,
}

#[test]
fn a_broken_off_import_can_be_done_again() {
    use Comes::{Nowhere, ToContent, ToItsAnswer, ToItsCall, ToListen};

    let world = World::new();
    let stalls = |phase: &str| {
        let fault: Fault = format!("import@phase={phase}:stall").parse().unwrap();
        world.daemon().fault(fault)
    };
    for (round, comes) in [Nowhere, ToListen, ToItsCall, ToContent, ToItsAnswer]
        .into_iter()
        .enumerate()
    {
        let file = world.file("file", 8 * PIECE + round);
        let stalled = match comes {
            ToItsCall => Some(stalls("before")),
            ToItsAnswer => Some(stalls("after")),
            _ => None,
        };
        let content = Changes::below(world.daemon().state_dir());
        let running = world.dfcache().arg("import").arg(&file).start();
        match &stalled {
            Some(stalled) => until_it_fires(stalled),
            None if matches!(comes, ToContent) => content.block_next("content comes"),
            None if matches!(comes, ToListen) => running.wait_until_it_listens(),
            None => {}
        }
        running.interrupt();
        let run = running.wait();
        drop(stalled);
        // Killed by the signal itself: it came before there was anybody to hear it.
        let ended = [Some(0), Some(130)].contains(&run.code()) || run.signal() == Some(2);
        assert!(ended, "{comes:?}: {run}");
        // The daemon may not have noticed yet that its client is gone.
        let again = || {
            world
                .dfcache()
                .args(["import", "--skip-existing"])
                .arg(&file)
                .run()
        };
        let id = (0..200)
            .map(|_| again())
            .find(|run| run.code() != Some(9))
            .unwrap();
        let id = id.succeeds().line();
        let export = ["--transfer-from-dfdaemon", "--overwrite"];
        world.export(0, &export, &id, "out").succeeds();
        world.assert_same(&file, "out");
    }
}

/// Accepts connections and never says a word, not even HTTP/2's first one.
fn silent(world: &World) -> (std::path::PathBuf, UnixListener) {
    let endpoint = world.beside("silent.sock");
    let listener = UnixListener::bind(&endpoint).unwrap();
    (endpoint, listener)
}

#[test]
fn timeout_bounds_a_daemon_that_never_says_a_word() {
    let world = World::new();
    world.file("file", 10);
    let (endpoint, _listener) = silent(&world);
    let lines = [
        "import file",
        "stat 7",
        "ls",
        "export -O out 7",
        "export -O - 7",
    ];
    // All at once, since each takes its time.
    let running = lines.map(|line| {
        let command = world.at(&endpoint).args(words(line));
        (Instant::now(), command.args(["--timeout", "300ms"]).start())
    });
    for (started, running) in running {
        let run = running.wait().fails_with(8);
        run.says("--timeout gives it more time");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
    }
    world.holds_only(&["file"]);
}

/// The reference client's timeout is over with the first byte.
#[test]
fn timeout_bounds_the_whole_operation_not_the_first_byte() {
    // All at once, since each takes its time.
    let running = COMMANDS.map(|line| {
        let world = World::new();
        let old = world.file("old", 10);
        world.file("file", 10);
        let before = fs::read(&old).unwrap();
        let daemon = ScriptedDaemon::answering(half(line.contains("transfer")));
        let command = world.at(&daemon.endpoint).args(words(line));
        let running = command.args(["--timeout", "500ms"]).start();
        (line, world, daemon, before, running)
    });
    for (line, world, _daemon, before, running) in running {
        running.wait().fails_with(8);
        assert_eq!(names_in(&world.work()), ["file", "old"], "{line}");
        assert!(fs::read(world.path("old")).unwrap() == before);
    }
}

#[test]
fn timeout_bounds_a_reader_that_does_not_read() {
    let world = World::new();
    let id = world.import(&world.file("file", 8 * PIECE));
    let command = world
        .dfcache()
        .args(["export", "--timeout", "2s", "-O", "-", &id]);
    let mut running = command.start();
    // Content has begun to come, which a busy machine must have the time for.
    running.read(1000);
    assert!(running.read_error_line().contains("cannot export"));
    running.wait().exits_with(8);
}

/// Nobody accepts: the connection waits in the queue of the socket.
#[test]
fn a_second_signal_is_not_needed_while_nobody_accepts() {
    let world = World::new();
    let (endpoint, listener) = silent(&world);
    let running = world.at(&endpoint).args(["stat", "7"]).start();
    // It has connected, and has therefore begun to listen to signals.
    let _connection = listener.accept().unwrap();
    running.interrupt();
    running.wait().fails_with(130).says("interrupted");
}

/// A shell without job control has what it starts in the background ignore SIGINT, and nohup SIGHUP.
#[test]
fn a_signal_ends_commands_also_where_the_tests_run_in_the_background() {
    const TEST: &str = "interruptions::a_signal_ends_any_command_with_its_code_and_leaves_nothing";
    const HANGS_UP: &str = "hung_files::a_signal_ends_a_command_where_a_file_system_hangs";
    let mut tests = std::process::Command::new("timeout");
    tests.args(["60", "sh", "-c", "trap '' HUP INT QUIT; exec \"$0\" \"$@\""]);
    tests.arg(std::env::current_exe().unwrap());
    let ended = tests.args(["--exact", TEST, HANGS_UP]);
    let ended = ended.output().unwrap();
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.contains("2 passed"), "{ended:?}");
}
