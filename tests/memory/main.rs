//! What an operation allocates in both programs together, which run in this process: counts that
//! are alike on any machine, however busy, so that a regression shows without a clock.
//!
//! The limits leave room for how the bytes of a connection happen to be cut, and for the build's
//! profile; what each is there to catch stands beside it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod heap;

use std::path::Path;

use dfcache::{Client, ExportMode, ExportRequest, ImportRequest, PieceLength, TaskId};
use fake_dfdaemon::FakeDfdaemon;
use heap::{Allocated, Counting, Since};
use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is counted is the process's.
static ALONE: Mutex<()> = Mutex::const_new(());

const MIB: u64 = 1 << 20;

struct World {
    daemon: FakeDfdaemon,
    client: Client,
    directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    async fn start() -> Self {
        let alone = ALONE.lock().await;
        let directory = tempfile::tempdir().unwrap();
        let daemon = open(directory.path()).await;
        Self {
            client: Client::connect(daemon.endpoint()).await.unwrap(),
            daemon,
            directory,
            _alone: alone,
        }
    }

    async fn import(&self, name: &str, length: u64) -> TaskId {
        let path = self.directory.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(length).unwrap();
        let request = ImportRequest::new(path)
            .content_for_calculating_task_id(name)
            .piece_length(PieceLength::from_mib(4));
        self.client.import(request).await.unwrap().task.task_id
    }

    async fn export(&self, id: &TaskId, to: &Path) {
        let request = ExportRequest::new(id)
            .mode(ExportMode::ByTransfer)
            .overwrite(true);
        let exported = self.client.export_to_path(request, to).await;
        exported.unwrap();
    }
}

/// A daemon of one host, whose state is below `directory`.
async fn open(directory: &Path) -> FakeDfdaemon {
    let state = directory.join("state");
    let builder = FakeDfdaemon::builder().hosts(1).state_dir(state);
    builder.start().await.unwrap()
}

/// What was allocated by `operation`, which has run before so that all that is kept is there.
async fn measured(operation: impl AsyncFn()) -> Allocated {
    operation().await;
    let before = Since::now();
    operation().await;
    before.allocated()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_copies_nothing_in_memory_and_holds_no_more_of_a_longer_file() {
    let world = World::start().await;
    let output = world.directory.path().join("output");
    for mib in [32, 96] {
        let id = world.import(&mib.to_string(), mib * MIB).await;
        let stats = measured(async || world.export(&id, &output).await).await;
        // A copy of the content on either side would add as much as there is.
        let bytes = stats.bytes * 100 / (mib * MIB);
        assert!(bytes <= 125, "{bytes} % of the content: {stats:?}");
        // An allocation a piece and step is few, one a frame or field of a message is many.
        let blocks = stats.blocks / mib;
        assert!(blocks <= 60, "{blocks} blocks a MiB: {stats:?}");
        // Less than the file: what is on its way, not what has come.
        assert!(stats.most <= 24 * MIB, "{stats:?}");
    }
    world.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stat_allocates_little() {
    const CALLS: u64 = 100;
    let world = World::start().await;
    let id = world.import("file", 1).await;
    let stats = measured(async || {
        for _ in 0..CALLS {
            world.client.stat(&id).await.unwrap();
        }
    });
    let stats = stats.await;
    // 96 when this was written: the journal keeps each call's metadata, and events tell of it.
    let blocks = stats.blocks / CALLS;
    assert!(blocks <= 115, "{blocks} blocks a call: {stats:?}");
    let bytes = stats.bytes / CALLS;
    assert!(bytes <= 64 << 10, "{bytes} bytes a call: {stats:?}");
    world.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_allocates_little_and_its_task_takes_little_memory() {
    const TASKS: u64 = 200;
    let world = World::start().await;
    world.import("first", 1).await;
    let before = Since::now();
    for number in 0..TASKS {
        world.import(&number.to_string(), 1).await;
    }
    world.daemon.settle().await;
    let stats = before.allocated();
    // 247 when this was written, events of the call, the task and its replicas included.
    let blocks = stats.blocks / TASKS;
    assert!(blocks <= 290, "{blocks} blocks an import: {stats:?}");
    // Of a state with 100,000 tasks, it is this that its memory depends on.
    let kept = stats.held / TASKS;
    assert!(kept <= 1 << 10, "{kept} bytes a task: {stats:?}");
    world.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_a_state_allocates_little_and_never_holds_much_more_than_its_tasks() {
    const TASKS: u64 = 1000;
    let world = World::start().await;
    for number in 0..TASKS {
        world.import(&number.to_string(), 1).await;
    }
    world.daemon.stop().await;
    let before = Since::now();
    let daemon = open(world.directory.path()).await;
    let stats = before.allocated();
    // 36 when this was written.
    let blocks = stats.blocks / TASKS;
    assert!(blocks <= 45, "{blocks} blocks a task: {stats:?}");
    // 981 when this was written. The calls in the journal would be more than the tasks.
    let most = stats.most / TASKS;
    assert!(most <= 1200, "{most} bytes a task: {stats:?}");
    daemon.stop().await;
}
