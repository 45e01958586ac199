//! Random operations on a fake, against a small model of hosts, tasks and time.
//!
//! The model knows what a client may rely on, not how the fake decides: where replicas are made is
//! read off the fake and held against the rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use dfdaemon_api::common::v2::TrafficType;
use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{FakeDfdaemon, Release};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::Config;
use tempfile::TempDir;
use tonic::Code;

use support::client::{Client, Export, Import};
use support::content;

const HOSTS: usize = 3;

/// Ids that tasks compete for.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// What files hold; the last one fits no host.
const LENGTHS: [usize; 4] = [0, 7, (4 << 20) + 1, 33 << 20];
const TOO_BIG: usize = 3;
const CAPACITY: u64 = 32 << 20;

/// In seconds.
const REPLICATION_DELAY: i64 = 100;
const GC_INTERVAL: i64 = 900;

/// One step of a script.
#[derive(Clone)]
enum Op {
    /// Of a file, under the name of an id or under the id of its bytes.
    Import {
        host: usize,
        file: usize,
        name: Option<usize>,
        ttl: i64,
        replicas: u64,
    },
    Export {
        host: usize,
        task: usize,
        persistent: bool,
        to_path: bool,
    },
    Advance(i64),
    Stop(usize),
    Start(usize),
    Leave(usize),
    Collect,
    Restart,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import {
                host,
                file,
                name,
                ttl,
                replicas,
            } => {
                let name = name.map_or("its bytes", |name| NAMES[name]);
                let length = LENGTHS[*file];
                write!(
                    f,
                    "import {length} bytes as {name} on host-{host}, {ttl}s, {replicas} replicas"
                )
            }
            Self::Export {
                host,
                task,
                persistent,
                to_path,
            } => {
                let how = if *to_path { "to a path" } else { "as a stream" };
                let kept = if *persistent { ", persistent" } else { "" };
                write!(f, "export task {task} on host-{host} {how}{kept}")
            }
            Self::Advance(seconds) => write!(f, "advance {seconds}s"),
            Self::Stop(host) => write!(f, "stop host-{host}"),
            Self::Start(host) => write!(f, "start host-{host}"),
            Self::Leave(host) => write!(f, "leave host-{host}"),
            Self::Collect => f.write_str("collect"),
            Self::Restart => f.write_str("restart"),
        }
    }
}

/// Steps, one a line when they are shown.
#[derive(Clone)]
struct Script(Vec<Op>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, op) in self.0.iter().enumerate() {
            write!(f, "\n    {number:2}  {op:?}")?;
        }
        Ok(())
    }
}

fn script() -> impl Strategy<Value = Script> {
    let host = || 0..HOSTS;
    let import = (
        host(),
        0..LENGTHS.len(),
        prop::option::weighted(0.8, 0..NAMES.len()),
        60..400i64,
        1..4u64,
    );
    let import = import.prop_map(|(host, file, name, ttl, replicas)| {
        // Without a name the whole of it would be read for its id.
        let name = if file == TOO_BIG {
            name.or(Some(0))
        } else {
            name
        };
        Op::Import {
            host,
            file,
            name,
            ttl,
            replicas,
        }
    });
    let export = (host(), 0..6usize, prop::bool::weighted(0.2), any::<bool>());
    let export = export.prop_map(|(host, task, persistent, to_path)| Op::Export {
        host,
        task,
        persistent,
        to_path,
    });
    let op = prop_oneof![
        6 => import,
        6 => export,
        4 => prop_oneof![1..60i64, 50..200i64, Just(1000)].prop_map(Op::Advance),
        1 => host().prop_map(Op::Stop),
        2 => host().prop_map(Op::Start),
        1 => host().prop_map(Op::Leave),
        1 => Just(Op::Collect),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..24).prop_map(Script)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Stopped,
    Left,
}

/// A task as a client may rely on it.
#[derive(Clone, Debug)]
struct Task {
    succeeded: bool,
    file: usize,
    created: i64,
    ttl: i64,
    wanted: u64,
    /// Hosts with a record, and whether it is of a persistent copy. Of a Failed task: the host of
    /// the import, without a copy.
    copies: BTreeMap<usize, bool>,
}

