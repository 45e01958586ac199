//! The fake, its files, and the model beside it: does each step to both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{Builder, FakeDfdaemon, FaultGuard, Release, Rpc, SnapshotError};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::model::checks;
use crate::model::expected::{
    GC_INTERVAL, Hit, Model, REPLICATION_DELAY, Replication, Status, Task,
};
use crate::model::files::{self, CAPACITY, TOO_BIG, Target};
use crate::model::ops::{HOSTS, Op};
use crate::model::script;
use crate::support::client::{Client, Export, Import};
use crate::support::control::Address;
use crate::support::world;

/// How a step has to end for whoever runs it as a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// With a file that was exported.
    Exported(usize),
    /// dfcache has an exit code for it.
    Failed(&'static [i32]),
}

pub(crate) const UNAVAILABLE: Outcome = Outcome::Failed(&[5]);
pub(crate) const NOT_FOUND: Outcome = Outcome::Failed(&[3]);
/// Of a fault: whose disk it is depends on the call.
const DISK: Outcome = Outcome::Failed(&[1, 4, 6]);

pub(crate) struct Lockstep {
    pub(crate) release: Release,
    pub(crate) dir: TempDir,
    daemon: Option<FakeDfdaemon>,
    clients: BTreeMap<usize, Client>,
    pub(crate) model: Model,
    faults: Vec<FaultGuard>,
    outputs: usize,
}

impl Lockstep {
    pub(crate) async fn new(release: Release) -> Self {
        let mut pair = Self {
            release,
            dir: tempfile::tempdir().unwrap(),
            daemon: None,
            clients: BTreeMap::new(),
            model: Model::new(release),
            faults: Vec::new(),
            outputs: 0,
        };
        files::make(pair.dir.path());
        pair.open().await;
        pair.settle().await;
        pair
    }

    fn builder(&self) -> Builder {
        let now = Timestamp::from_second(self.model.now).unwrap();
        FakeDfdaemon::builder()
            .release(self.release)
            .hosts(HOSTS)
            .capacity(CAPACITY)
            .clock(ClockMode::Manual(Some(now)))
            .gc_interval(Duration::from_secs(GC_INTERVAL as u64))
            .replication_delay(Duration::from_secs(REPLICATION_DELAY as u64))
            .state_dir(self.dir.path().join("state"))
    }

    async fn open(&mut self) {
        self.daemon = Some(self.builder().start().await.unwrap());
    }

    pub(crate) fn daemon(&self) -> &FakeDfdaemon {
        self.daemon.as_ref().unwrap()
    }

    pub(crate) async fn client(&mut self, host: usize) -> Client {
        if let Some(client) = self.clients.get(&host) {
            return client.clone();
        }
        let client = world::client(self.daemon(), host).await;
        self.clients.insert(host, client.clone());
        client
    }

    /// Runs the steps; after each, all that can be seen has to be as the model says.
    pub(crate) async fn run(&mut self, ops: &[Op]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (number, op) in ops.iter().enumerate() {
            outcomes.push(self.step(op).await);
            self.settle().await;
            checks::compare(self, &format!("after step {number}, {op:?}")).await;
        }
        outcomes
    }

    pub(crate) async fn stop(mut self) {
        // In the end, whoever should can export whatever should be there.
        self.step(&Op::ClearFaults).await;
        for host in self.model.running() {
            for task in (0..files::NAMES.len()).map(Target::Named) {
                self.export(host, task, false, true).await;
            }
        }
        self.daemon.take().unwrap().stop().await;
    }

