//! A terminal to show things to.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::command::{Dfcache, Run, Running};

/// The terminal that a command has as its stderr, seen from where a person sits.
pub struct Terminal {
    screen: File,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts a command with a terminal as its stderr.
    pub fn in_front_of(command: Dfcache) -> (Running, Self) {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let name = Path::new(name.to_str().unwrap());
        let side = File::options().read(true).write(true).open(name).unwrap();
        let running = command.env("TERM", "xterm").stderr(side).start();
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

    fn text(&self) -> String {
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
