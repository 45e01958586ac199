//! A world: a fake in this process, a directory to work in, and commands that meet both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_dfdaemon::{Builder, FakeDfdaemon, FaultGuard, Host, Rpc};
use tokio::runtime::Runtime;

use super::command::{Dfcache, Run};
use super::files::{assert_same_bytes, names_in, seeded};

/// A directory for a test; it stays if the test fails.
pub struct Directory {
    path: Option<tempfile::TempDir>,
}

impl Directory {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("e2e-").tempdir().unwrap();
        // Users without rights work in it too.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["work", "home"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self {
            path: Some(directory),
        }
    }

    fn root(&self) -> &Path {
        self.path.as_ref().unwrap().path()
    }

    /// Where commands run and files lie.
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// A file beside `work`.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file of seeded content into `work`.
    pub fn file(&self, name: &str, length: usize) -> PathBuf {
        let seed = name.bytes().fold(length as u64, |seed, byte| {
            seed.wrapping_mul(31) + u64::from(byte)
        });
        let path = self.path(name);
        fs::write(&path, seeded(seed, length)).unwrap();
        path
    }

    /// A dfcache at this endpoint, which need not be a fake's.
    pub fn at(&self, endpoint: &Path) -> Dfcache {
        self.dfcache().at(endpoint)
    }

    pub fn dfcache(&self) -> Dfcache {
        Dfcache::new(&self.work(), &self.home())
    }

    /// A dfcache that a shell becomes after it has run `prepare`.
    pub fn dfcache_after(&self, prepare: &str) -> Dfcache {
        Dfcache::after(&self.work(), &self.home(), prepare)
    }

    /// `work` holds these names and no other.
    #[track_caller]
    pub fn holds_only(&self, names: &[&str]) {
        let mut expected: Vec<_> = names.iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(
            names_in(&self.work()),
            expected,
            "left in {:?}",
            self.work()
        );
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(path) = self.path.take()
        {
            eprintln!("the test worked in {}", path.keep().display());
        }
    }
}

/// A fake of three hosts with a manual clock, and a directory.
pub struct World {
    // In this order: the fake stops before its directory and its runtime go.
    daemon: FakeDfdaemon,
    directory: Directory,
    runtime: Runtime,
}

impl std::ops::Deref for World {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.directory
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let directory = Directory::new();
        let runtime = runtime();
        let state = directory.beside("state");
        let builder = FakeDfdaemon::builder().manual_clock().state_dir(state);
        let daemon = runtime.block_on(configure(builder).start()).unwrap();
        Self {
            daemon,
            directory,
            runtime,
        }
    }

    pub fn daemon(&self) -> &FakeDfdaemon {
        &self.daemon
    }

    /// Waits until the journal has so many calls. That a client is gone the daemon finds out after its
    /// end, and a fault that is dropped before lets the call go on.
    pub fn wait_for_ended(&self, rpc: Rpc, count: usize) {
        let calls = self.daemon().journal().wait_for(rpc).count(count as u64);
        fake_dfdaemon::block_on(calls.within(testkit::wait::HANGS)).unwrap();
    }

    pub fn endpoint(&self, host: usize) -> PathBuf {
        self.daemon().host(host).unwrap().endpoint().to_owned()
    }

    /// A dfcache on the first host.
    pub fn dfcache(&self) -> Dfcache {
        self.on_host(0)
    }

    pub fn on_host(&self, host: usize) -> Dfcache {
        self.at(&self.endpoint(host))
    }

    /// Imports on the first host, and returns the id.
    #[track_caller]
    pub fn import(&self, file: &Path) -> String {
        self.import_with(&[], file)
    }

    #[track_caller]
    pub fn import_with(&self, options: &[&str], file: &Path) -> String {
        let run = self.dfcache().arg("import").args(options).arg(file).run();
        run.succeeds().line()
    }

    /// Exports on `host` to `output` in `work`.
    pub fn export(&self, host: usize, options: &[&str], id: &str, output: &str) -> Run {
        let command = self.on_host(host).arg("export").args(options);
        command.args(["-O", output, id]).run()
    }

    #[track_caller]
    pub fn stat(&self, id: &str) -> serde_json::Value {
        let run = self.dfcache().args(["stat", "--format", "json", id]).run();
        run.succeeds().json()
    }

    /// The output in `work` has the same bytes as `file`.
    #[track_caller]
    pub fn assert_same(&self, file: &Path, output: &str) {
        assert_same_bytes(&self.path(output), &fs::read(file).unwrap());
    }

    pub fn settle(&self) {
        self.runtime.block_on(self.daemon().settle());
    }

    pub fn advance(&self, seconds: u64) {
        let clock = self.daemon().clock();
        clock.advance(Duration::from_secs(seconds)).unwrap();
    }

    pub fn on_daemon<T>(&self, work: impl AsyncFnOnce(Host<'_>) -> T, host: usize) -> T {
        let host = self.daemon().host(host).unwrap();
        self.runtime.block_on(work(host))
    }
}

/// Waits until a call has met the fault.
pub fn until_it_fires(fault: &FaultGuard) {
    until_fired(fault, 1);
}

/// Waits until so many calls have met the fault.
pub fn until_fired(fault: &FaultGuard, times: u64) {
    fake_dfdaemon::block_on(fault.wait_until_fired(times));
}

/// Runs a command with a `--timeout` until it has met the fault, which nothing but its timeout ends. On a busy machine it
/// may be over before that: it gets twice as much then.
#[track_caller]
pub fn times_out_in(fault: &FaultGuard, mut run: impl FnMut(&str) -> Run) -> Run {
    let before = fault.fired();
    for timeout in timeouts() {
        let run = run(&timeout);
        if fault.fired() > before {
            return run;
        }
    }
    panic!("the fault never fires");
}

/// Times for a `--timeout`, from a short one to one that no machine takes.
pub fn timeouts() -> impl Iterator<Item = String> {
    let times = std::iter::successors(Some(300), |time| Some(2 * time));
    let times = times.take_while(|time| u128::from(*time) < testkit::wait::HANGS.as_millis());
    times.map(|time: u64| format!("{time}ms"))
}

/// A runtime for what plays the daemon.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
