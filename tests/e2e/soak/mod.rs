//! Many clients at once, for as long as is asked for: programs and clients of the library import,
//! export, ask and delete, on hosts that stop, leave and start, among faults.
//!
//! Every byte that comes is compared, every operation has to end in time, and whatever is answered
//! that was not to be expected is a failure. In the end nothing is left: no file, no file
//! descriptor, no thread. `make soak` does it for minutes, `make test` for seconds.

mod clients;
mod control;
mod disturbances;
mod overload;
mod programs;
mod vitals;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dfcache::ErrorKind;

use self::control::Control;
use self::vitals::Vitals;
use crate::support::files::{MIB, PIECE, files_below, names_in};
use crate::support::process::fake_dfdaemon;
use crate::support::world::Directory;
use crate::support::{DaemonProcess, seeded};

const HOSTS: usize = 4;

/// A soak loads the machine more than a test does.
const HANGS: Duration = testkit::wait::HANGS.saturating_mul(2);

/// Until idle threads of the daemon have gone.
const COMES_TO_REST: Duration = Duration::from_secs(60);

/// What the daemon's memory may have grown by in the end, in bytes: pages of which a part is used, and
/// what the allocator keeps for each core.
fn left_by_allocator() -> u64 {
    let cores = std::thread::available_parallelism().unwrap().get();
    ((16 + cores) * MIB) as u64
}

/// What an allocator may keep while so many clients come and go, in bytes.
fn kept_by_allocator(clients: usize) -> u64 {
    left_by_allocator() + (clients * MIB / 4) as u64
}

/// How many failures are shown.
const SHOWN: usize = 20;

fn setting(name: &str, default: usize) -> usize {
    let set = std::env::var(format!("DFCACHE_TEST_SOAK_{name}"));
    set.map_or(default, |value| value.parse().unwrap())
}

/// Content that a test can make again from a number: parts of one long text.
#[derive(Clone)]
struct Contents(Arc<Vec<u8>>);

impl Contents {
    fn new() -> Self {
        Self(Arc::new(seeded(7, 2 * PIECE)))
    }

    fn of(&self, content: Content) -> &[u8] {
        let start = usize::try_from(content.seed).unwrap() % (self.0.len() - content.length);
        &self.0[start..start + content.length]
    }
}

/// Which content, and how long.
#[derive(Clone, Copy, Debug)]
struct Content {
    seed: u64,
    length: usize,
}

/// A task, and what is in it.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    content: Content,
}

/// Where it all takes place.
struct Field {
    directory: Directory,
    daemon: DaemonProcess,
    control: Control,
    contents: Contents,
    /// Tasks that stay, on the first host.
    shared: Vec<Known>,
    ends_at: Instant,
    next: AtomicU64,
    /// How often what was done came to what.
    done: Mutex<BTreeMap<String, u64>>,
    failures: Mutex<Vec<String>>,
}

impl Field {
    fn new() -> Self {
        let directory = Directory::new();
        for name in ["tmp", "state"] {
            fs::create_dir(directory.beside(name)).unwrap();
        }
        let mut command = Command::new(fake_dfdaemon());
        command.args([
            "serve",
            "--hosts",
            &HOSTS.to_string(),
            "--log-level",
            "error",
            "--state-dir",
        ]);
        command.arg(directory.beside("state"));
        command.env("TMPDIR", directory.beside("tmp"));
        let daemon = DaemonProcess::spawn(command);
        Self {
            control: Control::at(daemon.control()),
            daemon,
            directory,
            contents: Contents::new(),
            shared: Vec::new(),
            ends_at: Instant::now(),
            next: AtomicU64::new(1),
            done: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.ends_at
    }

    /// A number that nobody else gets.
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path(name)
    }

    fn endpoint(&self, host: usize) -> PathBuf {
        self.daemon.endpoint(host)
    }

    fn count(&self, what: String) {
        *self.done.lock().unwrap().entry(what).or_insert(0) += 1;
    }

    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }

    /// Makes a file to be imported.
    fn make_source(&self, content: Content) -> PathBuf {
        let path = self.path(&format!("source-{}", self.number()));
        fs::write(&path, self.contents.of(content)).unwrap();
        path
    }
}

/// Small numbers that follow no pattern, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    /// Mostly small; now and then more than a piece.
    fn content(&mut self) -> Content {
        const LENGTHS: [usize; 8] = [0, 1, 100, 4096, 5000, 65_536, 300_000, PIECE + 7];
        Content {
            seed: self.below(1 << 20) as u64,
            length: LENGTHS[self.below(LENGTHS.len())],
        }
    }
}

