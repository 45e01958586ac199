//! stdout carries the result and nothing else, stderr the rest; colour is for terminals.

use std::process::{Command, Stdio};

use crate::support::command::{DFCACHE, Dfcache, words};
use crate::support::files::PIECE;
use crate::support::terminal::{Terminal, screen};
use crate::support::{Run, ScriptedDaemon, Step, World, seeded};
use testkit::whole;

fn is_plain(run: &Run) {
    let both = run.stdout() + &run.stderr();
    assert!(!both.contains('\x1b') && !both.contains('\r'), "{run}");
}

#[test]
fn success_says_its_result_on_stdout_and_nothing_on_stderr() {
    let world = World::new();
    let file = world.file("file", PIECE + 1);
    let imported = world.dfcache().arg("import").arg(&file).run().succeeds();
    let id = imported.line();
    assert!(
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()),
        "{imported}"
    );
    let runs = [
        world
            .dfcache()
            .args(words("import --no-progress --tag a file"))
            .run(),
        world.export(0, &[], &id, "out"),
        world.export(0, &["--transfer-from-dfdaemon"], &id, "own"),
        world.dfcache().args(["stat", &id]).run(),
        world.dfcache().args(["ls"]).run(),
        world
            .dfcache()
            .args(["id", "--dfdaemon-version", "0.2", "file"])
            .run(),
    ];
    for run in runs.into_iter().chain([imported]) {
        let run = run.succeeds();
        assert_eq!(run.stderr(), "", "{run}");
        is_plain(&run);
    }
}

#[test]
fn failures_are_plain_and_on_stderr_alone() {
    let world = World::new();
    for line in [
        "import missing",
        "export -O out 7",
        "stat 7",
        "stat",
        "frobnicate",
        "stat --ttl 1",
    ] {
        let run = world
            .dfcache()
            .env("TERM", "xterm-256color")
            .args(words(line))
            .run();
        assert_ne!(run.code(), Some(0), "{run}");
        assert!(
            run.stdout().is_empty() && run.stderr().starts_with("error: "),
            "{run}"
        );
        is_plain(&run);
    }
}

#[test]
fn import_and_stat_meet_in_a_pipe_without_a_terminal() {
    let world = World::new();
    world.file("file", 10);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "\"$0\" import file | xargs \"$0\" stat", DFCACHE])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", world.home())
        .env("DFCACHE_ENDPOINT", world.endpoint(0))
        .env("DFCACHE_IMPORT_LOG_DIR", world.home())
        .env("DFCACHE_STAT_LOG_DIR", world.home())
        .current_dir(world.work())
        .stdin(Stdio::null());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Succeeded"),
        "{output:?}"
    );
}

/// Every command and every text, ID being a task's.
const RESULTS: [&str; 10] = [
    "import --skip-existing other",
    "export -O out ID",
    "export -O - ID",
    "stat ID",
    "ls",
    "id file",
    "completions bash",
    "man",
    "--help",
    "--version",
];

#[test]
fn a_stdout_that_is_closed_or_full_is_no_silent_success() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    world.file("other", 20);
    for line in RESULTS {
        let line = line.replace("ID", &id);
        let run = |redirection: &str| {
            // Part of the shell's last command, which is the program.
            let command = world.dfcache_after(&format!("exec {redirection}"));
            let run = command.at(&world.endpoint(0)).args(words(&line)).run();
            let _ = std::fs::remove_file(world.path("out"));
            run.exits_with(4)
        };
        run("1>&-").says("stdout is closed");
        run("1</dev/null").says("cannot write");
        run("1>/dev/full").says("No space left on device");
        // Nothing was wrong but that.
        let command = world.dfcache_after("exec 1<>/dev/null");
        let run = command.at(&world.endpoint(0)).args(words(&line)).run();
        run.succeeds();
        let _ = std::fs::remove_file(world.path("out"));
    }
    // A task whose id nobody got would be in the way of the next import.
    world.file("another", 30);
    let command = world.dfcache_after("exec 1>&-").at(&world.endpoint(0));
    command.args(["import", "another"]).run().exits_with(4);
    world.import(&world.path("another"));
}

