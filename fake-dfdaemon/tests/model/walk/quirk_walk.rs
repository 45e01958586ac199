//! The fake with every quirk, and the model beside it: does each step to both, and compares all
//! that can be seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dfdaemon_api::task_id::Parameters;
use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{FakeDfdaemon, Quirks, Release};
use jiff::Timestamp;
use tempfile::TempDir;
use tonic::Code;

use super::counted::Counted;
use super::files::{CAPACITY, Files, LENGTHS, NAMES};
use super::model::{Model, START};
use super::ops::{HOSTS, Op, Target};
use super::texts;
use crate::support::client::Client;
use crate::support::peer_client::PeerClient;
use testkit::wait::HANGS;

/// Longer than a walk takes: the collector comes when a step asks for it.
const NEVER: Duration = Duration::from_secs(100 * 24 * 60 * 60);

pub(crate) struct QuirkWalk {
    dir: TempDir,
    pub(super) daemon: FakeDfdaemon,
    clients: BTreeMap<usize, (Client, PeerClient)>,
    pub(super) model: Model,
    pub(super) files: Files,
}

impl QuirkWalk {
    pub(crate) async fn new(release: Release) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let quirks: Quirks = "all".parse().unwrap();
        let daemon = FakeDfdaemon::builder()
            .release(release)
            .quirks(fake_dfdaemon::Quirk::all().filter(|quirk| quirks.has(*quirk)))
            .hosts(HOSTS)
            .capacity(CAPACITY)
            .clock(ClockMode::Manual(Some(
                Timestamp::from_second(START).unwrap(),
            )))
            .gc_interval(NEVER)
            .replication_delay(Duration::ZERO)
            .state_dir(dir.path().join("state"))
            .start()
            .await
            .unwrap();
        daemon.settle().await;
        Self {
            dir,
            daemon,
            clients: BTreeMap::new(),
            model: Model::new(release),
            files,
        }
    }

    pub(crate) async fn run(&mut self, ops: &[Op]) {
        for (number, op) in ops.iter().enumerate() {
            let stepping = async {
                self.step(op).await;
                self.daemon.settle().await;
            };
            let stepped = tokio::time::timeout(HANGS, stepping).await;
            stepped.unwrap_or_else(|_| panic!("step {number} hangs: {op:?}"));
            self.model.replicate(&mut self.files);
            self.compare(&format!("after step {number}, {op:?}")).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.daemon.stop().await;
    }

    async fn connected(&mut self, host: usize) -> &(Client, PeerClient) {
        if !self.clients.contains_key(&host) {
            let host_of = self.daemon.host(host).unwrap();
            let client = Client::connect(host_of.endpoint()).await;
            let peer = PeerClient::connect(host_of.upload_endpoint()).await;
            self.clients.insert(host, (client, peer));
        }
        &self.clients[&host]
    }

    pub(super) async fn client(&mut self, host: usize) -> Client {
        self.connected(host).await.0.clone()
    }

    pub(super) async fn peer(&mut self, host: usize) -> PeerClient {
        self.connected(host).await.1.clone()
    }

    pub(super) fn id_of(&self, target: Target) -> String {
        match target {
            Target::Known(at) => {
                let known = self.model.tasks.keys();
                let mut known = known.cycle().skip(at % self.model.tasks.len().max(1));
                known.next().cloned().unwrap_or_else(|| "404".to_owned())
            }
            Target::Named(name) => {
                crate::support::content::scheme(self.model.release).of_content(NAMES[name])
            }
            Target::Content(source) => self.id_of_source(source, Parameters::default()),
            Target::Unknown => "404".to_owned(),
            Target::Empty => String::new(),
            Target::OutOfTheStore => "../../etc/passwd".to_owned(),
        }
    }

    async fn step(&mut self, op: &Op) {
        let host = match op {
            Op::Import(import) | Op::LoseImport(import) | Op::FillImport(import) => {
                Some(import.host)
            }
            Op::Export(export) => Some(export.host),
            Op::LeaveImport(host) | Op::LeaveExport { host, .. } => Some(*host),
            Op::Stat { host, .. }
            | Op::StatLocal { host, .. }
            | Op::Update { host, .. }
            | Op::Delete { host, .. } => Some(*host),
            _ => None,
        };
        if host.is_some_and(|host| !self.model.running[host]) {
            return;
        }
        match op {
            Op::Import(import) => self.import(import).await,
            Op::LeaveImport(host) => self.leave_import(*host).await,
            Op::LoseImport(import) => self.lose_import(import).await,
            Op::FillImport(import) => self.fill_import(import).await,
            Op::Export(export) => self.export(export).await,
            Op::LeaveExport {
                host,
                by_peer,
                task,
                with_content,
            } => {
                let id = self.id_of(*task);
                self.leave_export(*host, *by_peer, &id, *with_content).await;
            }
            Op::Stat {
                host,
                by_peer,
                task,
            } => self.stat(*host, *by_peer, &self.id_of(*task)).await,
            Op::StatLocal { host, task } => self.stat_local(*host, &self.id_of(*task)).await,
            Op::Update {
                host,
                task,
                persistent,
            } => self.update(*host, &self.id_of(*task), *persistent).await,
            Op::Delete { host, task } => {
                let id = self.id_of(*task);
                self.peer(*host).await.delete(&id).await.unwrap();
                self.model.delete(&id, *host);
            }
            Op::EditSource(source) => {
                let path = self.files.source(*source);
                self.files.edit(&path, self.files.sources[*source]);
            }
            Op::ReplaceSource(source) => self.files.replace(*source),
            Op::EditOutput(at) => {
                let files = self.files.editable();
                if let Some((path, file)) = files.get(at % files.len().max(1)) {
                    self.files.edit(path, *file);
                }
            }
            Op::Move(seconds) => {
                self.model.now += seconds;
                let now = Timestamp::from_second(self.model.now).unwrap();
                self.daemon.clock().set(now).unwrap();
            }
            Op::Collect => {
                self.daemon.collect().await.unwrap();
                self.model.collect();
            }
            Op::Stop(host) if self.model.running[*host] => self.stop_host(*host).await,
            Op::Start(host) if !self.model.running[*host] => {
                self.daemon.host(*host).unwrap().start().await.unwrap();
                self.model.running[*host] = true;
                self.model.wipe(*host);
            }
            Op::Leave(host) if self.knows_leave() => {
                self.clients.remove(host);
                self.daemon.host(*host).unwrap().leave().await;
                self.model.leave_host(*host);
            }
            Op::Stop(_) | Op::Leave(_) | Op::Start(_) => {}
        }
    }

    pub(super) async fn stop_host(&mut self, host: usize) {
        self.clients.remove(&host);
        self.daemon.host(host).unwrap().stop().await;
        self.model.running[host] = false;
    }

    async fn stat(&mut self, host: usize, by_peer: bool, id: &str) {
        let answer = match by_peer {
            true => self.peer(host).await.stat(id).await,
            false => self.client(host).await.stat(id).await,
        };
        let Some(task) = self.model.live(id) else {
            texts::assert_refused(&answer.unwrap_err(), &self.model.not_found(id));
            return;
        };
        let answer = answer.unwrap_or_else(|status| panic!("{status:?}"));
        let seen = (
            answer.id.as_str(),
            answer.state.as_str(),
            answer.persistent_replica_count,
            (
                answer.current_persistent_replica_count,
                answer.current_replica_count,
            ),
            answer.piece_length,
            answer.content_length,
            answer.piece_count as usize,
        );
        let counts = match task.uploading && task.counted != <[Counted; HOSTS]>::default() {
            // Whether these count is not known.
            true => seen.3,
            false => task.counts(),
        };
        let expected = (
            id,
            task.state(),
            task.wanted,
            counts,
            task.piece_length,
            task.length,
            task.piece_count(),
        );
        assert_eq!(seen, expected);
        let labels = (answer.tag.clone(), answer.application.clone());
        let given = |label: &Option<String>| Some(label.clone().unwrap_or_default());
        assert_eq!(labels, (given(&task.tag), given(&task.application)));
        let ttl = answer.ttl.unwrap();
        assert_eq!((ttl.seconds, ttl.nanos), task.ttl);
        let (created, updated) = (answer.created_at.unwrap(), answer.updated_at.unwrap());
        assert_eq!((created.seconds, created.nanos), (task.created, 0));
        assert_eq!(updated.nanos, 0);
    }

    async fn stat_local(&mut self, host: usize, id: &str) {
        let answer = self.client(host).await.stat_local(id).await;
        if self.model.release == Release::V0_2 {
            assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
            return;
        }
        let task = self.model.tasks.get(id);
        let replica = task.and_then(|task| task.replicas.get(&host));
        match replica.filter(|replica| !replica.lost) {
            None => {
                let refusal = texts::internal(format!("task {id} not found"));
                texts::assert_refused(&answer.unwrap_err(), &refusal);
            }
            Some(_) => assert_eq!(answer.unwrap().task_id, id),
        }
    }

    async fn update(&mut self, host: usize, id: &str, persistent: bool) {
        let task = self.model.tasks.get_mut(id);
        let known = task.as_ref().and_then(|task| task.replicas.get(&host));
        // Also what a failed export has left.
        let whole = known.is_some_and(|replica| !replica.lost);
        if let Some(task) = task.filter(|_| persistent && whole) {
            task.flag(host, true);
        }
        let answer = self.peer(host).await.update(id, persistent).await;
        if persistent && !whole {
            let refusal = texts::internal(format!("task {id} not found"));
            texts::assert_refused(&answer.unwrap_err(), &refusal);
        } else {
            answer.unwrap();
        }
    }

    /// That all that can be seen between two steps is as the model says.
    async fn compare(&mut self, when: &str) {
        if let Some(host) = self.model.first_running() {
            let ids: Vec<_> = self.model.tasks.keys().cloned().collect();
            for id in ids {
                self.stat(host, false, &id).await;
            }
        }
        let mut made = Vec::new();
        for host in 0..HOSTS {
            if self.model.running[host] && self.model.release != Release::V0_2 {
                self.compare_list(host, when).await;
            }
            for (id, task) in &self.model.tasks {
                let path = self.content_path(host, id);
                for source in 0..LENGTHS.len() {
                    let target = path.with_file_name(format!("source-{source}"));
                    let expected = self.model.has_target(id, host, source);
                    assert_eq!(target.exists(), expected, "{} {when}", target.display());
                }
                let replica = task.replicas.get(&host);
                match replica.and_then(|replica| replica.content) {
                    Some(content) => made.push((path, content)),
                    None if let Some(file) = replica.and_then(|replica| replica.preallocated) => {
                        // Written through an output, it is as long as what was written.
                        if self.files.is_unknown(file) {
                            let length = fs::metadata(&path).unwrap().len();
                            assert_eq!(length, task.length, "{} {when}", path.display());
                        }
                        made.push((path, file));
                    }
                    None => {
                        let there = fs::symlink_metadata(&path).is_ok();
                        assert!(!there, "{} is there {when}", path.display());
                    }
                }
            }
        }
        self.files.check(&made, when);
    }

    async fn compare_list(&mut self, host: usize, when: &str) {
        let listed = self.client(host).await.list().await.unwrap();
        let mut ids: Vec<_> = listed.iter().map(|task| task.task_id.clone()).collect();
        for seen in listed {
            let task = self.model.tasks.get_mut(&seen.task_id);
            let replica = task.and_then(|task| {
                let lengths = (task.length, task.piece_length, task.ttl);
                Some((task.replicas.get_mut(&host)?, lengths))
            });
            let Some((replica, (length, piece_length, ttl))) = replica else {
                panic!("{} is on host-{host} {when}", seen.task_id);
            };
            let uploaded = *replica.uploaded.get_or_insert(seen.uploaded_count);
            let ended = (seen.finished_at.is_some(), seen.failed_at.is_some());
            let lengths = (seen.content_length, seen.piece_length);
            let of_seen = seen.ttl.unwrap();
            assert_eq!(
                (seen.persistent, ended, lengths, seen.uploaded_count),
                (
                    replica.persistent,
                    (replica.finished, replica.failed),
                    (Some(length), Some(piece_length)),
                    uploaded
                ),
                "{} on host-{host} {when}",
                seen.task_id
            );
            assert_eq!((of_seen.seconds, of_seen.nanos), ttl);
            assert_eq!(seen.uploading_count, 0);
        }
        // In the order of the ids' bytes, like the model's.
        let known = self.model.tasks.iter();
        let known = known.filter(|(_, task)| {
            let replica = task.replicas.get(&host);
            replica.is_some_and(|replica| !replica.lost)
        });
        ids.dedup();
        assert!(ids.iter().eq(known.map(|(id, _)| id)), "{ids:?} {when}");
    }

    fn content_path(&self, host: usize, id: &str) -> PathBuf {
        let prefix = id.get(..3).unwrap_or(id);
        let host = self.dir.path().join(format!("state/hosts/host-{host}"));
        let tasks = host.join("content/persistent-cache-tasks");
        tasks.join(prefix).join(id)
    }
}
