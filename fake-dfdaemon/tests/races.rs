//! Many clients at once on hosts that come and go: whatever happened, in the end all books agree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fake_dfdaemon::{FakeDfdaemon, Release};

use crate::support::client::{Client, Export, Import};
use crate::support::process::names;
use crate::support::requests;
use crate::support::world::World;
use crate::support::{content, eventually};
use testkit::wait::Changes;

const HOSTS: usize = 3;

/// Ids that the clients compete for, each with content of its own.
const TASKS: u64 = 6;

/// Two pieces, the second a short one.
const LENGTH: usize = (4 << 20) + 7;

const CLIENTS: u64 = 6;
const CALLS: u64 = 40;

/// Small numbers that follow no pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_agree_after_many_clients_of_release_0_2() {
    stir(Release::V0_2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_agree_after_many_clients_of_release_1_5() {
    stir(Release::V1_5).await;
}

async fn stir(release: Release) {
    let daemon = FakeDfdaemon::builder().release(release).hosts(HOSTS);
    // Room for five tasks of six on each host: eviction has something to do.
    let daemon = daemon.capacity(5 * LENGTH as u64 + 100).manual_clock();
    let world = Arc::new(World::start(daemon).await);
    for task in 0..TASKS {
        let path = source(world.dir.path(), task);
        fs::write(path, content::bytes(task, LENGTH)).unwrap();
    }
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(Arc::clone(&world).make_calls(client)))
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let shaken = tokio::spawn(Arc::clone(&world).shake(Arc::clone(&done)));
    for client in clients {
        client.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    shaken.await.unwrap();
    for host in world.daemon.hosts() {
        host.start().await.unwrap();
    }
    world.books_agree().await;
}

fn source(dir: &Path, task: u64) -> PathBuf {
    dir.join(format!("file-{task}"))
}

impl World {
    /// Imports, exports, goes away in the middle.
    async fn make_calls(self: Arc<Self>, number: u64) {
        let mut random = Random(number);
        for call in 0..CALLS {
            let host = usize::try_from(random.below(HOSTS as u64)).unwrap();
            let task = random.below(TASKS);
            let endpoint = self.daemon.host(host).unwrap().endpoint().to_owned();
            let Ok(client) = Client::try_connect(&endpoint).await else {
                continue;
            };
            let stays = random.below(3) > 0;
            match random.below(3) {
                0 => {
                    let import = client.begin_import(self.import(task, random.below(4)));
                    if !stays {
                        tokio::task::yield_now().await;
                        import.abort();
                    }
                    let _ = import.await;
                }
                kind => {
                    let output = self.dir.path().join(format!("output-{number}-{call}"));
                    let request = Export {
                        task_id: self.id(task),
                        persistent: random.below(6) == 0,
                        need_piece_content: kind == 1,
                        output_path: Some(output.to_str().unwrap().to_owned()),
                        ..Export::default()
                    };
                    if !stays {
                        drop(client.begin_export(request).await);
                        continue;
                    }
                    let exported = client.export(request).await;
                    if exported.status.code() == tonic::Code::Ok {
                        assert!(fs::read(&output).unwrap() == content::bytes(task, LENGTH));
                    } else if exported.opened {
                        // Whole, if the connection broke after the export had ended well.
                        let settled = || {
                            let left = fs::read(&output);
                            left.map_or(true, |left| left == content::bytes(task, LENGTH))
                        };
                        let changes = Changes::at(output.parent().unwrap());
                        changes.until("no part of an output is left", settled).await;
                    }
                }
            }
        }
    }

    /// Stops hosts, lets them leave, starts them; lets time pass.
    async fn shake(self: Arc<Self>, done: Arc<AtomicBool>) {
        let mut random = Random(99);
        while !done.load(Ordering::Relaxed) {
            let host = 1 + usize::try_from(random.below(HOSTS as u64 - 1)).unwrap();
            let host = self.daemon.host(host).unwrap();
            match random.below(8) {
                0 => host.stop().await,
                1 => host.leave().await,
                2 => self.daemon.collect().await.unwrap(),
                3..=5 => {
                    let by = std::time::Duration::from_secs(random.below(40));
                    self.daemon.clock().advance(by).unwrap();
                }
                _ => host.start().await.unwrap(),
            }
            if random.below(2) == 0 {
                self.daemon.settle().await;
            }
            // Clients get their turn.
            tokio::task::yield_now().await;
        }
    }

    fn import(&self, task: u64, replicas: u64) -> Import {
        let path = source(self.dir.path(), task);
        let ttl = 60 + 40 * i64::try_from(replicas).unwrap();
        requests::import_as(&path, &format!("task {task}"), 1 + replicas, ttl)
    }

    fn id(&self, task: u64) -> String {
        crate::support::content::scheme(self.daemon.release()).of_content(&format!("task {task}"))
    }

    /// What the scheduler says, what the hosts say and what lies on disk is the same, and whole.
    async fn books_agree(&self) {
        let client = self.on_host(0).await;
        // What clients left behind ends by itself.
        eventually("no import is under way", || async {
            let mut under_way = false;
            for task in 0..TASKS {
                let stat = client.stat(&self.id(task)).await;
                under_way |= stat.is_ok_and(|task| task.state == "Uploading");
            }
            !under_way
        })
        .await;
        eventually("every transfer has ended", || async {
            self.daemon.settle().await;
            let hosts = (0..HOSTS).map(|host| self.host_dir(host).join("tmp"));
            hosts.into_iter().all(|tmp| names(&tmp).is_empty())
        })
        .await;
        self.daemon.collect().await.unwrap();
        self.daemon.settle().await;
        let mut counted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for host in 0..HOSTS {
            self.host_agrees(host, &mut counted).await;
        }
        for task in 0..TASKS {
            let Ok(task) = client.stat(&self.id(task)).await else {
                continue;
            };
            let counts = (
                task.current_persistent_replica_count,
                task.current_replica_count,
            );
            let hosts = counted.get(&task.id).copied().unwrap_or_default();
            assert_eq!(
                counts, hosts,
                "the scheduler and the hosts disagree: {task:?}"
            );
        }
    }

    async fn host_agrees(&self, host: usize, counted: &mut BTreeMap<String, (u64, u64)>) {
        let client = self.on_host(host).await;
        let content = self.host_dir(host).join("content/persistent-cache-tasks");
        let mut on_disk = Vec::new();
        for prefix in names(&content) {
            on_disk.extend(names(&content.join(prefix)));
        }
        let mut listed = Vec::new();
        let mut used = 0;
        for local in client.list().await.unwrap() {
            let id = local.task_id;
            listed.push(format!("{id}.json"));
            if local.finished_at.is_none() {
                assert!(local.failed_at.is_some(), "{id} is half there");
                continue;
            }
            listed.push(id.clone());
            used += LENGTH;
            let (persistent, all) = counted.entry(id.clone()).or_default();
            *persistent += u64::from(local.persistent);
            *all += 1;
            let task = (0..TASKS).find(|task| self.id(*task) == id).unwrap();
            let path = content.join(id.get(..3).unwrap()).join(&id);
            assert!(
                fs::read(path).unwrap() == content::bytes(task, LENGTH),
                "{id} is damaged"
            );
        }
        listed.sort();
        on_disk.sort();
        assert_eq!(on_disk, listed, "records and files of host-{host}");
        assert!(
            used <= 5 * LENGTH + 100,
            "host-{host} holds more than it can"
        );
    }

    fn host_dir(&self, host: usize) -> PathBuf {
        self.daemon.state_dir().join(format!("hosts/host-{host}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_for_one_is_given_to_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, content::bytes(1, 1000)).unwrap();
    for _ in 0..5 {
        let daemon = FakeDfdaemon::builder().hosts(1).capacity(1999);
        let daemon = daemon.start().await.unwrap();
        let mut imports = Vec::new();
        for number in 0..12 {
            let client = Client::connect(daemon.endpoint()).await;
            let import = requests::import_as(&file, &number.to_string(), 1, 60);
            imports.push(client.begin_import(import));
        }
        let mut succeeded = 0;
        for import in imports {
            succeeded += u32::from(import.await.unwrap().is_ok());
        }
        assert_eq!(succeeded, 1);
        daemon.stop().await;
    }
}

/// An id that has expired is taken by another import while the old content is still on its way.
/// Whoever exports has the one or the other, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_outlives_the_import_that_takes_its_expired_id() {
    const ROUNDS: u64 = 60;
    let daemon = FakeDfdaemon::builder().hosts(2).manual_clock();
    let daemon = daemon.start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..2u64)
        .map(|file| {
            // Of different lengths: a mix would be neither.
            let bytes = content::bytes(file, 2 * LENGTH + usize::try_from(file).unwrap());
            fs::write(source(dir.path(), file), &bytes).unwrap();
            bytes
        })
        .collect();
    let [on_first, on_second] = [0, 1].map(|host| daemon.host(host).unwrap().endpoint().to_owned());
    let importer = Client::connect(&on_first).await;
    let exporter = Client::connect(&on_second).await;
    let import = |file: u64| Import {
        path: source(dir.path(), file).to_str().unwrap().to_owned(),
        content_for_calculating_task_id: Some("one id".to_owned()),
        persistent_replica_count: 1,
        ttl: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Import::default()
    };
    let id = importer.import(import(0)).await.unwrap().id;
    for round in 1..=ROUNDS {
        let request = requests::transfer(&id);
        // The exporter has the content in every other round, and fetches it in the others.
        let client = if round % 3 == 0 { &importer } else { &exporter };
        let mut messages = client.begin_export(request).await.unwrap();
        let mut exported = crate::support::client::Exported::default();
        exported.take(messages.message().await.unwrap().unwrap());
        daemon
            .clock()
            .advance(std::time::Duration::from_secs(60))
            .unwrap();
        importer.import(import(round % 2)).await.unwrap();
        let exported = exported.read(messages).await.ok();
        let before = &files[usize::try_from((round - 1) % 2).unwrap()];
        assert_eq!(exported.started, Some(before.len() as u64), "round {round}");
        assert!(exported.content() == *before, "round {round}");
    }
    daemon.stop().await;
}
