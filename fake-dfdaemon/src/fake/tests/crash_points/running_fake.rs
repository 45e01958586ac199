//! What is done in a scenario, and what must hold after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::plan::Plan;
use crate::call::clock::ClockMode;
use crate::call::{StoreFaults, TransferFaults};
use crate::cluster::{Cluster, Error, ExportRequest, ImportRequest, OutputRequest, RequestedTtl};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::release::Release;
use crate::instance::error::StartError;
use crate::instance::snapshot::SnapshotError;
use crate::store::{CancelFlag, FailureInjector};
use crate::{DEFAULT_GC_INTERVAL, FakeDfdaemon, HostStatus};

/// The TTL of tasks that [`Op::Expire`] ends.
const SHORT: Duration = Duration::from_secs(24 * 3600);

/// The TTL of all others.
const LONG: Duration = Duration::from_secs(6 * 24 * 3600);

/// What is done, one after the other. Files, hosts and snapshots go by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Import {
        host: usize,
        file: usize,
        replicas: u64,
        short: bool,
    },
    /// An import under the file's id that fails for want of room.
    FailToImport {
        host: usize,
        file: usize,
    },
    /// To the host alone.
    Transfer {
        host: usize,
        file: usize,
    },
    /// To a path, of content that the host holds.
    Export {
        host: usize,
        file: usize,
        overwrite: bool,
    },
    /// Somebody else's file at the path of an export.
    OldOutput {
        file: usize,
    },
    Update {
        host: usize,
        file: usize,
    },
    DeleteCopy {
        host: usize,
        file: usize,
    },
    Delete {
        file: usize,
    },
    Leave(usize),
    Start(usize),
    /// Every task with a short TTL is gone.
    Expire,
    Collect,
    Snapshot(usize),
    Restore(usize),
    Reset,
}

/// A scenario: a fake, files, and what is done with them.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) release: Release,
    pub(super) hosts: usize,
    pub(super) capacity: Option<u64>,
    /// Whether the id of a file is known before it is read.
    pub(super) known_ids: bool,
    /// Whether the file system has no hard links.
    pub(super) linkless: bool,
    /// The files' lengths.
    pub(super) lengths: &'static [usize],
    pub(super) ops: Vec<Op>,
    /// Fewer steps than that it cannot be.
    pub(super) least_steps: usize,
}

/// A task that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promised {
    pub(super) file: usize,
    pub(super) replicas: u64,
    short: bool,
}

/// What must be there: nothing more, nothing less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// By file.
    pub(super) tasks: BTreeMap<usize, Promised>,
    snapshots: BTreeMap<usize, BTreeMap<usize, Promised>>,
    /// By file: whether its output is the new one.
    pub(super) outputs: BTreeMap<usize, bool>,
}

impl Expected {
    /// What must be there after that.
    pub(super) fn after(&self, op: Op) -> Self {
        let mut after = self.clone();
        match op {
            Op::Import {
                file,
                replicas,
                short,
                ..
            } => {
                let promised = Promised {
                    file,
                    replicas,
                    short,
                };
                after.tasks.insert(file, promised);
            }
            Op::Delete { file } => drop(after.tasks.remove(&file)),
            Op::Expire => after.tasks.retain(|_, task| !task.short),
            Op::Export { file, .. } => drop(after.outputs.insert(file, true)),
            Op::OldOutput { file } => drop(after.outputs.insert(file, false)),
            Op::Snapshot(name) => drop(after.snapshots.insert(name, self.tasks.clone())),
            Op::Restore(name) => after.tasks.clone_from(&self.snapshots[&name]),
            Op::Reset => after.tasks.clear(),
            Op::FailToImport { .. }
            | Op::Transfer { .. }
            | Op::Update { .. }
            | Op::DeleteCopy { .. }
            | Op::Leave(_)
            | Op::Start(_)
            | Op::Collect => {}
        }
        after
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = usize> {
        self.snapshots.keys().copied()
    }

    fn has_snapshot(&self, name: usize) -> bool {
        self.snapshots.contains_key(&name)
    }
}

/// What was there before an output.
pub(super) const OLD: &[u8] = b"somebody else's";

/// A scenario's files and state.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) scenario: &'a Scenario,
    dir: TempDir,
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
            store_faults: StoreFaults::default(),
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

/// A fake that runs, at a place.
pub(super) struct RunningFake<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) daemon: FakeDfdaemon,
}

