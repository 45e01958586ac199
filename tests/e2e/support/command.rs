//! Running dfcache, and what it came to.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

/// The program under test.
pub const DFCACHE: &str = env!("CARGO_BIN_EXE_dfcache");

/// A dfcache that is about to run, in an environment of its own: nothing is inherited.
pub struct Dfcache {
    command: Command,
    directory: PathBuf,
}

impl Dfcache {
    /// `home` holds what the command may leave on its own account: logs.
    pub fn new(directory: &Path, home: &Path) -> Self {
        Self::of(Path::new(DFCACHE), directory, home)
    }

    /// With a shell that runs `prepare` and then becomes the program: `$@` is not expanded before.
    pub fn after(directory: &Path, home: &Path, prepare: &str) -> Self {
        let script = format!("{prepare}; exec \"$0\" \"$@\"");
        Self::of(Path::new("/bin/sh"), directory, home)
            .args(["-c", &script, DFCACHE])
            .env("PATH", "/usr/bin:/bin")
    }

    /// In a session of its own, whose terminal is the command's stdin: keys typed there are signals.
    pub fn in_session(directory: &Path, home: &Path) -> Self {
        let setsid = Path::new("/usr/bin/setsid");
        Self::of(setsid, directory, home).args(["--ctty", DFCACHE])
    }

    pub fn of(program: &Path, directory: &Path, home: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", home)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ["IMPORT", "EXPORT", "STAT", "LS", "VERIFY", "DOCTOR"] {
            command.env(format!("DFCACHE_{name}_LOG_DIR"), home.join("logs"));
        }
        Self {
            command,
            directory: directory.to_owned(),
        }
    }

    pub fn at(self, endpoint: &Path) -> Self {
        self.env("DFCACHE_ENDPOINT", endpoint)
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// As a user who owns nothing.
    pub fn by_user(mut self, user: u32) -> Self {
        use std::os::unix::process::CommandExt as _;
        self.command.uid(user).gid(user);
        self
    }

    /// Runs to its end.
    pub fn run(self) -> Run {
        self.start().wait()
    }

    /// Starts, and leaves the test to do something meanwhile.
    pub fn start(self) -> Running {
        let Self {
            mut command,
            directory,
        } = self;
        testkit::signals::as_in_a_terminal();
        let child = command.spawn();
        Running {
            child: child.unwrap_or_else(|error| panic!("{DFCACHE}: {error}")),
            line: shown(&command),
            directory,
            stdout: None,
        }
    }
}

fn shown(command: &Command) -> String {
    let words = command.get_args().map(OsStr::to_string_lossy);
    words.fold("dfcache".to_owned(), |line, word| line + " " + &word)
}

/// A dfcache that runs. It must be waited for.
pub struct Running {
    child: Child,
    line: String,
    directory: PathBuf,
    /// What is read while it runs.
    stdout: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Sends a signal that has no name, too.
    pub fn signal_numbered(&self, number: i32) {
        let pid = self.child.id().to_string();
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -$0 $1", &number.to_string(), &pid]);
        assert!(kill.status().unwrap().success());
    }

    /// What sends it signals while it is waited for.
    pub fn storm(&self) -> Storm {
        let pid = i32::try_from(self.child.id()).unwrap();
        Storm(rustix::process::Pid::from_raw(pid).unwrap())
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it would hear a signal: until then one ends it unheard, and nothing has begun.
    #[cfg(target_os = "linux")]
    pub fn wait_until_it_listens(&self) {
        let status = format!("/proc/{}/status", self.child.id());
        let hears = |status: &str| {
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            let blocked = u64::from_str_radix(blocked.unwrap_or("0").trim(), 16).unwrap();
            // They wait to be read. A process that has ended hears none.
            blocked >> 63 & 1 == 1 || status.contains("State:\tZ")
        };
        while !hears(&std::fs::read_to_string(&status).unwrap()) {
            std::thread::yield_now();
        }
    }

    pub fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Takes `length` bytes of stdout, and leaves it open.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        self.try_read(length).unwrap()
    }

