//! Colour where it is wanted and nowhere else, lines that fit, no carriage returns.

use crate::support::Run;
use crate::support::command::words;
use crate::support::terminal::Terminal;
use crate::support::world::Directory;

/// Help, and errors of both makes: the grammar's and our own.
const LINES: [&str; 5] = [
    "--help",
    "export -h",
    "frobnicate",
    "stat",
    "stat -e missing 7",
];

fn has_colour(run: &Run) -> bool {
    (run.stdout() + &run.stderr()).contains('\x1b')
}

#[test]
fn colour_in_a_pipe_is_there_only_when_it_is_forced() {
    let directory = Directory::new();
    for (variables, wanted) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "0")], false),
        (&[("CLICOLOR_FORCE", "")], false),
        (&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], true),
        (&[("TERM", "xterm-256color")], false),
    ] {
        for line in LINES {
            let command = directory.dfcache().args(words(line));
            let with = |command: crate::support::Dfcache, (name, value): &(&str, &str)| {
                command.env(name, value)
            };
            let run = variables.iter().fold(command, with).run();
            assert_eq!(has_colour(&run), wanted, "{variables:?} {line}\n{run}");
        }
    }
}

#[test]
fn a_terminal_has_colour_in_errors_unless_it_says_no() {
    let directory = Directory::new();
    for line in ["frobnicate", "stat", "stat -e missing 7"] {
        for (variable, wanted) in [
            (("LANG", "C"), true),
            (("CLICOLOR_FORCE", "0"), true),
            (("NO_COLOR", "1"), false),
        ] {
            let command = directory.dfcache().args(words(line));
            let (_, shown) = Terminal::as_stderr_of(command.env(variable.0, variable.1));
            assert!(shown.contains("error"), "{variable:?} {line}: {shown:?}");
            assert_eq!(
                shown.contains('\x1b'),
                wanted,
                "{variable:?} {line}: {shown:?}"
            );
        }
    }
}

#[test]
fn help_fits_the_width_that_there_is() {
    let directory = Directory::new();
    for command in [
        "",
        "import",
        "export",
        "stat",
        "ls",
        "id",
        "completions",
        "man",
    ] {
        for option in ["-h", "--help"] {
            for width in [40, 80, 200] {
                let run = directory.dfcache().args(words(command)).arg(option);
                let run = run.env("COLUMNS", width.to_string()).run().succeeds();
                let longest = run.stdout().lines().map(|line| line.chars().count()).max();
                // A narrow one cannot hold the longest names; examples are not broken either.
                let limit = width.max(80);
                assert!(
                    longest <= Some(limit),
                    "{command} {option} at {width}:\n{run}"
                );
            }
        }
    }
}

#[test]
fn lines_end_as_unix_has_it() {
    let directory = Directory::new();
    for line in [
        "--help",
        "export --help",
        "man",
        "man export",
        "completions bash",
        "completions zsh",
        "completions fish",
        "frobnicate",
        "stat",
    ] {
        let run = directory.dfcache().args(words(line)).run();
        let both = run.stdout() + &run.stderr();
        assert!(!both.contains('\r') && both.ends_with('\n'), "{run}");
    }
}
