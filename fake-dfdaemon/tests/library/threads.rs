//! A fake runs on a thread of its own, whatever the test's thread does and has.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_dfdaemon::{FakeDfdaemon, HostStatus, Rpc, block_on};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_test::{assert_pending, task};

use crate::support::client::Client;
use crate::support::requests::{import, transfer};
use crate::support::{content, runtime};
use testkit::wait::HANGS;

/// Asks the control API without a runtime. The thread is blocked meanwhile.
fn ask(daemon: &FakeDfdaemon, method: &str, path: &str) -> String {
    let mut stream = UnixStream::connect(daemon.control()).unwrap();
    // Without an answer the test fails instead of blocking for ever.
    stream.set_read_timeout(Some(HANGS)).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Imports a file with a client that has a thread and a runtime of its own. This thread is blocked
/// meanwhile, as by a command that a test runs.
fn import_elsewhere(endpoint: &Path, file: &Path) -> String {
    let (endpoint, file) = (endpoint.to_owned(), file.to_owned());
    let client = std::thread::spawn(move || {
        runtime().block_on(async {
            let host = Client::connect(&endpoint).await;
            let imported = host.import(import(&file, 2, 3600));
            let imported = tokio::time::timeout(HANGS, imported).await;
            imported.expect("nobody answers").unwrap().id
        })
    });
    client.join().unwrap()
}

fn file_of(length: usize) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, content::bytes(7, length)).unwrap();
    (dir, file)
}

#[tokio::test]
async fn a_test_that_blocks_its_only_thread_is_answered() {
    let daemon = FakeDfdaemon::builder()
        .manual_clock()
        .start()
        .await
        .unwrap();
    let (_dir, file) = file_of(10_000);
    let id = import_elsewhere(daemon.endpoint(), &file);
    assert!(ask(&daemon, "GET", "/tasks").contains(&id));
    assert!(ask(&daemon, "POST", "/settle").contains("waiting"));
    assert_eq!(daemon.journal().calls(Rpc::Import).len(), 1);
    let state = daemon.state_dir().to_owned();
    daemon.stop().await;
    assert!(!state.exists());
}

#[test]
fn a_test_without_a_runtime_needs_none() {
    let daemon = FakeDfdaemon::builder().hosts(2).manual_clock();
    let daemon = daemon.start_blocking().unwrap();
    let (_dir, file) = file_of(10_000);
    let id = import_elsewhere(daemon.endpoint(), &file);
    let settled = block_on(daemon.settle());
    assert!(!settled.is_empty(), "the task expires");
    block_on(daemon.snapshot("one")).unwrap();
    block_on(daemon.reset()).unwrap();
    assert!(!ask(&daemon, "GET", "/tasks").contains(&id));
    block_on(daemon.restore("one")).unwrap();
    assert!(ask(&daemon, "GET", "/tasks").contains(&id));
    daemon.clock().advance(Duration::from_secs(7200)).unwrap();
    block_on(daemon.collect()).unwrap();
    assert!(!ask(&daemon, "GET", "/tasks").contains(&id));
    let host = daemon.host(1).unwrap();
    block_on(host.stop());
    assert!(!host.endpoint().exists());
    block_on(host.start()).unwrap();
    block_on(host.leave());
    assert_eq!(host.status(), HostStatus::Left);
    let state = daemon.state_dir().to_owned();
    block_on(daemon.stop());
    assert!(!state.exists());
}

/// The client's end of the connection is on the thread that the drop blocks.
#[tokio::test]
async fn a_drop_inside_of_a_runtime_leaves_nothing_and_ends() {
    let daemon = FakeDfdaemon::builder().hosts(2).start().await.unwrap();
    let (_dir, file) = file_of(24 << 20);
    let host = Client::connect(daemon.endpoint()).await;
    let task = host.import(import(&file, 2, 3600)).await.unwrap();
    let stalled = host.begin_export(transfer(&task.id)).await.unwrap();
    let (state, endpoint) = (daemon.state_dir().to_owned(), daemon.endpoint().to_owned());
    drop(daemon);
    assert!(!state.exists());
    UnixStream::connect(endpoint).unwrap_err();
    drop(stalled);
}

#[test]
fn a_fake_outlives_the_runtime_that_started_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = runtime.block_on(FakeDfdaemon::builder().start()).unwrap();
    drop(runtime);
    ask(&daemon, "POST", "/settle");
    let state = daemon.state_dir().to_owned();
    drop(daemon);
    assert!(!state.exists());
}

/// Also a start that was broken off lets go of all it had.
#[tokio::test]
async fn a_start_that_nobody_waits_for_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let builder = FakeDfdaemon::builder().state_dir(dir.path().join("state"));
    let mut start = task::spawn(builder.clone().start());
    assert_pending!(start.poll());
    drop(start);
    let daemon = builder.start().await.unwrap();
    assert!(ask(&daemon, "GET", "/health").contains("fault_seed"));
}

/// A runtime makes its tasks yield now and then, which one that blocks its thread cannot.
#[tokio::test]
async fn what_is_waited_for_often_inside_of_a_runtime_comes() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    for _ in 0..300 {
        block_on(daemon.settle());
    }
}

#[test]
fn a_hundred_run_in_one_process() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let start = |_| FakeDfdaemon::builder().hosts(1).start_blocking().unwrap();
    let daemons: Vec<_> = (0..100).map(start).collect();
    let (_dir, file) = file_of(1000);
    let import = |daemon: &FakeDfdaemon| import_elsewhere(daemon.endpoint(), &file);
    let first = import(&daemons[0]);
    let last = import(&daemons[99]);
    assert_eq!(first, last, "the content decides");
    let with_a_task = daemons
        .iter()
        .filter(|daemon| ask(daemon, "GET", "/tasks").contains(&first));
    assert_eq!(with_a_task.count(), 2);
    let mut states: Vec<_> = daemons
        .iter()
        .map(|daemon| daemon.state_dir().to_owned())
        .collect();
    states.sort();
    states.dedup();
    assert_eq!(states.len(), 100);
    drop(daemons);
    assert!(!states.iter().any(|state| state.exists()));
}
