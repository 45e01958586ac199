//! The program in a directory of its own, which is all that it may leave something in.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::process::names;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_fake-dfdaemon");

pub(crate) struct Sandbox {
    dir: TempDir,
}

/// What a program came to.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tmp", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    /// Where temporary directories are made.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// A file in the directory that programs run in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub(crate) fn program(&self) -> Command {
        testkit::signals::as_in_a_terminal();
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TMPDIR", self.tmp())
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `run OPTIONS -- COMMAND`, to its end.
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Ended {
        let mut program = self.program();
        program.arg("run").args(options).arg("--").args(command);
        ended(program.output().unwrap())
    }

    /// The same with a script for the shell.
    pub(crate) fn run_script(&self, options: &[&str], script: &str) -> Ended {
        self.run(options, &["sh", "-c", script])
    }

    /// Starts `run` with a script that says a line when it is ready, and returns when it has.
    pub(crate) fn start_script(&self, options: &[&str], script: &str) -> Running {
        let mut program = self.program();
        program.arg("run").args(options);
        program.args(["--", "sh", "-c", script]);
        Running::start(program)
    }

    #[track_caller]
    pub(crate) fn leaves_nothing(&self) {
        assert!(
            names(&self.tmp()).is_empty(),
            "left: {:?}",
            names(&self.tmp())
        );
    }
}

/// A program that runs, and has said its first line.
pub(crate) struct Running {
    child: Child,
    pub(crate) line: String,
}

impl Running {
    pub(crate) fn start(mut program: Command) -> Self {
        use std::io::Read as _;
        let mut child = program.spawn().unwrap();
        let mut line = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        // What follows the line is left for the end.
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        Self { child, line }
    }

    pub(crate) fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_raw(self.child.id().try_into().unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.id(), signal).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(b"some input\n").unwrap();
    }

    /// Waits until a process that was killed is gone.
    pub(crate) fn wait_for_death(mut self) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    pub(crate) fn wait(self) -> Ended {
        ended(self.child.wait_with_output().unwrap())
    }
}

pub(crate) fn ended(output: Output) -> Ended {
    assert_eq!(output.status.signal(), None, "it died of a signal itself");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} is not in {:?}",
            self.stderr
        );
        self
    }
}

/// Whether a process is there, and no zombie.
pub(crate) fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
