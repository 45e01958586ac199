//! Large worlds, measured: a journal of a million calls, 200 hosts, many tasks, 500 readers of
//! events. `make load` runs it, optimised; it prints what it measured.
//!
//! Not optimised, it does less, and holds no time against a bound.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use support::client::Client;
use support::control::Address;
use support::process::{Process, serve};
use support::requests::import_as;

/// Whether the bounds hold: they are those of an optimised program.
const OPTIMISED: bool = !cfg!(debug_assertions);

const CALLS: usize = if OPTIMISED { 1_000_000 } else { 200_000 };
const HOSTS: usize = 200;
const TASKS: usize = if OPTIMISED { 100_000 } else { 2_000 };
const READERS: usize = 500;

/// How long calls are made, and how many a second there are to be.
const CALLING: Duration = Duration::from_secs(5);
const RATE: usize = 5_000;

const PAGE: Duration = Duration::from_millis(20);
const COUNT: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(5);
const CLICK: Duration = Duration::from_millis(200);
const MEMORY: u64 = 64 << 20;

/// Tells what was measured, and holds it against its bound.
fn check(what: &str, took: Duration, bound: Duration) {
    println!("{what}: {took:?} (bound {bound:?})");
    assert!(!OPTIMISED || took < bound, "{what}");
}