/// What there should be.
struct Model {
    now: i64,
    hosts: [Status; HOSTS],
    /// By id; expired ones too, until they are collected.
    tasks: BTreeMap<String, Task>,
    /// When replicas are made.
    due: BTreeMap<String, i64>,
    collector: i64,
}

impl Model {
    fn live(&self, id: &str) -> Option<&Task> {
        self.tasks
            .get(id)
            .filter(|task| self.now < task.created + task.ttl)
    }

    fn runs(&self, host: usize) -> bool {
        self.hosts[host] == Status::Running
    }

    /// Counts that a stat shows: persistent, all.
    fn counts(&self, task: &Task) -> (u64, u64) {
        if !task.succeeded {
            return (0, 0);
        }
        let counted = || {
            task.copies
                .iter()
                .filter(|(host, _)| self.hosts[**host] != Status::Left)
        };
        (
            counted().filter(|(_, persistent)| **persistent).count() as u64,
            counted().count() as u64,
        )
    }

    fn collect(&mut self) {
        let now = self.now;
        self.tasks.retain(|_, task| now < task.created + task.ttl);
    }

    /// Makes replicas of a task due now, if it has too few.
    fn replicate_all(&mut self) {
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            let short = self
                .live(&id)
                .filter(|task| task.succeeded)
                .is_some_and(|task| self.counts(task).0 < task.wanted && self.could_help(task));
            if short {
                self.due.insert(id, self.now);
            }
        }
    }

    /// Whether any running host is without a persistent copy.
    fn could_help(&self, task: &Task) -> bool {
        (0..HOSTS).any(|host| self.runs(host) && task.copies.get(&host) != Some(&true))
    }

    /// Persistent copies that there are once all that is due was done: `None` if nothing is.
    fn after_replication(&self, id: &str) -> Option<Replication> {
        if self.due.get(id).is_none_or(|due| *due > self.now) {
            return None;
        }
        let task = self.live(id).filter(|task| task.succeeded)?;
        let missing = task.wanted.saturating_sub(self.counts(task).0);
        let of = |copy: Option<bool>| {
            let hosts = (0..HOSTS).filter(|host| self.runs(*host));
            hosts
                .filter(|host| task.copies.get(host).copied() == copy)
                .count() as u64
        };
        let promoted = missing.min(of(Some(false)));
        // Somebody has to have it to give it.
        let has_source = task.copies.keys().any(|host| self.runs(*host));
        let copied = if has_source {
            (missing - promoted).min(of(None))
        } else {
            0
        };
        Some(Replication { promoted, copied })
    }
}

/// What replication has to have done.
#[derive(Debug, PartialEq, Eq)]
struct Replication {
    promoted: u64,
    copied: u64,
}

/// The fake, its files, and the model beside it.
struct World {
    release: Release,
    dir: TempDir,
    daemon: Option<FakeDfdaemon>,
    clients: BTreeMap<usize, Client>,
    model: Model,
    outputs: usize,
}

impl World {
    async fn new(release: Release) -> Self {
        let mut world = Self {
            release,
            dir: tempfile::tempdir().unwrap(),
            daemon: None,
            clients: BTreeMap::new(),
            model: Model {
                now: 1_000_000,
                hosts: [Status::Running; HOSTS],
                tasks: BTreeMap::new(),
                due: BTreeMap::new(),
                collector: 1_000_000 + GC_INTERVAL,
            },
            outputs: 0,
        };
        for (file, length) in LENGTHS.into_iter().enumerate() {
            if file == TOO_BIG {
                fs::File::create(world.file(file))
                    .unwrap()
                    .set_len(length as u64)
                    .unwrap();
            } else {
                fs::write(world.file(file), bytes(file)).unwrap();
            }
        }
        world.open().await;
        world
    }

    fn file(&self, file: usize) -> PathBuf {
        self.dir.path().join(format!("file-{file}"))
    }

