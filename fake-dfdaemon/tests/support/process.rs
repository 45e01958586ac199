//! The built program, as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A program that serves. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The ready line.
    pub ready: serde_json::Value,
}

/// `fake-dfdaemon serve`, to be given options.
pub fn serve() -> Command {
    testkit::signals::as_in_a_terminal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"));
    command.arg("serve");
    command
}

impl Process {
    /// Starts it, and returns when it is ready.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line);
        let ready = ready.unwrap_or_else(|error| panic!("not ready: {line:?} ({error})"));
        Self { child, ready }
    }

    /// Its stderr, which was asked for as a pipe.
    pub fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// A path that the ready line names.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.ready.get(name).unwrap().as_str().unwrap())
    }

    /// The socket of a host.
    pub fn endpoint(&self, host: usize) -> PathBuf {
        let hosts = self.ready.get("hosts").unwrap();
        let endpoint = hosts.get(host).unwrap().get("endpoint").unwrap();
        PathBuf::from(endpoint.as_str().unwrap())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().unwrap() << 10
    }

    /// Sends it a signal and waits for its end.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        testkit::wait::end_of(&mut self.child)
    }

    /// Kills it, as the system does that is out of memory.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that shall not start: its exit code and what it said.
pub fn refused(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // One that starts after all says so, and would never end.
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    if !line.is_empty() {
        child.kill().unwrap();
    }
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(line, "", "it was not refused");
    (code, said)
}

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
