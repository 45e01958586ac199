//! `kill -9` in the middle of imports and exports, over and over on one state: what was promised
//! is there, whole, and nothing else is.
//!
//! `FAKE_DFDAEMON_KILL_ROUNDS` makes it as long as one likes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fake_dfdaemon::{FakeDfdaemon, Release};
use tempfile::TempDir;

use support::client::{Client, Export, Import};
use support::content;
use support::process::{Process, names, serve};

/// Two pieces, the second a short one.
const LENGTH: usize = (4 << 20) + 7;

const HOSTS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_of_release_0_2_killed_at_any_moment_keeps_its_promises() {
    keeps_its_promises(Release::V0_2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_of_release_1_5_killed_at_any_moment_keeps_its_promises() {
    keeps_its_promises(Release::V1_5).await;
}

async fn keeps_its_promises(release: Release) {
    let rounds = std::env::var("FAKE_DFDAEMON_KILL_ROUNDS");
    let rounds = rounds.map_or(10, |rounds| rounds.parse().unwrap());
    let mut state = State::new(release);
    for round in 0..rounds {
        state.round(round).await;
    }
}

/// A state directory, and what it was promised to hold.
struct State {
    release: Release,
    dir: TempDir,
    /// Ids of tasks that succeeded, and the seeds of their content.
    promised: Vec<(String, u64)>,
    /// How long the last import and export took that were not killed.
    took: Duration,
    random: u64,
}

impl State {
    fn new(release: Release) -> Self {
        Self {
            release,
            dir: tempfile::tempdir().unwrap(),
            promised: Vec::new(),
            took: Duration::from_millis(20),
            random: 7,
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A moment to kill at: spread over what the last one took, and a bit more.
    fn moment(&mut self) -> Duration {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.took
            .mul_f64((self.random >> 40) as f64 / (1 << 24) as f64 * 1.2)
    }

    fn import(&self, seed: u64) -> Import {
        let path = self.dir.path().join(format!("file-{seed}"));
        if !path.exists() {
            fs::write(&path, content::bytes(seed, LENGTH)).unwrap();
        }
        Import {
            // Without it, an id that was never answered would not be known.
            content_for_calculating_task_id: Some(format!("task {seed}")),
            path: path.to_str().unwrap().to_owned(),
            persistent_replica_count: HOSTS as u64,
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..Import::default()
        }
    }

    /// Kills a daemon in the middle of an import, another in the middle of an export.
    async fn round(&mut self, round: u64) {
        let (killed, whole) = (2 * round, 2 * round + 1);
        let request = self.import(killed);
        let id = self.release.scheme().of_content(&format!("task {killed}"));
        let process = self.start();
        let client = Client::connect(&process.endpoint(0)).await;
        let import = client.begin_import(request.clone());
        tokio::time::sleep(self.moment()).await;
        process.kill();
        let answered = import.await.unwrap().is_ok();
        self.check(Some((&id, killed, answered))).await;

        let request = self.import(whole);
        let process = self.start();
        let client = Client::connect(&process.endpoint(0)).await;
        let started = Instant::now();
        let id = client.import(request).await.unwrap().id;
        self.took = started.elapsed();
        let export = Export {
            task_id: id.clone(),
            need_piece_content: true,
            output_path: Some(self.output(round)),
            ..Export::default()
        };
        let other = Client::connect(&process.endpoint(1)).await;
        let export = tokio::spawn(async move { other.export(export).await });
        tokio::time::sleep(self.moment()).await;
        process.kill();
        export.await.unwrap();
        self.promised.push((id, whole));
        self.check(None).await;
    }

    fn output(&self, round: u64) -> String {
        let path = self.dir.path().join(format!("output-{round}"));
        path.to_str().unwrap().to_owned()
    }

    fn start(&self) -> Process {
        let mut command = serve();
        command.arg("--state-dir").arg(self.state());
        command.args([
            "--hosts",
            "2",
            "--dfdaemon-version",
            &self.release.to_string(),
        ]);
        Process::start(&mut command)
    }

    /// Opens what is left. An import may have been under way: whether it was answered decides
    /// whether it has to be there.
    async fn check(&mut self, import: Option<(&str, u64, bool)>) {
        let builder = FakeDfdaemon::builder().release(self.release).hosts(HOSTS);
        let daemon = builder.state_dir(self.state()).start().await.unwrap();
        daemon.settle().await;
        let client = Client::connect(daemon.endpoint()).await;
        if let Some((id, seed, answered)) = import {
            let state = client.stat(id).await.map(|task| task.state);
            match state.as_deref() {
                Ok("Succeeded") => {}
                Ok("Failed") => {
                    assert!(!answered, "{id} was answered, and is Failed");
                    client.import(self.import(seed)).await.unwrap();
                }
                Err(status) => {
                    assert!(!answered, "{id} was answered, and is gone: {status:?}");
                    client.import(self.import(seed)).await.unwrap();
                }
                Ok(state) => panic!("{id} is {state}"),
            }
            self.promised.push((id.to_owned(), seed));
        }
        daemon.settle().await;
        for (id, _) in &self.promised {
            let task = client.stat(id).await.unwrap();
            assert_eq!(task.state, "Succeeded");
            assert_eq!(task.current_persistent_replica_count, HOSTS as u64);
        }
        for (id, seed) in self.promised.iter().rev().take(2) {
            for host in daemon.hosts() {
                let request = Export {
                    task_id: id.clone(),
                    need_piece_content: true,
                    ..Export::default()
                };
                let exported = Client::connect(host.endpoint())
                    .await
                    .export(request)
                    .await
                    .ok();
                assert!(
                    exported.content() == content::bytes(*seed, LENGTH),
                    "{id} is damaged"
                );
            }
        }
        daemon.stop().await;
        self.assert_nothing_else_is_there();
    }

    /// That the directory holds what was promised and no other byte.
    fn assert_nothing_else_is_there(&self) {
        let promised: BTreeSet<_> = self.promised.iter().map(|(id, _)| id.clone()).collect();
        for host in 0..HOSTS {
            let host = self.state().join(format!("hosts/host-{host}"));
            assert_eq!(names(&host.join("tmp")), [""; 0]);
            assert_eq!(
                records(&host.join("content/persistent-cache-tasks"), true),
                promised
            );
        }
        assert_eq!(names(&self.state().join("scheduler/tmp")), [""; 0]);
        assert_eq!(
            records(&self.state().join("scheduler/tasks"), false),
            promised
        );
    }
}

/// The ids that a directory has records of; each beside its whole content, if it has any.
fn records(dir: &Path, with_content: bool) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for prefix in names(dir) {
        let dir = dir.join(prefix);
        for name in names(&dir) {
            let id = name.trim_end_matches(".json").to_owned();
            assert!(
                dir.join(format!("{id}.json")).exists(),
                "{name} has no record"
            );
            if with_content {
                let content = fs::metadata(dir.join(&id)).unwrap();
                assert_eq!(content.len(), LENGTH as u64, "{id}");
            }
            ids.insert(id);
        }
    }
    ids
}
