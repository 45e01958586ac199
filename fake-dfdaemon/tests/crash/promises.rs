//! What was promised, and that it is there, whole, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{FakeDfdaemon, Release};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::client::{Client, Import};
use crate::support::content;
use crate::support::control::Address;
use crate::support::process::names;
use crate::support::requests::{self, transfer};

pub(crate) const HOSTS: usize = 2;

/// Of each host, in bytes.
pub(crate) const CAPACITY: u64 = 26 << 20;

/// A task that was answered, or may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) id: String,
    /// Of its content.
    pub(crate) seed: u64,
    pub(crate) length: usize,
    pub(crate) replicas: usize,
    /// In seconds.
    pub(crate) ttl: i64,
    pub(crate) expires_at: Timestamp,
}

/// A state directory, and what it was promised to hold.
pub(crate) struct Promises {
    release: Release,
    dir: TempDir,
    pub(crate) promised: Vec<Promise>,
}

impl Promises {
    pub(crate) fn new(release: Release) -> Self {
        Self {
            release,
            dir: tempfile::tempdir().unwrap(),
            promised: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn file(&self, seed: u64) -> PathBuf {
        self.dir.path().join(format!("file-{seed}"))
    }

    pub(crate) fn output(&self, seed: u64) -> PathBuf {
        self.dir.path().join(format!("output-{seed}"))
    }

    pub(crate) fn import(&self, promise: &Promise) -> Import {
        let content = format!("task {}", promise.seed);
        let path = self.file(promise.seed);
        requests::import_as(&path, &content, promise.replicas as u64, promise.ttl)
    }

    async fn open(&self, now: Timestamp) -> FakeDfdaemon {
        let builder = FakeDfdaemon::builder()
            .release(self.release)
            .hosts(HOSTS)
            .capacity(CAPACITY)
            .clock(ClockMode::Manual(Some(now)));
        builder.state_dir(self.state()).start().await.unwrap()
    }

    /// Opens what is left: it has to be one of what may be. An import that was under way can be
    /// done again if it has not succeeded.
    pub(crate) async fn check(
        &mut self,
        now: Timestamp,
        may_be: Vec<Vec<Promise>>,
        importing: Option<&Promise>,
    ) {
        let daemon = self.open(now).await;
        daemon.settle().await;
        let client = Client::connect(daemon.endpoint()).await;
        let mut succeeded = BTreeSet::new();
        for id in records(&self.state().join("scheduler/tasks")) {
            match client.stat(&id).await.unwrap().state.as_str() {
                "Succeeded" => drop(succeeded.insert(id)),
                state => assert_eq!(
                    (state, Some(&id)),
                    ("Failed", importing.map(|promise| &promise.id))
                ),
            }
        }
        let ids = |promises: &Vec<Promise>| -> BTreeSet<_> {
            let living = promises.iter().filter(|promise| promise.expires_at > now);
            living.map(|promise| promise.id.clone()).collect()
        };
        let is = may_be
            .iter()
            .position(|promises| ids(promises) == succeeded);
        let Some(is) = is else {
            panic!("{succeeded:?} are there, of {may_be:#?}");
        };
        self.promised.clone_from(&may_be[is]);
        self.promised.retain(|promise| promise.expires_at > now);
        if let Some(promise) = importing
            && !succeeded.contains(&promise.id)
        {
            client.import(self.import(promise)).await.unwrap();
            self.promised.push(promise.clone());
        }
        daemon.settle().await;
        self.check_whole(&daemon).await;
        daemon.stop().await;
        self.check_files();
    }

    async fn check_whole(&self, daemon: &FakeDfdaemon) {
        let client = Client::connect(daemon.endpoint()).await;
        for promise in &self.promised {
            let task = client.stat(&promise.id).await.unwrap();
            let replicas = task.current_persistent_replica_count;
            assert_eq!(replicas, promise.replicas as u64, "{promise:?}");
        }
        let Some(promise) = self.promised.last() else {
            return;
        };
        for host in daemon.hosts() {
            let client = Client::connect(host.endpoint()).await;
            let exported = client.export(transfer(&promise.id)).await.ok();
            let whole = content::bytes(promise.seed, promise.length);
            assert!(exported.content() == whole, "{promise:?} is damaged");
        }
    }

    /// That the directory holds what was promised and no other byte.
    fn check_files(&self) {
        let promised: BTreeSet<_> = self.promised.iter().map(|one| one.id.clone()).collect();
        let state = self.state();
        assert_eq!(names(&state.join("scheduler/tmp")), [""; 0]);
        assert_eq!(records(&state.join("scheduler/tasks")), promised);
        let mut replicas = Vec::new();
        for host in 0..HOSTS {
            let host = state.join(format!("hosts/host-{host}"));
            assert_eq!(names(&host.join("tmp")), [""; 0]);
            let contents = host.join("content/persistent-cache-tasks");
            let found = records(&contents);
            assert!(found.is_subset(&promised), "{found:?}, of {promised:?}");
            for promise in self.promised.iter().filter(|one| found.contains(&one.id)) {
                let content = fs::read(contents.join(&promise.id[..3]).join(&promise.id));
                let whole = content::bytes(promise.seed, promise.length);
                assert!(content.unwrap() == whole, "{promise:?} is damaged");
            }
            replicas.extend(found);
        }
        for promise in &self.promised {
            let replicas = replicas.iter().filter(|id| **id == promise.id).count();
            assert!(replicas >= promise.replicas, "{promise:?} has {replicas}");
        }
        let snapshots = state.join("snapshots");
        if snapshots.exists() {
            let others = names(&snapshots);
            assert!(others.iter().all(|name| name == "s"), "{others:?}");
        }
    }

    /// Takes back what was promised first.
    pub(crate) async fn forget_all_but(&mut self, kept: usize, now: Timestamp) {
        self.promised.retain(|promise| promise.expires_at > now);
        let goes = self.promised.len().saturating_sub(kept);
        if goes == 0 {
            return;
        }
        let daemon = self.open(now).await;
        let control = Address::socket(daemon.control());
        for promise in self.promised.drain(..goes) {
            let path = format!("/tasks/{}", promise.id);
            assert_eq!(control.send("DELETE", &path, "").await.status, 200);
        }
        daemon.stop().await;
    }
}

/// The ids that a directory has records of, and that it has nothing but these and their content.
fn records(dir: &Path) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for prefix in names(dir) {
        let dir = dir.join(prefix);
        for name in names(&dir) {
            let id = name.trim_end_matches(".json").to_owned();
            let record = dir.join(format!("{id}.json"));
            assert!(record.exists(), "{name} has no record");
            ids.insert(id);
        }
    }
    ids
}
