//! Signals, while a daemon stands still. Timeouts are in `deadlines`.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use fake_dfdaemon::Fault;
use rustix::process::Signal;
use testkit::piece;
use testkit::wait::Changes;

use crate::support::command::words;
use crate::support::files::PIECE;
use crate::support::world::{Directory, until_it_fires};
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

/// As many as there are that end a process unless it hears them.
const SIGNALS: [i32; 16] = [1, 2, 3, 10, 12, 14, 15, 16, 24, 26, 27, 29, 30, 34, 50, 64];

#[test]
fn a_signal_ends_any_command_with_its_code_and_leaves_nothing() {
    for line in COMMANDS {
        // All of them where there is most to take back.
        let is_export = line.starts_with("export");
        let signals = if is_export { &SIGNALS[..] } else { &[2, 15] };
        let directory = Directory::new();
        let (file, old) = (directory.file("file", 10), directory.file("old", 10));
        let before = (fs::read(&file).unwrap(), fs::read(&old).unwrap());
        for signal in signals {
            let daemon = ScriptedDaemon::answering(half(line.contains("transfer")));
            let running = directory.at(&daemon.endpoint).args(words(line)).start();
            daemon.wait_until_reached();
            running.signal_numbered(*signal);
            running.wait().fails_with(128 + signal).says("error: ");
            directory.holds_only(&["file", "old"]);
            assert!(before == (fs::read(&file).unwrap(), fs::read(&old).unwrap()));
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
        let world = Directory::new();
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