    async fn open(&mut self) {
        let now = Timestamp::from_second(self.model.now).unwrap();
        let builder = FakeDfdaemon::builder()
            .release(self.release)
            .hosts(HOSTS)
            .capacity(CAPACITY)
            .clock(ClockMode::Manual(Some(now)))
            .gc_interval(Duration::from_secs(GC_INTERVAL as u64))
            .replication_delay(Duration::from_secs(REPLICATION_DELAY as u64))
            .state_dir(self.dir.path().join("state"));
        self.daemon = Some(builder.start().await.unwrap());
    }

    fn daemon(&self) -> &FakeDfdaemon {
        self.daemon.as_ref().unwrap()
    }

    async fn client(&mut self, host: usize) -> Client {
        if let Some(client) = self.clients.get(&host) {
            return client.clone();
        }
        let client = Client::connect(self.daemon().host(host).unwrap().endpoint()).await;
        self.clients.insert(host, client.clone());
        client
    }

    async fn run(mut self, script: &Script) {
        for (number, op) in script.0.iter().enumerate() {
            self.step(op).await;
            self.settle().await;
            self.compare(&format!("after step {number}, {op:?}")).await;
        }
        // In the end, whoever should can export whatever should be there.
        for host in (0..HOSTS)
            .filter(|host| self.model.runs(*host))
            .collect::<Vec<_>>()
        {
            for task in 0..self.model.tasks.len() {
                self.export(host, task, false, true).await;
            }
        }
        self.daemon.take().unwrap().stop().await;
    }