/// The export stands still half-way, so that what it shows can be read.
#[test]
fn a_terminal_sees_how_far_an_export_is_each_byte_counted_once() {
    let world = World::new();
    let content = seeded(1, 2 * PIECE);
    let mut steps = whole(&content);
    // The first piece comes twice, and the second one not at all.
    steps[2] = steps[1].clone();
    steps.push(Step::Hang);
    let daemon = ScriptedDaemon::answering(steps);
    let export = ["export", "--transfer-from-dfdaemon", "-O", "out", "7"];
    let command = world.at(&daemon.endpoint).args(export);
    let (running, mut terminal) = Terminal::in_front_of(command);
    terminal.wait_for("4.00 MiB/8.00 MiB");
    running.terminate();
    let shown = terminal.rest();
    assert!(!shown.contains("8.00 MiB/8.00 MiB"), "{shown:?}");
    running.wait().fails_with(143);
    world.holds_only(&[]);
}

/// The terminal itself shows `^C` where its cursor is.
#[cfg(target_os = "linux")]
#[test]
fn a_key_that_interrupts_leaves_nothing_of_the_bar() {
    let world = World::new();
    let mut steps = whole(&seeded(1, 2 * PIECE));
    steps.truncate(2);
    steps.push(Step::Hang);
    world.file("file", 10);
    for (line, steps, shows) in [
        (
            "export --transfer-from-dfdaemon -O out 7",
            steps,
            "4.00 MiB/8.00 MiB",
        ),
        ("import file", vec![Step::Hang], "importing"),
    ] {
        let daemon = ScriptedDaemon::answering(steps);
        let command = Dfcache::in_session(&world.work(), &world.home())
            .at(&daemon.endpoint)
            .args(words(line));
        let (running, mut terminal) = Terminal::in_control_of(command);
        terminal.wait_for(shows);
        terminal.type_keys(b"\x03");
        let sent = terminal.rest();
        assert!(sent.contains("^C"), "{sent:?}");
        running.wait().fails_with(130);
        let shown = screen(&sent);
        assert!(shown[0].starts_with("error: "), "{shown:#?}\n{sent:?}");
        assert!(!shown.concat().contains("MiB"), "{shown:#?}\n{sent:?}");
    }
}

/// A reader that stops does not make dfcache fetch the rest.
#[test]
fn memory_does_not_grow_with_a_slow_reader() {
    let world = World::new();
    let length = 200 << 20;
    let id = world.import(&world.file("file", length));
    let mut running = world.dfcache().args(["export", "-O", "-", &id]).start();
    running.read(1);
    // A client that did not wait for its reader has fetched it all by the time that a later one has.
    let mut later = world.dfcache().args(["export", "-O", "-", &id]).start();
    assert_eq!(later.read(length).len(), length);
    later.wait().succeeds();
    let peak = running.peak_memory();
    assert!(peak < 100 << 20, "{peak} bytes while the reader waited");
    assert_eq!(running.read(length - 1).len(), length - 1);
    running.wait().succeeds();
}

/// The daemon takes its time, so that there would be something to show.
#[test]
fn no_progress_and_verbose_show_no_progress_on_a_terminal() {
    let world = World::new();
    world.file("file", 10);
    let daemon = ScriptedDaemon::answering(vec![Step::Started(10), Step::Hang]);
    for line in [
        "import file",
        "export -O out 7",
        "export --transfer-from-dfdaemon -O out 7",
    ] {
        let slow = || world.at(&daemon.endpoint).args(words(line));
        let in_time = ["--timeout", "400ms"];
        let silent = slow().args(in_time).arg("--no-progress");
        let (run, shown) = Terminal::as_stderr_of(silent);
        run.exits_with(8);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines.len() == 3 && lines[0].contains("error"), "{shown:?}");
        let (run, shown) = Terminal::as_stderr_of(slow().args(in_time).arg("--verbose"));
        run.exits_with(8);
        assert!(
            shown.contains("INFO") && !shown.contains("importing"),
            "{shown:?}"
        );
    }
}
