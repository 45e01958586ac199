//! A terminal to show things to.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use super::command::{Dfcache, Run, Running};

/// The terminal that a command has as its stderr, seen from where a person sits.
pub struct Terminal {
    screen: File,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts a command with a terminal as its stderr.
    pub fn in_front_of(command: Dfcache) -> (Running, Self) {
        Self::open(|side| command.stderr(side))
    }

    /// The same in front of a terminal of so many columns.
    pub fn of_width(width: u16, command: Dfcache) -> (Running, Self) {
        Self::open(|side| {
            let mut size = tcgetwinsize(&side).unwrap();
            (size.ws_col, size.ws_row) = (width, 24);
            tcsetwinsize(&side, size).unwrap();
            command.stderr(side)
        })
    }

    /// Starts a command in a session of its own, with a terminal as its stdin and stderr.
    pub fn in_control_of(command: Dfcache) -> (Running, Self) {
        Self::open(|side| command.stdin(side.try_clone().unwrap()).stderr(side))
    }

    fn open(attach: impl FnOnce(File) -> Dfcache) -> (Running, Self) {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let name = Path::new(name.to_str().unwrap());
        let side = File::options().read(true).write(true).open(name).unwrap();
        let running = attach(side).env("TERM", "xterm").start();
        let screen = File::from(screen);
        let shown = Vec::new();
        (running, Self { screen, shown })
    }

    /// Runs a command to its end; returns what the terminal was sent.
    pub fn as_stderr_of(command: Dfcache) -> (Run, String) {
        let (running, terminal) = Self::in_front_of(command);
        let shown = terminal.rest();
        (running.wait(), shown)
    }

    /// The same with the terminal as its stdout.
    pub fn as_stdout_of(command: Dfcache) -> (Run, String) {
        let (running, terminal) = Self::open(|side| command.stdout(side));
        let shown = terminal.rest();
        (running.wait(), shown)
    }

    /// Starts a command with a terminal as its stdout and stderr.
    pub fn as_both_of(command: Dfcache) -> (Running, Self) {
        Self::open(|side| command.stdout(side.try_clone().unwrap()).stderr(side))
    }

    /// Waits until the terminal has been sent more.
    pub fn wait_for_more(&mut self) {
        assert!(self.read(), "no more was shown: {:?}", self.text());
    }

    /// Types keys.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.screen.write_all(keys).unwrap();
    }

    /// Waits until the terminal has been sent `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !self.text().contains(text) {
            assert!(self.read(), "never showed {text:?}: {:?}", self.text());
        }
    }

    /// All that was sent, after the command has let go of the terminal.
    pub fn rest(mut self) -> String {
        while self.read() {}
        self.text()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Reads on. False when the last writer has gone, which is an error of the terminal.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let length = self.screen.read(&mut buffer).unwrap_or(0);
        self.shown.extend_from_slice(&buffer[..length]);
        length > 0
    }
}

/// The lines that a screen of 80 columns shows once it was sent `text`.
pub fn screen(text: &str) -> Vec<String> {
    screen_of(80, text)
}

/// The same with another width.
pub fn screen_of(width: usize, text: &str) -> Vec<String> {
    let mut lines = vec![vec![' '; width]];
    let (mut line, mut column) = (0_usize, 0_usize);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => line += 1,
            '\x1b' => {
                assert_eq!(rest.next(), Some('['), "{text:?}");
                let mut number = String::new();
                let end = loop {
                    match rest.next().unwrap() {
                        c @ ('0'..='9' | ';') => number.push(c),
                        end => break end,
                    }
                };
                let distance = number.parse().unwrap_or(1);
                match end {
                    'A' => line = line.saturating_sub(distance),
                    'B' => line += distance,
                    'C' => column = (column + distance).min(width - 1),
                    'D' => column = column.saturating_sub(distance),
                    'K' => lines[line].fill(' '),
                    'm' => {}
                    other => panic!("{other:?} in {text:?}"),
                }
            }
            c => {
                // A line that is full goes on in the next one only when something follows.
                if column == width {
                    (line, column) = (line + 1, 0);
                    lines.resize(lines.len().max(line + 1), vec![' '; width]);
                }
                lines[line][column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(line + 1), vec![' '; width]);
    }
    let text = lines.into_iter().map(String::from_iter);
    text.map(|line| line.trim_end().to_owned()).collect()
}
