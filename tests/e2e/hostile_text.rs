//! Text of a daemon that means harm: what a terminal would take for a command is shown, not sent,
//! on stdout, on stderr, in JSON and in the log.

use std::fs;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::StatLocalPersistentCacheTaskResponse;
use tonic::{Code, Status};

use crate::support::command::words;
use crate::support::files::names_in;
use crate::support::terminal::Terminal;
use crate::support::world::Directory;
use crate::support::{Run, ScriptedDaemon, Step};
use testkit::piece;

/// Escape, bell, backspace, delete, a C1 introducer, next line, ends of lines, line and paragraph
/// separators, and what turns the direction of a text.
const COMMANDS: [char; 20] = [
    '\x1b', '\x07', '\x08', '\x7f', '\u{9b}', '\u{85}', '\n', '\r', '\0', '\u{2028}', '\u{2029}',
    '\u{200e}', '\u{200f}', '\u{61c}', '\u{202a}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2069}',
];

fn hostile() -> String {
    let commands: String = COMMANDS.iter().collect();
    format!("gone{commands}[2J\u{9b}31m\x1b]0;title\x07error: forged")
}

/// Every answer that can carry a text, and what asks for it.
fn answers() -> Vec<(&'static str, Vec<Step>)> {
    let fails = || Status::internal(hostile());
    let wrapped = || {
        // As the releases wrap a status of their scheduler; the text is not always escaped.
        let text = hostile();
        [
            format!("status: NotFound, message: \"{text}\", details: [], metadata: {text}"),
            format!("code: 'Some requested entity was not found', message: \"{text}\""),
            format!("persistent cache task {text} is Succeeded cannot upload"),
        ]
    };
    let asked = PersistentCacheTask {
        id: "7".into(),
        state: hostile(),
        tag: Some(hostile()),
        application: Some(hostile()),
        ..PersistentCacheTask::default()
    };
    let task = PersistentCacheTask {
        id: hostile(),
        ..asked.clone()
    };
    let local = StatLocalPersistentCacheTaskResponse {
        task_id: hostile(),
        ..StatLocalPersistentCacheTaskResponse::default()
    };
    let mut odd = piece(0, 0, b"content");
    odd.digest = hostile();
    let stream = |rest: Step| vec![Step::Started(7), rest];
    let mut answers = vec![
        ("stat 7", vec![Step::Task(Box::new(asked.clone()))]),
        ("stat 7", vec![Step::Task(Box::new(task.clone()))]),
        (
            "stat 7 --wait-for-replicas 1 --timeout 1s",
            vec![Step::Task(Box::new(asked))],
        ),
        ("import file", vec![Step::Task(Box::new(task.clone()))]),
        ("ls", vec![Step::Local(local)]),
        ("export 7 -O out", vec![Step::Fail(fails())]),
        ("export 7 -O out", stream(Step::Fail(fails()))),
        (
            "export 7 -O out --transfer-from-dfdaemon",
            stream(Step::Fail(fails())),
        ),
        (
            "export 7 -O out --transfer-from-dfdaemon",
            stream(Step::Piece(odd)),
        ),
    ];
    for text in wrapped() {
        for command in [
            "stat 7",
            "import file",
            "import file --skip-existing",
            "export 7 -O out",
        ] {
            let status = Status::new(Code::Internal, &text);
            answers.push((command, vec![Step::Fail(status)]));
        }
    }
    answers
}

#[track_caller]
fn assert_harmless(what: &str, text: &str) {
    let text = text.replace('\n', " ");
    let found = text.chars().find(|character| COMMANDS.contains(character));
    assert_eq!(found, None, "{what}: {text:?}");
    assert!(!text.chars().any(char::is_control), "{what}: {text:?}");
}

/// A line that only looks as if dfcache had said it.
#[track_caller]
fn assert_not_forged(run: &Run) {
    let forged = |text: String| text.lines().any(|line| line.starts_with("error: forged"));
    assert!(!forged(run.stdout()) && !forged(run.stderr()), "{run}");
}

struct Case {
    directory: Directory,
    daemon: ScriptedDaemon,
    command: &'static str,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        answers().into_iter().map(|(command, steps)| {
            let directory = Directory::new();
            directory.file("file", 10);
            let daemon = ScriptedDaemon::answering(steps);
            Self {
                directory,
                daemon,
                command,
            }
        })
    }

    fn dfcache(&self, more: &str) -> crate::support::Dfcache {
        let dfcache = self.directory.at(&self.daemon.endpoint);
        dfcache.args(words(self.command)).args(words(more))
    }
}

#[test]
fn text_of_a_daemon_is_shown_and_not_sent_to_the_terminal() {
    let mut said = 0;
    for case in Case::all() {
        for format in ["text", "json"] {
            let run = case.dfcache(&format!("--verbose --format {format}")).run();
            let what = format!("{} as {format}", case.command);
            assert_harmless(&what, &run.stdout());
            assert_harmless(&what, &run.stderr());
            assert_not_forged(&run);
            said += usize::from((run.stdout() + &run.stderr()).contains("gone"));
            if format == "json" {
                // Still what was said, to a program.
                let text = if run.code() == Some(0) {
                    run.stdout()
                } else {
                    run.stderr()
                };
                let line = text.lines().last().unwrap();
                let _: serde_json::Value = serde_json::from_str(line).unwrap();
            }
        }
    }
    // Not harmless for saying nothing.
    assert!(said > 20, "{said}");
}

#[test]
fn json_carries_the_text_as_it_is() {
    let steps = answers().swap_remove(0).1;
    let directory = Directory::new();
    let daemon = ScriptedDaemon::answering(steps);
    let stat = directory.at(&daemon.endpoint);
    let run = stat
        .args(["stat", "7", "--format", "json"])
        .run()
        .succeeds();
    assert_eq!(run.json()["tag"], hostile());
}

#[test]
fn a_terminal_is_sent_no_commands_of_a_daemon() {
    for case in Case::all() {
        let dfcache = case.dfcache("--no-progress").env("NO_COLOR", "1");
        let (run, shown) = Terminal::as_stderr_of(dfcache);
        // A terminal's lines end so.
        assert_harmless(case.command, &shown.replace("\r\n", "\n"));
        assert_harmless(case.command, &run.stdout());
    }
}

#[test]
fn a_log_has_no_commands_and_no_forged_lines() {
    for case in Case::all() {
        let run = case.dfcache("--log-level trace").run();
        let logs = case.directory.home().join("logs");
        for name in names_in(&logs) {
            let log = fs::read_to_string(logs.join(name)).unwrap();
            assert_harmless(case.command, &log);
            let begun = |line: &str| line.starts_with("20") && line.contains('Z');
            assert!(log.lines().all(begun), "{log:?}");
        }
        drop(run);
    }
}