/// What a client or a program made of an operation.
type Ended = Result<(), (Option<ErrorKind>, String)>;

#[test]
fn a_crowd_leaves_nothing_behind_and_gets_every_byte() {
    let (clients, seconds) = (setting("CLIENTS", 60), setting("SECONDS", 4));
    let programs = (clients / 15).clamp(1, 16);
    let time = Duration::from_secs(seconds as u64);
    let mut field = Field::new();
    let before = Vitals::of(field.daemon.id());
    // Clients wait for their files, too.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(8)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        field.share().await;
        field.ends_at = Instant::now() + time;
        let field = Arc::new(field);
        let mut running = tokio::task::JoinSet::new();
        for number in 0..programs {
            running.spawn(programs::run(Arc::clone(&field), number));
        }
        for number in programs..clients {
            running.spawn(clients::run(Arc::clone(&field), number));
        }
        running.spawn(disturbances::hosts(Arc::clone(&field)));
        running.spawn(disturbances::faults(Arc::clone(&field)));
        running.spawn(disturbances::collections(Arc::clone(&field)));
        // By thirds of the time.
        let (began, mut busiest) = (Instant::now(), [Vitals::default(); 3]);
        while !running.is_empty() {
            let third = began.elapsed().as_millis() * 3 / time.as_millis();
            let third = usize::try_from(third).unwrap().min(2);
            busiest[third] = busiest[third].max(Vitals::of(field.daemon.id()));
            tokio::select! {
                Some(ended) = running.join_next() => ended.unwrap(),
                () = testkit::wait::real_time(Duration::from_millis(200)) => {}
            }
        }
        report(&field, clients, programs);
        println!("before:  {before}");
        for vitals in busiest {
            println!("busiest: {vitals}");
        }
        let [early, .., late] = busiest.map(|vitals| vitals.memory);
        let expected = before.memory + left_by_allocator();
        let after = comes_to_rest(&field, before, expected).await;
        println!("after:   {after}");
        assert!(after.memory < expected, "memory is left");
        assert!(
            late < early + early / 2 + kept_by_allocator(clients),
            "it grows with time"
        );
    });
    runtime.shutdown_background();
}

/// Says what was done; fails if anything went wrong.
fn report(field: &Field, clients: usize, programs: usize) {
    let done = field.done.lock().unwrap();
    let times: u64 = done.values().sum();
    println!("{clients} clients, {programs} of them programs: {times} operations");
    for (what, times) in done.iter() {
        println!("{times:8}  {what}");
    }
    let failures = field.failures.lock().unwrap();
    let shown: Vec<_> = failures.iter().take(SHOWN).cloned().collect();
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        shown.join("\n")
    );
    // Clients worked and were disturbed, however slow the machine.
    let needed = [
        "import: done",
        "export by path: done",
        "stat: done",
        "host: away",
        "fault: added",
    ];
    for what in needed {
        assert!(done.contains_key(what), "{what}: never");
    }
}

/// When all tasks are gone, so is all else. Free memory goes when but one of the threads for disks is left, of which
/// there may have been more before.
async fn comes_to_rest(field: &Field, before: Vitals, memory: u64) -> Vitals {
    for id in field.control.tasks().await {
        field
            .control
            .ask("DELETE", &format!("/tasks/{id}"), "")
            .await;
    }
    field.control.ask("POST", "/settle", "").await;
    let began = Instant::now();
    let after = loop {
        let now = Vitals::of(field.daemon.id());
        let is_back = now.is_back_at(before) && now.memory < memory;
        if is_back || began.elapsed() > COMES_TO_REST {
            break now;
        }
        // Threads and memory of another process tell nobody when they have gone.
        testkit::wait::real_time(Duration::from_millis(100)).await;
    };
    assert!(after.is_back_at(before), "before: {before}, after: {after}");
    let state = field.directory.beside("state");
    for below in ["hosts", "scheduler"] {
        assert_eq!(
            files_below(&state.join(below)).unwrap(),
            [""; 0].map(PathBuf::from)
        );
    }
    let left = |dir: &Path| names_in(dir);
    assert_eq!(left(&field.directory.beside("tmp")), [""; 0]);
    let outputs = left(&field.directory.work());
    let outputs: Vec<_> = outputs
        .iter()
        .filter(|name| !name.starts_with("source-"))
        .collect();
    assert_eq!(outputs, [""; 0], "left where outputs went");
    after
}

impl Field {
    /// Imports what all exports are free to ask for.
    async fn share(&mut self) {
        let mut draw = Draw(1);
        for _ in 0..12 {
            let known = clients::share(self, draw.content()).await;
            self.shared.push(known);
        }
    }
}
