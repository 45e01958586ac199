//! The sessions of README.md and the pages in docs/, typed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::readme::pages;
use crate::support::command::DFCACHE;
use crate::support::skipped;
use crate::support::world::Directory;

/// A command that was typed, and what was shown.
#[derive(Debug, PartialEq)]
struct Typed {
    command: String,
    shown: String,
}

fn transcript(lines: &[&str]) -> Vec<Typed> {
    let mut typed: Vec<Typed> = Vec::new();
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(command) => typed.push(Typed {
                command: command.to_owned(),
                shown: String::new(),
            }),
            None => typed.last_mut().unwrap().shown += &format!("{line}\n"),
        }
    }
    typed
}

/// The `console` blocks of a page.
fn sessions(page: &str) -> Vec<Vec<Typed>> {
    let mut sessions = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == "```console") {
        let block = lines.by_ref().take_while(|line| *line != "```");
        sessions.push(transcript(&block.collect::<Vec<_>>()));
    }
    sessions
}

/// Without what is another in every run: process ids, seeds, times.
fn settled(text: &str) -> String {
    let without_number = |text: String, key: &str| match text.split_once(key) {
        None => text,
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}{key}…{after}")
        }
    };
    let line = |line: &str| {
        let time = ["CREATED  ", "UPDATED  ", "EXPIRES  ", "  complete  in "];
        let time = time.into_iter().find_map(|start| {
            let end = line.find(start)? + start.len();
            Some(format!("{}…", &line[..end]))
        });
        let line = time.unwrap_or_else(|| line.to_owned());
        let numbers = ["\"pid\":", "\"fault_seed\":", "\"duration_ms\":"];
        numbers.into_iter().fold(line, without_number) + "\n"
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn assert_shown(command: &str, shown: &str, written: &str) {
    assert_eq!(settled(shown), settled(written), "$ {command}\n{shown}");
}

/// Where the sessions happen: one directory for all, and the daemons that they have started.
struct Desk {
    directory: Directory,
    daemons: Vec<Child>,
}

impl Desk {
    fn bash(&self, script: &str) -> Command {
        let bin = Path::new(DFCACHE).parent().unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-c", script])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", self.directory.home())
            .current_dir(self.directory.work())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for command in ["IMPORT", "EXPORT", "STAT", "LS"] {
            bash.env(format!("DFCACHE_{command}_LOG_DIR"), self.directory.home());
        }
        bash
    }

    fn shown(&self, text: &str) -> String {
        text.replace(self.directory.work().to_str().unwrap(), "/home/you")
    }

    /// Starts a daemon, and waits for what it says when it is ready, as on a terminal. That need not be
    /// written.
    fn serve(&mut self, typed: &Typed) {
        let mut bash = self.bash(&format!("exec {}", typed.command));
        bash.env("FAKE_DFDAEMON_FORMAT", "text");
        let mut daemon = bash.spawn().unwrap();
        let mut ready = String::new();
        let mut stdout = BufReader::new(daemon.stdout.as_mut().unwrap());
        for _ in 0..typed.shown.lines().count().max(1) {
            stdout.read_line(&mut ready).unwrap();
        }
        self.daemons.push(daemon);
        assert!(ready.contains("ready"), "$ {}\n{ready}", typed.command);
        if !typed.shown.is_empty() {
            assert_shown(&typed.command, &self.shown(&ready), &typed.shown);
        }
    }

    /// Types commands into one shell, and compares what each shows.
    fn follow(&self, session: &[Typed]) {
        const END: &str = "--- end of a command ---";
        let script = session
            .iter()
            .fold("exec 2>&1\n".to_owned(), |script, typed| {
                script + &format!("{}\necho '{END}'\n", typed.command)
            });
        let output = self.bash(&script).output().unwrap();
        let output = self.shown(&String::from_utf8(output.stdout).unwrap());
        let parts: Vec<_> = output.split(&format!("{END}\n")).collect();
        assert_eq!(parts.len(), session.len() + 1, "{output}");
        for (typed, part) in session.iter().zip(parts) {
            assert_shown(&typed.command, part, &typed.shown);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A page's sessions happen in one directory, which is empty at first.
fn follow_page(page: &str) {
    let mut desk = Desk {
        directory: Directory::new(),
        daemons: Vec::new(),
    };
    let has_curl = ["/usr/bin/curl", "/bin/curl"]
        .iter()
        .any(|curl| Path::new(curl).exists());
    for session in sessions(page) {
        if session[0].command.starts_with("fake-dfdaemon serve") {
            desk.serve(&session[0]);
        } else if !has_curl
            && session
                .iter()
                .any(|typed| typed.command.starts_with("curl"))
        {
            skipped("a session with curl, which is not there");
        } else {
            desk.follow(&session);
        }
    }
}

#[test]
fn their_sessions_show_what_they_say() {
    let with_sessions: Vec<_> = pages()
        .into_iter()
        .filter(|(_, text)| !sessions(text).is_empty())
        .collect();
    for page in [
        "README.md",
        "docs/fake-dfdaemon.md",
        "docs/control-api.md",
        "docs/ci.md",
    ] {
        assert!(with_sessions.iter().any(|(path, _)| path == page), "{page}");
    }
    for (path, text) in with_sessions {
        eprintln!("{path}");
        follow_page(&text);
    }
}
