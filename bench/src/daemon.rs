//! Servers that are started, asked and stopped: the fake above all.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::interrupt::Process;
use crate::process;

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running fake of three hosts, or a server of the suite. Killed when dropped; what it has on
/// disk stays.
pub(crate) struct Daemon {
    process: Process,
    pub(crate) endpoint: PathBuf,
    state: PathBuf,
    /// From its start to its ready line.
    pub(crate) start: Duration,
}

impl Daemon {
    /// The fake, with its state in `state`.
    pub(crate) fn start(programs: &Path, state: &Path, options: &[&str]) -> Result<Self> {
        let mut command = Command::new(programs.join("fake-dfdaemon"));
        command.args(["serve", "--exit-on-stdin-close", "--state-dir"]);
        command.arg(state).args(options);
        Self::spawn(&mut command, state, state.join("host-0.sock"))
    }

    /// A program that prints a line when it is ready, and ends with its standard input.
    pub(crate) fn spawn(command: &mut Command, state: &Path, endpoint: PathBuf) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let start = Instant::now();
        let mut process = Process::start(command)?;
        let mut ready = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        let start = start.elapsed();
        if ready.is_empty() {
            return Err(format!("{} did not start", command.get_program().display()).into());
        }
        Ok(Self {
            process,
            endpoint,
            state: state.to_owned(),
            start,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        process::cpu(self.id())
    }

    /// Where the first host has the content of a task.
    pub(crate) fn content(&self, task_id: &str) -> PathBuf {
        let prefix = task_id.get(..3).unwrap_or(task_id);
        let tasks = self
            .state
            .join("hosts/host-0/content/persistent-cache-tasks");
        tasks.join(prefix).join(task_id)
    }

    /// Stops it and removes what it has on disk.
    pub(crate) fn discard(self) -> Result<()> {
        let state = self.state.clone();
        drop(self);
        Ok(fs::remove_dir_all(state)?)
    }
}

/// How long a server takes from its start until it accepts a connection at `socket`.
pub(crate) fn time_to_accept(command: &mut Command, socket: &Path) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let mut process = Process::start(command)?;
    while UnixStream::connect(socket).is_err() {
        if !process.is_running()? || start.elapsed() > PATIENCE {
            return Err(format!("{} did not start", command.get_program().display()).into());
        }
        // Short beside what is measured, and long beside an attempt.
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(start.elapsed())
}

/// A redis-server of next to no state, with its socket in `directory`.
pub(crate) fn redis(program: &OsStr, directory: &Path) -> (Command, PathBuf) {
    let socket = directory.join("redis.sock");
    let mut command = Command::new(program);
    command.args(["--port", "0", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(directory);
    command.arg("--unixsocket").arg(&socket);
    (command, socket)
}