    /// The same, if so many come.
    pub fn try_read(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let stdout = self.child.stdout.as_mut()?;
        stdout.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Waits for a line on stderr.
    pub fn read_error_line(&mut self) -> String {
        let mut line = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        // One byte at a time: what follows the line is left to `wait`.
        BufReader::with_capacity(1, stderr)
            .read_line(&mut line)
            .unwrap();
        line
    }

    /// Closes the reading end of stdout.
    pub fn stop_reading(&mut self) {
        drop(self.child.stdout.take());
    }

    /// The most memory that it has had, in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<usize>().unwrap() << 10
    }

    /// Reads stdout while it runs: a pipe that nobody reads keeps it waiting.
    pub fn read_on(&mut self) {
        let mut stdout = self.child.stdout.take().unwrap();
        self.stdout = Some(std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            bytes
        }));
    }

    pub fn wait(self) -> Run {
        let mut output = testkit::wait::output_of(self.child, &self.line);
        if let Some(stdout) = self.stdout {
            output.stdout = stdout.join().unwrap();
        }
        Run {
            output,
            line: self.line,
            directory: self.directory,
        }
    }
}

/// Sends signals to a process.
pub struct Storm(rustix::process::Pid);

impl Storm {
    /// Sends one, if the process is there to get it.
    pub fn send(&self, signal: rustix::process::Signal) -> bool {
        rustix::process::kill_process(self.0, signal).is_ok()
    }

    /// Whether the process has not taken one yet that was sent to it.
    pub fn waits(&self, number: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.as_raw_nonzero()));
        let status = status.unwrap_or_default();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let pending = u64::from_str_radix(pending.unwrap_or("0").trim(), 16).unwrap();
        pending >> (number - 1) & 1 == 1
    }
}

/// What a command came to.
pub struct Run {
    output: Output,
    line: String,
    directory: PathBuf,
}

impl Run {
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        let status = self.output.status;
        assert!(
            status.code() == Some(code),
            "expected exit code {code}, got {status}\n{self}"
        );
        self
    }

    /// It failed, and stdout got nothing.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        let run = self.exits_with(code);
        assert!(run.output.stdout.is_empty(), "stdout is not empty\n{run}");
        run
    }

    /// stderr has `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr().contains(text),
            "stderr lacks {text:?}\n{self}"
        );
        self
    }

    #[track_caller]
    pub fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stderr().contains(text), "stderr has {text:?}\n{self}");
        self
    }

    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.output.status.signal()
    }

    pub fn stdout_bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The one line of stdout, without its end.
    #[track_caller]
    pub fn line(&self) -> String {
        let stdout = self.stdout();
        let line = stdout.strip_suffix('\n');
        match line {
            Some(line) if !line.contains('\n') => line.to_owned(),
            _ => panic!("stdout is not one line\n{self}"),
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// The `error` object on the last line of stderr.
    #[track_caller]
    pub fn json_error(&self) -> Value {
        let stderr = self.stderr();
        let line = stderr.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("the last line of stderr: {error}\n{self}"));
        value["error"].clone()
    }

    /// Exit code, stdout and stderr in one text, with paths and times made the same.
    pub fn snapshot(&self) -> String {
        let mut text = format!("exit code: {}\n", self.output.status.code().unwrap_or(-1));
        for (name, content) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            if !content.is_empty() {
                text += &format!("--- {name}\n{content}");
            }
        }
        text.replace(&*self.directory.to_string_lossy(), "[DIR]")
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "command:   {}", self.line)?;
        writeln!(f, "directory: {}", self.directory.display())?;
        writeln!(f, "exit:      {}", self.output.status)?;
        let stdout = self.stdout();
        let shown = stdout.chars().take(4000).collect::<String>();
        writeln!(f, "--- stdout ({} bytes)\n{shown}", stdout.len())?;
        write!(f, "--- stderr\n{}", self.stderr())
    }
}

/// Words of a command line: `words("stat --timeout 1s")`.
pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
#[should_panic(expected = "it hangs: sleep")]
fn a_command_that_hangs_is_killed_and_fails_its_test() {
    let mut command = Command::new("sleep");
    let child = command.arg("300").stdout(Stdio::piped()).spawn().unwrap();
    testkit::wait::output_within(std::time::Duration::ZERO, child, "sleep");
}