/// The time that something takes, as the median of some tries.
async fn median<F: Future<Output = ()>>(mut work: impl FnMut() -> F) -> Duration {
    let mut took = Vec::new();
    for _ in 0..21 {
        let began = Instant::now();
        work().await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}

fn write_journal(path: &Path) {
    let mut lines = BufWriter::new(File::create(path).unwrap());
    for call in 1..=CALLS {
        let host = format!("host-{}", call % 3);
        let rpc = ["stat", "export", "import"][call % 3];
        let task = format!("{}", call % 1000);
        let code = if call % 100 == 0 { "NOT_FOUND" } else { "OK" };
        let call = json!({
            "call": call, "at": "2026-01-02T03:04:05Z", "rpc": rpc, "host": host,
            "request": {"task_id": task}, "pieces": 0, "bytes": 0,
            "status": {"code": code, "message": ""},
            "fault": null, "client_gone": false, "duration_ms": 0,
        });
        writeln!(lines, "{call}").unwrap();
    }
    lines.flush().unwrap();
}

fn hosts() -> Command {
    let mut serve = serve();
    serve.args(["--hosts", &HOSTS.to_string()]);
    serve.args(["--control-tcp", "127.0.0.1:0"]);
    serve
}

/// A person with the page, if there is a browser.
struct Page {
    watching: Child,
    says: BufReader<ChildStdout>,
}

impl Page {
    /// Waits until it is live.
    fn open(address: &str) -> Option<Self> {
        let named = ["chromium", "chromium-browser", "google-chrome"];
        let has = |name: &&str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
        };
        let (Some(chromium), true) = (named.iter().find(|name| has(name)), has(&"node")) else {
            println!("no Chromium and node: the page was not measured");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/page/watch.mjs");
        let mut watching = Command::new("node")
            .arg(script)
            .arg(format!("http://{address}/"))
            .env("CHROMIUM", chromium)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut says = BufReader::new(watching.stdout.take().unwrap());
        let mut live = String::new();
        says.read_line(&mut live).unwrap();
        assert_eq!(live, "ok live\n");
        Some(Self { watching, says })
    }

    /// What it was like.
    fn close(mut self) -> Value {
        drop(self.watching.stdin.take());
        let mut last = String::new();
        self.says.read_line(&mut last).unwrap();
        assert!(self.watching.wait().unwrap().success());
        serde_json::from_str(&last).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make load"]
async fn a_long_journal_is_asked_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("calls.jsonl");
    write_journal(&journal);
    let began = Instant::now();
    let process = Process::start(serve().arg("--journal").arg(&journal));
    println!("memory at the start: {} MiB", process.peak_memory() >> 20);
    println!("{CALLS} calls were read in {:?}", began.elapsed());
    let control = Address::socket(&process.path("control"));
    let middle = CALLS / 2;
    for query in ["", "&rpc=stat", "&task=7", "&status=NOT_FOUND&host=host-1"] {
        let page = format!("/journal?after={middle}&limit=100{query}");
        let took = median(|| async {
            let page = control.send("GET", &page, "").await.body;
            assert_eq!(page["calls"].as_array().unwrap().len(), 100);
        });
        check(&format!("a page{query}"), took.await, PAGE);
        let count = format!("/journal/count?after=0{query}");
        let took = median(|| async {
            let count = control.send("GET", &count, "").await.body;
            assert!(count["count"].as_u64().unwrap() > 100, "{count}");
        });
        check(&format!("a count{query}"), took.await, COUNT);
    }

    let client = Client::connect(&process.endpoint(0)).await;
    let stat = || async { drop(client.stat("no such task").await) };
    let alone = median(stat).await;
    let (reading, reader) = (control.clone(), AtomicUsize::new(0));
    let reader = Arc::new(reader);
    let read = Arc::clone(&reader);
    let whole = tokio::spawn(async move {
        let mut whole = reading.begin("GET", "/journal", "").await;
        while let Some(frame) = whole.frame().await {
            let length = frame.unwrap().into_data().map_or(0, |data| data.len());
            read.fetch_add(length, Ordering::Relaxed);
        }
    });
    let beside = median(stat).await;
    assert!(!whole.is_finished(), "it was no load");
    whole.abort();
    println!(
        "a call alone: {alone:?}; {} bytes were read",
        reader.load(Ordering::Relaxed)
    );
    check("a call beside all of the journal", beside, alone + LATER);
    println!("memory: {} MiB (bound 64)", process.peak_memory() >> 20);
    assert!(!OPTIMISED || process.peak_memory() < MEMORY);
}

/// Many tasks, and the id of one of them.
async fn import_many(process: &Process, dir: &Path) -> String {
    let file = dir.join("file");
    fs::write(&file, "content").unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for number in 0..64 {
        let client = Client::connect(&process.endpoint(number % HOSTS)).await;
        let (next, file) = (Arc::clone(&next), file.clone());
        clients.push(tokio::spawn(async move {
            let mut id = String::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= TASKS {
                    return id;
                }
                let import = import_as(&file, &number.to_string(), 1, 604_800);
                id = client.import(import).await.unwrap().id;
            }
        }));
    }
    let mut id = String::new();
    for client in clients {
        id = client.await.unwrap();
    }
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make load"]
async fn many_hosts_tasks_calls_and_readers() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&mut hosts());
    let began = Instant::now();
    let id = import_many(&process, dir.path()).await;
    println!("{TASKS} tasks were imported in {:?}", began.elapsed());
    let control = Address::socket(&process.path("control"));
    let mut clients = Vec::new();
    for number in 0..16 {
        clients.push(Client::connect(&process.endpoint(number * 12)).await);
    }

    let without = call(&clients, &id).await;
    let address = process.ready["control_tcp"].as_str().unwrap();
    if let Some(page) = Page::open(address) {
        let with = call(&clients, &id).await;
        let report = page.close();
        println!("calls a second: {without} without a page, {with} with one; {report}");
        let drawn = report["drawn"]["most_ms"].as_u64().unwrap();
        check("a click on the page", Duration::from_millis(drawn), CLICK);
        assert!(!OPTIMISED || with >= RATE, "{with} calls a second");
        assert_eq!(report["errors"], json!([]));
    }
    // Each second one reads nothing of what it asked for.
    let mut readers = Vec::new();
    let read = Arc::new(AtomicUsize::new(0));
    for number in 0..READERS {
        let mut events = control.begin("GET", "/events", "").await;
        assert_eq!(events.status(), 200);
        let read = Arc::clone(&read);
        readers.push(tokio::spawn(async move {
            if number % 2 == 0 {
                std::future::pending::<()>().await;
            }
            while let Some(Ok(frame)) = events.frame().await {
                let length = frame.into_data().map_or(0, |data| data.len());
                read.fetch_add(length, Ordering::Relaxed);
            }
        }));
    }
    let with = call(&clients, &id).await;
    println!("calls a second: {without} without readers, {with} with {READERS}");
    println!(
        "{} MiB of events were read",
        read.load(Ordering::Relaxed) >> 20
    );
    println!("memory: {} MiB", process.peak_memory() >> 20);
    assert!(!OPTIMISED || without >= RATE, "{without} calls a second");
    let took = median(|| async {
        assert_eq!(control.send("GET", "/health", "").await.status, 200);
    });
    check("health beside the readers", took.await, 10 * PAGE);
    let tasks = control.send("GET", "/tasks?limit=100", "").await.body;
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(100));
    let hosts: Value = control.send("GET", "/hosts", "").await.body;
    assert_eq!(hosts["hosts"].as_array().map(Vec::len), Some(HOSTS));
    for reader in readers {
        reader.abort();
    }
    let state = process.path("state_dir");
    let began = Instant::now();
    assert!(process.end(Signal::TERM).success());
    println!("it has ended after {:?}", began.elapsed());
    assert!(!state.exists(), "its state was left");
}

/// Calls that are answered in a second, with many at a time.
async fn call(clients: &[Client], id: &str) -> usize {
    let until = Instant::now() + CALLING;
    let calling = clients
        .iter()
        .flat_map(|client| (0..8).map(|_| client.clone()));
    let calling = calling.map(|client| {
        let id = id.to_owned();
        tokio::spawn(async move {
            let mut calls = 0;
            while Instant::now() < until {
                client.stat(&id).await.unwrap();
                calls += 1;
            }
            calls
        })
    });
    let calling: Vec<_> = calling.collect();
    let mut calls = 0;
    for calling in calling {
        calls += calling.await.unwrap();
    }
    calls / usize::try_from(CALLING.as_secs()).unwrap()
}
