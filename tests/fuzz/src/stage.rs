//! Where a client under test runs: a runtime, a socket for whoever plays the daemon, a directory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dfcache::Endpoint;
use dfcache::{Error, ErrorKind};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// What takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is at an output before an export.
pub(crate) const OLD: &[u8] = b"old";

/// A place for one client and what it takes for its daemon.
#[derive(Debug)]
pub(crate) struct Stage {
    runtime: Runtime,
    pub(crate) listener: UnixListener,
    pub(crate) endpoint: Endpoint,
    directory: TempDir,
}

impl Default for Stage {
    fn default() -> Self {
        let runtime = runtime();
        let directory = directory();
        fs::create_dir(directory.path().join("work")).unwrap();
        let socket = directory.path().join("daemon.sock");
        let _inside = runtime.enter();
        Self {
            listener: UnixListener::bind(&socket).unwrap(),
            endpoint: Endpoint::new(&socket).unwrap(),
            runtime,
            directory,
        }
    }
}

impl Stage {
    /// Where exports go: in a directory of its own.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("work/out")
    }

    /// Puts an old file at the output, or nothing.
    pub(crate) fn set_output(&self, old: bool) {
        let _ = fs::remove_file(self.output());
        if old {
            fs::write(self.output(), OLD).unwrap();
        }
    }

    /// What is at the output; nothing may be beside it.
    pub(crate) fn take_output(&self) -> Option<Vec<u8>> {
        let entries = fs::read_dir(self.directory.path().join("work")).unwrap();
        for entry in entries {
            let name = entry.unwrap().file_name();
            assert_eq!(name, "out", "left beside the output");
        }
        fs::read(self.output()).ok()
    }

    /// Runs to the end, which must come.
    pub(crate) fn run<T>(&self, what: impl Future<Output = T>) -> T {
        within_time(&self.runtime, what)
    }
}

pub(crate) fn runtime() -> Runtime {
    // libFuzzer's main is no Rust: writing to a peer who has gone would end the process.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).unwrap();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A temporary directory, in memory where there is such a file system: disks are slow.
pub(crate) fn directory() -> TempDir {
    let named = || tempfile::Builder::new().prefix("dfcache-fuzz-").clone();
    let in_memory = named().tempdir_in("/dev/shm");
    in_memory.or_else(|_| named().tempdir()).unwrap()
}

/// Runs to the end, which must come.
pub(crate) fn within_time<T>(runtime: &Runtime, what: impl Future<Output = T>) -> T {
    let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, what).await });
    ended.expect("it hangs")
}

/// An error is one that a daemon can cause, and says so in full.
pub(crate) fn is_told(error: &Error) {
    let text = format!("{error}: {}", error.causes().join(": "));
    assert!(!text.contains("thread died"), "a thread panicked: {text}");
    let ours = matches!(error.kind(), ErrorKind::Usage | ErrorKind::Interrupted(_));
    assert!(!ours, "nobody here caused {:?}: {text}", error.kind());
    assert!(!error.to_string().is_empty());
}