impl RunningFake<'_> {
    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        self.daemon.cluster()
    }

    pub(super) fn id(&self, file: usize) -> String {
        let request = self.place.import(file, 1, false);
        let cancel = CancelFlag::default();
        self.cluster().task_id_of(&request, &cancel).unwrap()
    }

    /// Does it, and waits until nothing is under way. An error is what a client gets.
    pub(super) async fn perform(&self, op: Op) -> Result<(), String> {
        let done = self.try_to(op).await;
        self.come_to_rest().await;
        done
    }

    /// Waits until no job is due, and no transfer under way that its export has left alone.
    pub(super) async fn come_to_rest(&self) {
        // The scheduler tells nobody that a transfer has ended which no export waits for.
        while self.cluster().scheduler().is_busy() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.daemon.settle().await;
    }

    async fn try_to(&self, op: Op) -> Result<(), String> {
        match op {
            Op::Import {
                host,
                file,
                replicas,
                short,
            } => {
                self.import(host, self.place.import(file, replicas, short))
                    .await
            }
            Op::FailToImport { host, file } => {
                let mut request = self.place.import(file, 1, false);
                request.path = self.place.dir.path().join("too big");
                let big = fs::File::create(&request.path).unwrap();
                big.set_len(self.place.scenario.capacity.unwrap() + 1)
                    .unwrap();
                let refused = self.import(host, request).await.unwrap_err();
                if refused.contains("not enough space") {
                    return Ok(());
                }
                Err(refused)
            }
            Op::Transfer { host, file } => self.export(host, file, None).await,
            Op::Export {
                host,
                file,
                overwrite,
            } => {
                let output = OutputRequest {
                    path: self.place.output(file),
                    force_hard_link: false,
                    overwrite,
                    digest: None,
                };
                self.export(host, file, Some(output)).await
            }
            Op::OldOutput { file } => {
                fs::write(self.place.output(file), OLD).unwrap();
                Ok(())
            }
            Op::Update { host, file } => {
                let id = self.id(file);
                self.work(move |cluster| cluster.update(HostNumber::of(host), &id, true))
                    .await
            }
            Op::DeleteCopy { host, file } => {
                let id = self.id(file);
                self.work(move |cluster| cluster.delete_replica(HostNumber::of(host), &id))
                    .await
            }
            Op::Delete { file } => {
                let id = self.id(file);
                self.work(move |cluster| cluster.delete_task(&id)).await
            }
            Op::Leave(host) => {
                let host = self.daemon.host(host).unwrap();
                if host.status() == HostStatus::Running {
                    host.leave().await;
                }
                Ok(())
            }
            Op::Start(host) => {
                self.daemon.host(host).unwrap().start().await.unwrap();
                Ok(())
            }
            Op::Expire => {
                self.daemon.clock().advance(SHORT).unwrap();
                Ok(())
            }
            Op::Collect => {
                let collected = self.daemon.collect().await;
                collected.map_err(|error| error.to_string())
            }
            Op::Snapshot(name) => told(self.daemon.snapshot(&snapshot(name)).await),
            Op::Restore(name) => {
                let before = self.clock_and_hosts();
                let restored = self.daemon.restore(&snapshot(name)).await;
                assert!(restored.is_ok() || self.clock_and_hosts() == before);
                told(restored)
            }
            Op::Reset => told(self.daemon.reset().await),
        }
    }

    fn clock_and_hosts(&self) -> (Timestamp, Vec<HostStatus>) {
        let hosts = self.daemon.hosts().map(|host| host.status());
        (self.daemon.clock().now(), hosts.collect())
    }

    async fn import(&self, host: usize, request: ImportRequest) -> Result<(), String> {
        let import = move |cluster: &Arc<Cluster>| {
            cluster.import(HostNumber::of(host), &request, &CancelFlag::default())
        };
        self.work(import).await.map(drop)
    }

    async fn export(
        &self,
        host: usize,
        file: usize,
        output: Option<OutputRequest>,
    ) -> Result<(), String> {
        let request = ExportRequest {
            task_id: self.id(file),
            persistent: false,
            output,
            store_faults: StoreFaults::default(),
            transfer_faults: TransferFaults::default(),
        };
        let begun = self
            .work(move |cluster| cluster.export(HostNumber::of(host), request))
            .await;
        let mut export = begun?;
        let mut whole = vec![0; self.place.scenario.lengths[file]];
        let told = |error: Error| self.told(&error);
        while let Some(arrival) = export.next_piece().await.map_err(told)? {
            let range = arrival.range.clone();
            let bytes = export
                .content(range.clone(), range.end)
                .await
                .map_err(told)?;
            let at = usize::try_from(range.start).unwrap();
            whole[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        export.finish().await.map_err(told)?;
        assert!(whole == self.place.content(file), "damaged");
        Ok(())
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Cluster>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, String> {
        let done = self.cluster().blocking(work).await;
        done.map_err(|error| self.told(&error))
    }

    fn told(&self, error: &Error) -> String {
        error.status(self.place.scenario.release).to_string()
    }

    /// Brings back every snapshot that there may be, and returns what of `may_be` it can have been.
    pub(super) async fn try_snapshots(&self, mut may_be: Vec<Expected>) -> Vec<Expected> {
        let names: BTreeSet<_> = may_be.iter().flat_map(Expected::snapshots).collect();
        for name in names {
            let restored = self.daemon.restore(&snapshot(name)).await;
            self.come_to_rest().await;
            let is = |expected: &Expected| match &restored {
                Ok(()) if expected.has_snapshot(name) => {
                    self.check(&expected.after(Op::Restore(name)))
                }
                Err(SnapshotError::NotFound { .. }) if !expected.has_snapshot(name) => Ok(()),
                other => Err(format!("snapshot {name}: {other:?}")),
            };
            let checked: Vec<_> = may_be.iter().map(is).collect();
            assert!(checked.iter().any(Result::is_ok), "{checked:#?}");
            let mut checked = checked.iter();
            may_be.retain(|_| checked.next().unwrap().is_ok());
            if restored.is_ok() {
                may_be = may_be
                    .iter()
                    .map(|one| one.after(Op::Restore(name)))
                    .collect();
            }
        }
        may_be
    }

    /// Lets the jobs that failed have another go, and what could not be removed go.
    pub(super) async fn retry_jobs(&self) {
        self.come_to_rest().await;
        self.daemon.clock().advance(DEFAULT_GC_INTERVAL).unwrap();
        self.come_to_rest().await;
        self.daemon.collect().await.unwrap();
        self.come_to_rest().await;
    }
}

fn snapshot(name: usize) -> String {
    format!("s{name}")
}

fn told(done: Result<(), SnapshotError>) -> Result<(), String> {
    done.map_err(|error| match error {
        SnapshotError::Io(error) => error.to_string(),
        other => panic!("{other}"),
    })
}

/// Where the files of a host's replica lie.
pub(super) fn copy_paths(state: &Path, host: usize, id: &str) -> [PathBuf; 2] {
    let dir = state.join(format!("hosts/host-{host}/content/persistent-cache-tasks"));
    let content = dir.join(id.get(..3).unwrap_or(id)).join(id);
    [content.with_extension("json"), content]
}
