//! What a person at a terminal sees of what goes on, and what stays when it is done.

use std::fs;

use fake_dfdaemon::Rpc;

use crate::support::command::words;
use crate::support::files::{PIECE, seeded};
use crate::support::terminal::{Terminal, screen_of};
use crate::support::{Dfcache, ScriptedDaemon, Step, World};
use testkit::whole;

const WIDTHS: [u16; 3] = [40, 80, 200];

/// The only line that a screen shows of what has been sent so far.
#[track_caller]
fn only_line(terminal: &Terminal, width: u16) -> String {
    let lines = screen_of(width.into(), &terminal.text());
    let mut shown = lines.into_iter().filter(|line| !line.is_empty());
    let line = shown.next().unwrap_or_default();
    assert_eq!(shown.next(), None, "{width}: {line}");
    assert!(line.chars().count() <= width.into(), "{width}: {line}");
    line
}

/// The export stands still half-way, so that what it shows can be read.
#[test]
fn progress_fits_the_terminal_and_leaves_nothing_when_it_is_broken_off() {
    let world = World::new();
    let mut steps = whole(&seeded(1, 2 * PIECE));
    steps.truncate(2);
    steps.push(Step::Hang);
    for width in WIDTHS {
        let daemon = ScriptedDaemon::answering(steps.clone());
        let line = "export --transfer-from-dfdaemon -O model-of-a-long-name-00001.bin 7";
        let command = world.at(&daemon.endpoint).args(words(line));
        let (running, mut terminal) = Terminal::of_width(width, command);
        terminal.wait_for("50%");
        let shown = only_line(&terminal, width);
        assert!(shown.contains("00001.bin"), "{width}: {shown}");
        assert!(shown.contains("/s "), "{width}: {shown}");
        assert_eq!(shown.contains("4.00 MiB/8.00 MiB"), width >= 60, "{shown}");
        assert_eq!(shown.contains("model-of-a-long"), width == 200, "{shown}");
        running.terminate();
        let sent = terminal.rest();
        let screen = screen_of(width.into(), &sent).concat();
        assert!(!screen.contains("MiB") && !screen.contains('%'), "{screen}");
        running.wait().fails_with(143);
    }
}

#[test]
fn a_tree_shows_how_many_files_and_which_one() {
    let world = World::new();
    fs::create_dir_all(world.path("tree/sub")).unwrap();
    world.file("tree/a", PIECE);
    world.file("tree/sub/model-00002.bin", PIECE);
    let line = |line: &str| world.dfcache().args(words(line));
    let id = line("import --recursive tree").run().succeeds().line();
    let export = format!("export --recursive --jobs 1 --transfer-from-dfdaemon {id} -O out");
    for width in WIDTHS {
        // The first call is for the manifest.
        let _fault = world.daemon().fault("export@call=3:stall".parse().unwrap());
        let (running, mut terminal) = Terminal::of_width(width, line(&export));
        terminal.wait_for("0002.bin");
        while !only_line(&terminal, width).contains("50%") {
            terminal.wait_for_more();
        }
        let shown = only_line(&terminal, width);
        let counted = if width == 40 { "1/2 " } else { "1 of 2 files " };
        assert!(shown.contains(counted), "{width}: {shown}");
        running.terminate();
        terminal.rest();
        running.wait().fails_with(143);
        world.daemon().journal().clear().unwrap();
    }
    let (run, sent) = Terminal::as_stderr_of(line(&export));
    run.succeeds();
    let screen = screen_of(80, &sent);
    assert!(screen[0].starts_with("2 files: 8.0 MiB in "), "{screen:?}");
    assert!(screen[0].ends_with("/s"), "{screen:?}");
    let (run, sent) = Terminal::as_stderr_of(line("import --recursive tree"));
    run.succeeds();
    let already = "2 files, 2 of them there already: 8.0 MiB in ";
    assert!(screen_of(80, &sent)[0].starts_with(already), "{sent:?}");
}

#[test]
fn a_line_of_summary_stays_on_a_terminal() {
    let world = World::new();
    let file = world.file("file", PIECE);
    let shown = |line: &str| {
        let command = world.dfcache().args(words(line));
        // Nobody reads content from a pipe meanwhile.
        let command = match line.contains("-O -") {
            true => command.stdout(std::process::Stdio::null()),
            false => command,
        };
        let (run, sent) = Terminal::as_stderr_of(command);
        let screen = screen_of(80, &sent);
        (
            run.succeeds(),
            screen
                .into_iter()
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>(),
        )
    };
    let (run, summary) = shown("import file");
    let id = run.line();
    assert_eq!(summary.len(), 1, "{summary:?}");
    assert!(summary[0].starts_with("file: 4.0 MiB in "), "{summary:?}");
    for (line, starts, has_rate) in [
        (format!("export -O out {id}"), "out: 4.0 MiB in ", false),
        (
            format!("export --transfer-from-dfdaemon -O copy {id}"),
            "copy: 4.0 MiB in ",
            true,
        ),
        (format!("export -O - {id}"), "task ", true),
        (format!("verify {id} file"), "file: 4.0 MiB in ", true),
    ] {
        let (run, summary) = shown(&line);
        assert_eq!(summary.len(), 1, "{line}: {summary:?}");
        assert!(summary[0].starts_with(starts), "{summary:?}");
        assert_eq!(summary[0].ends_with("/s"), has_rate, "{summary:?}");
        // stdout is the result whatever the terminal shows.
        if starts.starts_with("copy") {
            assert_eq!(run.line(), world.path("copy").to_str().unwrap());
        }
    }
    world.assert_same(&file, "copy");
}

#[test]
fn no_progress_is_shown_where_nobody_looks_or_content_goes() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let export = |options: &str| {
        let line = format!("export {options} {id}");
        world.dfcache().args(words(&line))
    };
    for command in [
        export("-O a").env("CI", "true"),
        export("-O b --no-progress"),
    ] {
        let (run, sent) = Terminal::as_stderr_of(command);
        run.succeeds();
        assert_eq!(sent, "");
    }
    // The terminal gets the content itself.
    let (running, terminal) = Terminal::as_both_of(export("-O -"));
    let sent = terminal.rest();
    running.wait();
    assert!(!sent.contains('\x1b') && !sent.contains("MiB"), "{sent:?}");
    let calls = world.daemon().journal().calls(Rpc::Export);
    assert_eq!(calls.len(), 3);
}

/// The terminal itself shows `^C` where its cursor is.
#[cfg(target_os = "linux")]
#[test]
fn a_key_that_interrupts_a_tree_leaves_nothing_of_it() {
    let world = World::new();
    fs::create_dir(world.path("tree")).unwrap();
    world.file("tree/file", PIECE);
    let line = |line: &str| {
        Dfcache::in_session(&world.work(), &world.home())
            .at(&world.endpoint(0))
            .args(words(line))
    };
    let import = world.dfcache().args(words("import --recursive tree"));
    let id = import.run().succeeds().line();
    let _fault = world.daemon().fault("export@call=2:stall".parse().unwrap());
    let export = format!("export --recursive --transfer-from-dfdaemon {id} -O out");
    let (running, mut terminal) = Terminal::in_control_of(line(&export));
    terminal.wait_for("0 of 1 files file");
    terminal.type_keys(b"\x03");
    let sent = terminal.rest();
    assert!(sent.contains("^C"), "{sent:?}");
    running.wait().fails_with(130);
    let shown = screen_of(80, &sent);
    assert!(shown[0].starts_with("error: "), "{shown:#?}");
    assert!(!shown.concat().contains(" of 1 files"), "{shown:#?}");
    world.holds_only(&["tree"]);
}
