//! The files and the state of a scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::plan::Plan;
use super::steps::Scenario;
use crate::FakeDfdaemon;
use crate::call::clock::ClockMode;
use crate::cluster::{ImportRequest, RequestedTtl};
use crate::instance::error::StartError;
use crate::store::FailureInjector;

/// The TTL of tasks that [`Op::Expire`](super::steps::Op::Expire) ends.
pub(super) const SHORT: Duration = Duration::from_secs(24 * 3600);

/// The TTL of all others.
const LONG: Duration = Duration::from_secs(6 * 24 * 3600);
/// What was there before an output.
pub(super) const OLD: &[u8] = b"somebody else's";

/// A scenario's files and state.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) dir: TempDir,
    contents: Vec<Vec<u8>>,
}

impl<'a> Place<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        let dir = directory();
        fs::create_dir(dir.path().join("out")).unwrap();
        let contents: Vec<_> = scenario.lengths.iter().enumerate().map(content).collect();
        for (file, content) in contents.iter().enumerate() {
            fs::write(dir.path().join(format!("file-{file}")), content).unwrap();
        }
        Self {
            scenario,
            dir,
            contents,
        }
    }

    /// A file's content.
    pub(super) fn content(&self, file: usize) -> &[u8] {
        &self.contents[file]
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(super) fn file(&self, file: usize) -> PathBuf {
        self.dir.path().join(format!("file-{file}"))
    }

    pub(super) fn outputs(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(super) fn output(&self, file: usize) -> PathBuf {
        self.outputs().join(file.to_string())
    }

    /// Opens the state, at a time.
    pub(super) async fn open(
        &self,
        plan: Option<&Arc<Plan>>,
        now: Timestamp,
    ) -> Result<FakeDfdaemon, StartError> {
        let mut builder = FakeDfdaemon::builder()
            .hosts(self.scenario.hosts)
            .release(self.scenario.release)
            .clock(ClockMode::Manual(Some(now)))
            .fsync(plan.is_some())
            .state_dir(self.state());
        if let Some(capacity) = self.scenario.capacity {
            builder = builder.capacity(capacity);
        }
        builder.settings.failures = plan.map(|plan| Arc::clone(plan) as Arc<dyn FailureInjector>);
        builder.open_without_sockets().await
    }

    pub(super) fn import(&self, file: usize, replicas: u64, short: bool) -> ImportRequest {
        let known = self.scenario.known_ids.then(|| format!("file {file}"));
        ImportRequest {
            path: self.file(file),
            content_for_id: known,
            persistent_replica_count: replicas,
            tag: None,
            application: None,
            piece_length: None,
            ttl: RequestedTtl::Given(if short { SHORT } else { LONG }),
        }
    }
}

/// In memory, where there is room: a disk takes longer for the many thousand files than all else does,
/// and it is by steps of ours that these tests have it fail.
fn directory() -> TempDir {
    const IN_MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 1 << 30;
    let free = rustix::fs::statvfs(IN_MEMORY).map(|space| space.f_bavail * space.f_frsize);
    let in_memory = free.ok().filter(|free| *free >= ROOM);
    let in_memory = in_memory.and_then(|_| tempfile::tempdir_in(IN_MEMORY).ok());
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// Another one for each file, and for each part of it.
fn content((file, length): (usize, &usize)) -> Vec<u8> {
    let mut block = [0; 1009];
    for (at, byte) in block.iter_mut().enumerate() {
        *byte = u8::try_from((at * 7 + at / 251 + file * 31) % 256).unwrap();
    }
    // Byte by byte it would be a quarter of the time of these tests, without optimisation.
    let mut content = block.repeat(length.div_ceil(block.len()));
    content.truncate(*length);
    content
}

/// Where the files of a host's replica lie.
pub(super) fn copy_paths(state: &Path, host: usize, id: &str) -> [PathBuf; 2] {
    let dir = state.join(format!("hosts/host-{host}/content/persistent-cache-tasks"));
    let content = dir.join(id.get(..3).unwrap_or(id)).join(id);
    [content.with_extension("json"), content]
}