    async fn step(&mut self, op: &Op) -> Outcome {
        match *op {
            Op::Import { host, .. } | Op::Export { host, .. } if !self.model.runs(host) => {
                let endpoint = self.daemon().host(host).unwrap().endpoint().to_owned();
                assert!(!endpoint.exists(), "a host that does not run has a socket");
                return UNAVAILABLE;
            }
            Op::Import {
                host,
                file,
                name,
                ttl,
                replicas,
            } => {
                return self.import(host, file, name, ttl, replicas).await;
            }
            Op::Export {
                host,
                task,
                persistent,
                to_path,
            } => return self.export(host, task, persistent, to_path).await,
            Op::Move(seconds) => {
                self.model.move_time(seconds);
                let now = Timestamp::from_second(self.model.now).unwrap();
                self.daemon().clock().set(now).unwrap();
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
            Op::Delete(task) => return self.delete(task).await,
            Op::Collect => {
                self.daemon().collect().await.unwrap();
                self.model.collect();
            }
            Op::Restart => {
                self.clients.clear();
                self.faults.clear();
                self.daemon.take().unwrap().stop().await;
                self.open().await;
                self.model.restart();
            }
            Op::Fault(ref fault) => {
                let spec = script::spec(self.release, fault);
                self.faults.push(self.daemon().fault(spec.parse().unwrap()));
                self.model.add_fault(fault);
            }
            Op::ClearFaults => {
                self.faults.clear();
                self.model.clear_faults();
            }
            Op::Snapshot(number) => {
                self.daemon().snapshot(&format!("s{number}")).await.unwrap();
                self.model.take_snapshot(number);
            }
            Op::Restore(number) => {
                let restored = self.daemon().restore(&format!("s{number}")).await;
                self.clients.clear();
                if !self.model.restore(number) {
                    assert!(matches!(restored, Err(SnapshotError::NotFound { .. })));
                    return Outcome::Failed(&[1]);
                }
                restored.unwrap();
            }
            Op::Reset => {
                self.daemon().reset().await.unwrap();
                self.clients.clear();
                self.faults.clear();
                self.model.reset();
            }
        }
        Outcome::Done
    }

    fn set_status(&mut self, host: usize, status: Status) {
        if status != Status::Running {
            self.clients.remove(&host);
        }
        self.model.set_status(host, status);
    }

    /// Asks the control API; true if it did what was asked.
    async fn control(&self, method: &str, path: &str, body: &str) -> bool {
        let api = Address::socket(self.daemon().control());
        api.send(method, path, body).await.status == 200
    }

    async fn delete(&mut self, task: Target) -> Outcome {
        let id = task.id(self.release);
        let deleted = self.control("DELETE", &format!("/tasks/{id}"), "").await;
        let there = self.model.live(&id).is_some();
        assert_eq!(deleted, there, "the deletion of {id}");
        if !there {
            return Outcome::Failed(&[1]);
        }
        self.model.tasks.remove(&id);
        Outcome::Done
    }

    async fn import(
        &mut self,
        host: usize,
        file: usize,
        name: Option<usize>,
        ttl: i64,
        replicas: u64,
    ) -> Outcome {
        let path = self.dir.path().join(files::name(file));
        let request = Import {
            path: path.to_str().unwrap().to_owned(),
            content_for_calculating_task_id: name.map(|name| files::NAMES[name].to_owned()),
            persistent_replica_count: replicas,
            ttl: Some(prost_types::Duration {
                seconds: ttl,
                nanos: 0,
            }),
            ..Import::default()
        };
        let id = Target::of(file, name).id(self.release);
        let hit = self.model.import_arrives(host);
        let answer = self.client(host).await.import(request).await;
        let exists = self.model.live(&id).is_some_and(|task| task.succeeded);
        let (outcome, succeeded) = expected_import(&hit, exists, file);
        checks::import_ended(outcome, &hit, &id, answer);
        if let Some(succeeded) = succeeded {
            let task = Task {
                succeeded,
                file,
                created: self.model.now,
                ttl,
                wanted: replicas,
                replicas: BTreeMap::from([(host, true)]),
            };
            self.model.insert(id, task);
        }
        outcome
    }

    async fn export(
        &mut self,
        host: usize,
        task: Target,
        persistent: bool,
        to_path: bool,
    ) -> Outcome {
        let id = task.id(self.release);
        self.outputs += 1;
        let output = self.dir.path().join(format!("output-{}", self.outputs));
        let request = Export {
            task_id: id.clone(),
            persistent,
            need_piece_content: !to_path,
            output_path: to_path.then(|| output.to_str().unwrap().to_owned()),
            ..Export::default()
        };
        let hit = self.model.export_arrives(host);
        let exported = self.client(host).await.export(request).await;
        if hit.before() {
            checks::broken_by_fault(&exported);
            return UNAVAILABLE;
        }
        let Some(task) = self.model.live(&id).cloned() else {
            assert!(!exported.opened && exported.status.message().contains("not found"));
            assert!(!output.exists());
            return NOT_FOUND;
        };
        let held = task.succeeded && task.replicas.contains_key(&host);
        let fetched = !held && task.succeeded && {
            let mut others = task
                .replicas
                .keys()
                .filter(|other| self.model.runs(**other));
            task.is_empty() || others.next().is_some()
        };
        if !held && !fetched {
            checks::nobody_has_it(&exported, task.file);
            assert!(!output.exists());
            return UNAVAILABLE;
        }
        let broken = hit.disk() && (to_path || fetched);
        if held || !broken {
            let task = self.model.tasks.get_mut(&id).unwrap();
            *task.replicas.entry(host).or_insert(false) |= persistent;
        }
        if broken {
            checks::broken_by_disk(&exported);
            assert!(!output.exists());
            return DISK;
        }
        let output = to_path.then_some(output);
        let inode = self.content_path(host, &id);
        checks::exported_whole(exported, held, task.file, output.as_deref(), &inode);
        Outcome::Exported(task.file)
    }

    fn content_path(&self, host: usize, id: &str) -> PathBuf {
        let state = self.dir.path().join("state");
        world::content_path(&state, &format!("host-{host}"), id)
    }

    /// Lets all that is due happen, in the fake and in the model.
    async fn settle(&mut self) {
        self.daemon().settle().await;
        self.model.collect_if_due();
        for id in self.model.due() {
            let before = self.model.tasks.get(&id).map(|task| task.replicas.clone());
            let expected = self.model.replicate(&id);
            self.take_over_replicas(&id, before.unwrap_or_default(), expected)
                .await;
        }
        let calls = self.daemon().journal().calls(Rpc::Replicate).len();
        assert_eq!(calls, self.model.replicate_calls, "calls of the scheduler");
    }

    /// Sees where replicas were made, and that it is as it had to be.
    async fn take_over_replicas(
        &mut self,
        id: &str,
        before: BTreeMap<usize, bool>,
        expected: Replication,
    ) {
        if self.model.live(id).is_none_or(|task| !task.succeeded) {
            return;
        }
        let (mut after, mut made) = (before.clone(), Replication::default());
        for host in self.model.running() {
            let Ok(local) = self.client(host).await.stat_local(id).await else {
                continue;
            };
            match (before.get(&host), local.persistent) {
                (None, true) => made.copied += 1,
                (None, false) => panic!("a replica that nobody asked for on host-{host}"),
                (Some(false), true) => made.promoted += 1,
                _ => {}
            }
            after.insert(host, local.persistent);
        }
        assert_eq!(made, expected, "replication of {id} from {before:?}");
        self.model.tasks.get_mut(id).unwrap().replicas = after;
    }
}

/// How an import has to end, and whether it leaves a task and of what kind.
fn expected_import(hit: &Hit, exists: bool, file: usize) -> (Outcome, Option<bool>) {
    const EXISTS: Outcome = Outcome::Failed(&[9]);
    const FULL: Outcome = Outcome::Failed(&[6]);
    match () {
        () if hit.before() => (UNAVAILABLE, None),
        () if exists => (EXISTS, None),
        () if file == TOO_BIG => (FULL, Some(false)),
        () if hit.disk() => (DISK, Some(false)),
        () if hit.after() => (UNAVAILABLE, Some(true)),
        () => (Outcome::Done, Some(true)),
    }
}
