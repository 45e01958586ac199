//! A fake in a process of its own, which can be killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::command::DFCACHE;

/// The fake's binary, which cargo puts beside dfcache's.
pub fn fake_dfdaemon() -> PathBuf {
    let path = Path::new(DFCACHE).with_file_name("fake-dfdaemon");
    assert!(
        path.exists(),
        "{} is missing: `make test` builds the binaries of the workspace first, \
         `cargo build --workspace --bins` does it by hand",
        path.display()
    );
    path
}

/// A running `fake-dfdaemon serve`; killed when dropped.
pub struct DaemonProcess {
    child: Child,
    ready: Value,
}

impl DaemonProcess {
    /// Returns when it is ready.
    pub fn start(state_dir: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(fake_dfdaemon());
        command.args(["serve", "--state-dir"]).arg(state_dir);
        command.args(options);
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        testkit::signals::as_in_a_terminal();
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("the fake did not get ready: {error}: {line:?}")
        });
        Self { child, ready }
    }

    pub fn endpoint(&self, host: usize) -> PathBuf {
        let endpoint = &self.ready["hosts"][host]["endpoint"];
        PathBuf::from(endpoint.as_str().unwrap())
    }

    pub fn control(&self) -> PathBuf {
        PathBuf::from(self.ready["control"].as_str().unwrap())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        testkit::wait::end_of(&mut self.child).code()
    }
}

impl Drop for DaemonProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
