//! The world of most tests: a fake, a directory for the test's files, and clients of the hosts.
//!
//! A suite adds what only it needs, in an `impl World` of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_dfdaemon::{Builder, Call, FakeDfdaemon, FaultGuard, Query};
use tempfile::TempDir;

use super::client::Client;
use super::content;
use super::peer_client::PeerClient;

pub struct World {
    pub daemon: FakeDfdaemon,
    /// Where the test's own files are.
    pub dir: TempDir,
}

impl World {
    /// Starts a fake.
    pub async fn start(builder: Builder) -> Self {
        Self {
            daemon: builder.start().await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new file, and its content.
    pub fn new_file(&self, length: usize) -> (PathBuf, Vec<u8>) {
        content::new_file(self.dir.path(), length)
    }

    /// A client of a host.
    pub async fn on_host(&self, host: usize) -> Client {
        client(&self.daemon, host).await
    }

    /// A client of a host's upload service.
    pub async fn peer(&self, host: usize) -> PeerClient {
        peer(&self.daemon, host).await
    }

    pub async fn stop(self) {
        self.daemon.stop().await;
    }

    pub fn advance(&self, by: Duration) {
        self.daemon.clock().advance(by).unwrap();
    }
}

/// A client of a host of a fake.
pub async fn client(daemon: &FakeDfdaemon, host: usize) -> Client {
    Client::connect(daemon.host(host).unwrap().endpoint()).await
}

/// A client of the upload service of a host of a fake.
pub async fn peer(daemon: &FakeDfdaemon, host: usize) -> PeerClient {
    PeerClient::connect(daemon.host(host).unwrap().upload_endpoint()).await
}

/// Waits until a fault has fired so often.
pub async fn fired(guard: &FaultGuard, times: u64) {
    let fires = tokio::time::timeout(testkit::wait::HANGS, guard.wait_until_fired(times));
    fires.await.expect("the fault fires");
}

/// Waits until so many calls have ended, and returns them.
pub async fn ended(daemon: &FakeDfdaemon, calls: impl Into<Query>, count: usize) -> Vec<Call> {
    let wait = daemon.journal().wait_for(calls).count(count as u64);
    wait.within(testkit::wait::HANGS).await.unwrap()
}

/// Where a host keeps the content of a task.
pub fn content_path(state: &Path, host: &str, id: &str) -> PathBuf {
    let prefix = id.get(..3).unwrap_or(id);
    let tasks = state.join("hosts").join(host);
    let tasks = tasks.join("content/persistent-cache-tasks");
    tasks.join(prefix).join(id)
}