    async fn step(&mut self, op: &Op) {
        match *op {
            Op::Import { host, .. } | Op::Export { host, .. } if !self.model.runs(host) => {
                let endpoint = self.daemon().host(host).unwrap().endpoint().to_owned();
                assert!(!endpoint.exists(), "a host that does not run has a socket");
            }
            Op::Import {
                host,
                file,
                name,
                ttl,
                replicas,
            } => {
                self.import(host, file, name, ttl, replicas).await;
            }
            Op::Export {
                host,
                task,
                persistent,
                to_path,
            } => {
                self.export(host, task, persistent, to_path).await;
            }
            Op::Advance(seconds) => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                self.daemon().clock().advance(by).unwrap();
                self.model.now += seconds;
            }
            Op::Stop(host) => {
                self.daemon().host(host).unwrap().stop().await;
                self.set_status(host, Status::Stopped);
            }
            Op::Start(host) => {
                self.daemon().host(host).unwrap().start().await.unwrap();
                self.set_status(host, Status::Running);
            }
            Op::Leave(host) => {
                self.daemon().host(host).unwrap().leave().await;
                self.set_status(host, Status::Left);
            }
            Op::Collect => {
                self.daemon().collect().await.unwrap();
                self.model.collect();
            }
            Op::Restart => {
                self.clients.clear();
                self.daemon.take().unwrap().stop().await;
                self.open().await;
                self.model.hosts = [Status::Running; HOSTS];
                self.model.due.clear();
                self.model.collector = self.model.now;
                self.model.replicate_all();
            }
        }
    }

    fn set_status(&mut self, host: usize, status: Status) {
        if status != Status::Running {
            self.clients.remove(&host);
        }
        self.model.hosts[host] = status;
        self.model.replicate_all();
    }

    async fn import(
        &mut self,
        host: usize,
        file: usize,
        name: Option<usize>,
        ttl: i64,
        replicas: u64,
    ) {
        let request = Import {
            path: self.file(file).to_str().unwrap().to_owned(),
            content_for_calculating_task_id: name.map(|name| NAMES[name].to_owned()),
            persistent_replica_count: replicas,
            ttl: Some(prost_types::Duration {
                seconds: ttl,
                nanos: 0,
            }),
            ..Import::default()
        };
        let id = self.id(file, name);
        let answer = self.client(host).await.import(request).await;
        let model = &mut self.model;
        if model.live(&id).is_some_and(|task| task.succeeded) {
            let refused = answer.unwrap_err();
            assert!(
                refused.message().contains("is Succeeded cannot upload"),
                "{refused:?}"
            );
            return;
        }
        let succeeded = file != TOO_BIG;
        match answer {
            Ok(task) => assert!(succeeded && task.id == id, "{task:?}"),
            Err(status) => {
                assert!(
                    !succeeded && status.message().starts_with("no space left"),
                    "{status:?}"
                );
            }
        }
        let task = Task {
            succeeded,
            file,
            created: model.now,
            ttl,
            wanted: replicas,
            copies: BTreeMap::from([(host, true)]),
        };
        if succeeded {
            let due = model.now + REPLICATION_DELAY;
            let earlier = model.due.get(&id).copied().unwrap_or(due);
            model.due.insert(id.clone(), due.min(earlier));
        }
        model.tasks.insert(id, task);
    }

    fn id(&self, file: usize, name: Option<usize>) -> String {
        use dfdaemon_api::task_id::{Parameters, TaskIdHasher};
        let scheme = self.release.scheme();
        if let Some(name) = name {
            return scheme.of_content(NAMES[name]);
        }
        let mut hasher = TaskIdHasher::new(scheme);
        hasher.update(&bytes(file));
        hasher.finish(Parameters::default())
    }

    async fn export(&mut self, host: usize, task: usize, persistent: bool, to_path: bool) {
        let known = self.model.tasks.keys().nth(task).cloned();
        let id = known.unwrap_or_else(|| "404".to_owned());
        self.outputs += 1;
        let output = self.dir.path().join(format!("output-{}", self.outputs));
        let request = Export {
            task_id: id.clone(),
            persistent,
            need_piece_content: !to_path,
            output_path: to_path.then(|| output.to_str().unwrap().to_owned()),
            ..Export::default()
        };
        let exported = self.client(host).await.export(request).await;
        let Some(task) = self.model.live(&id).cloned() else {
            assert!(!exported.opened && exported.status.message().contains("not found"));
            assert!(!output.exists());
            return;
        };
        let held = task.succeeded && task.copies.contains_key(&host);
        let mut others = task.copies.keys().filter(|other| self.model.runs(**other));
        let fetched = !held && task.succeeded && others.next().is_some();
        if !held && !fetched {
            assert!(
                exported.opened && exported.pieces.is_empty(),
                "{exported:?}"
            );
            assert_eq!(exported.started, Some(LENGTHS[task.file] as u64));
            assert_eq!(
                exported.status.code(),
                Code::Internal,
                "{:?}",
                exported.status
            );
            assert!(
                exported.status.message().contains("peer "),
                "{:?}",
                exported.status
            );
            assert!(!output.exists());
            return;
        }
        let exported = exported.ok();
        let from = if held {
            TrafficType::LocalPeer
        } else {
            TrafficType::RemotePeer
        };
        assert!(
            exported
                .traffic()
                .into_iter()
                .all(|traffic| traffic == from)
        );
        if to_path {
            assert!(
                fs::read(&output).unwrap() == bytes(task.file),
                "the output differs"
            );
            assert_eq!(fs::metadata(&output).unwrap().ino(), self.inode(host, &id));
            fs::remove_file(output).unwrap();
        } else {
            assert!(
                exported.content() == bytes(task.file),
                "the content differs"
            );
        }
        let task = self.model.tasks.get_mut(&id).unwrap();
        *task.copies.entry(host).or_insert(false) |= persistent;
    }

    fn inode(&self, host: usize, id: &str) -> u64 {
        let prefix = id.get(..3).unwrap_or(id);
        let host = self.dir.path().join(format!("state/hosts/host-{host}"));
        let path = host
            .join("content/persistent-cache-tasks")
            .join(prefix)
            .join(id);
        fs::metadata(path).unwrap().ino()
    }

    /// Lets all that is due happen, in the fake and in the model.
    async fn settle(&mut self) {
        self.daemon().settle().await;
        if self.model.collector <= self.model.now {
            self.model.collector = self.model.now + GC_INTERVAL;
            self.model.collect();
        }
        for id in self.model.due.keys().cloned().collect::<Vec<_>>() {
            if let Some(expected) = self.model.after_replication(&id) {
                self.take_over_replicas(&id, expected).await;
            }
        }
        let now = self.model.now;
        self.model.due.retain(|_, due| *due > now);
    }

    /// Sees where replicas were made, and that it is as it had to be.
    async fn take_over_replicas(&mut self, id: &str, expected: Replication) {
        let before = self.model.tasks.get(id).unwrap().copies.clone();
        let (mut after, mut made) = (
            before.clone(),
            Replication {
                promoted: 0,
                copied: 0,
            },
        );
        for host in (0..HOSTS)
            .filter(|host| self.model.runs(*host))
            .collect::<Vec<_>>()
        {
            let Ok(local) = self.client(host).await.stat_local(id).await else {
                continue;
            };
            match (before.get(&host), local.persistent) {
                (None, true) => made.copied += 1,
                (None, false) => panic!("a copy that nobody asked for on host-{host}"),
                (Some(false), true) => made.promoted += 1,
                _ => {}
            }
            after.insert(host, local.persistent);
        }
        assert_eq!(made, expected, "replication of {id} from {before:?}");
        self.model.tasks.get_mut(id).unwrap().copies = after;
    }

    /// Compares all that can be seen.
    async fn compare(&mut self, when: &str) {
        let running: Vec<_> = (0..HOSTS).filter(|host| self.model.runs(*host)).collect();
        for (position, host) in running.into_iter().enumerate() {
            let client = self.client(host).await;
            let listed = client.list().await.unwrap().into_iter();
            let listed: BTreeMap<_, _> = listed
                .map(|task| (task.task_id, (task.persistent, task.finished_at.is_some())))
                .collect();
            let tasks = self.model.tasks.iter();
            let expected = tasks.filter_map(|(id, task)| {
                let persistent = task.copies.get(&host)?;
                Some((id.clone(), (*persistent, task.succeeded)))
            });
            assert_eq!(listed, expected.collect(), "records of host-{host} {when}");
            if position > 0 {
                // Every host says the same of the scheduler.
                continue;
            }
            for (id, task) in &self.model.tasks {
                let stat = client.stat(id).await;
                if self.model.live(id).is_none() {
                    assert!(
                        stat.unwrap_err().message().contains("not found"),
                        "{id} {when}"
                    );
                    continue;
                }
                let stat = stat.unwrap_or_else(|status| panic!("{id} {when}: {status:?}"));
                let state = if task.succeeded {
                    "Succeeded"
                } else {
                    "Failed"
                };
                assert_eq!(stat.state, state, "{id} {when}");
                let counts = (
                    stat.current_persistent_replica_count,
                    stat.current_replica_count,
                );
                assert_eq!(counts, self.model.counts(task), "counts of {id} {when}");
                assert_eq!(stat.persistent_replica_count, task.wanted);
                assert_eq!(stat.content_length, LENGTHS[task.file] as u64);
                assert_eq!(stat.ttl.unwrap().seconds, task.ttl);
                assert_eq!(stat.created_at.unwrap().seconds, task.created);
            }
        }
    }
}

fn bytes(file: usize) -> Vec<u8> {
    content::bytes(file as u64, LENGTHS[file])
}

/// Scripts per release; more with `PROPTEST_CASES`.
fn cases() -> u32 {
    let asked_for = std::env::var("PROPTEST_CASES");
    asked_for.map_or(32, |cases| cases.parse().unwrap())
}

fn run(release: Release, script: &Script) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { World::new(release).await.run(script).await });
}

proptest! {
    #![proptest_config(Config {
        cases: cases(),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn release_0_2_does_what_the_model_says(script in script()) {
        run(Release::V0_2, &script);
    }

    #[test]
    fn release_1_5_does_what_the_model_says(script in script()) {
        run(Release::V1_5, &script);
    }
}
