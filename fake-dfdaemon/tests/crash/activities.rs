//! What a daemon is killed in the middle of, and what may be there afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fake_dfdaemon::Release;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::crash::promises::{CAPACITY, HOSTS, Promise, Promises};
use crate::support::client::{Client, Export};
use crate::support::content;
use crate::support::process::{Process, serve};
use crate::support::requests::transfer;

/// Two pieces, the second a short one.
const LENGTH: usize = (4 << 20) + 7;

/// Three of these are too many for a host that holds what is promised.
const EVICTABLE: usize = 3 << 20;

/// The shortest TTL there is, in seconds.
const SHORT: i64 = 60;

const LONG: i64 = 7 * 24 * 3600;

/// No more than that is promised for long.
const KEPT: usize = 3;

/// The first moment to kill at is within that.
const FIRST_SPAN: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Activity {
    Import,
    Replication,
    Export,
    Collection,
    Eviction,
    Snapshot,
    Restore,
}

pub(crate) const ACTIVITIES: [Activity; 7] = [
    Activity::Import,
    Activity::Replication,
    Activity::Export,
    Activity::Collection,
    Activity::Eviction,
    Activity::Snapshot,
    Activity::Restore,
];

/// A state that daemons are killed over.
pub(crate) struct Rounds {
    release: Release,
    promises: Promises,
    /// What the snapshot holds, if there is one.
    kept: Option<Vec<Promise>>,
    now: Timestamp,
    /// Within which a moment lies, so that about every other kill hits.
    spans: BTreeMap<Activity, Duration>,
    hits: BTreeMap<Activity, usize>,
    random: u64,
    next_seed: u64,
}

/// What is under way when the daemon is killed: whether it was answered, is known at its end.
type UnderWay = JoinHandle<bool>;

impl Rounds {
    pub(crate) fn new(release: Release) -> Self {
        Self {
            release,
            promises: Promises::new(release),
            kept: None,
            now: Timestamp::from_second(1_767_323_045).unwrap(),
            spans: ACTIVITIES
                .into_iter()
                .map(|one| (one, FIRST_SPAN))
                .collect(),
            hits: ACTIVITIES.into_iter().map(|one| (one, 0)).collect(),
            random: 7,
            next_seed: 0,
        }
    }

    /// How often an activity was not at its end when the daemon was killed.
    pub(crate) fn hits(&self) -> &BTreeMap<Activity, usize> {
        &self.hits
    }

    /// Kills a daemon in the middle of something, and looks at what is left.
    pub(crate) async fn kill_in(&mut self, activity: Activity) {
        let daemon = self.start();
        let before = self.promises.promised.clone();
        let mut new = None;
        let under_way = match activity {
            Activity::Import => {
                let promise = self.file(LENGTH, HOSTS, LONG);
                new = Some(promise.clone());
                self.import(&daemon, &promise).await
            }
            Activity::Replication => {
                let promise = self.imported(&daemon, LENGTH, HOSTS, LONG).await;
                let control = daemon.path("control");
                self.promises.promised.push(promise);
                post(control, "/settle", "{}")
            }
            Activity::Export => {
                let promise = self.imported(&daemon, LENGTH, 1, LONG).await;
                let output = self.promises.output(promise.seed);
                self.promises.promised.push(promise.clone());
                export(&daemon, vec![promise], Some(output)).await
            }
            Activity::Collection => {
                for _ in 0..2 {
                    self.imported(&daemon, LENGTH, HOSTS, SHORT).await;
                }
                self.rest(&daemon).await;
                let advance = format!("{{\"advance\":\"{SHORT}s\"}}");
                self.now += jiff::SignedDuration::from_secs(SHORT);
                post(daemon.path("control"), "/clock", &advance)
                    .await
                    .unwrap();
                post(daemon.path("control"), "/gc", "{}")
            }
            Activity::Eviction => {
                let mut evictable = Vec::new();
                for _ in 0..3 {
                    evictable.push(self.imported(&daemon, EVICTABLE, 1, SHORT).await);
                }
                self.promises.promised.extend(evictable.iter().cloned());
                export(&daemon, evictable, None).await
            }
            Activity::Snapshot => post(daemon.path("control"), "/snapshots/s", "{}"),
            Activity::Restore => {
                if self.kept.is_none() {
                    let taken = post(daemon.path("control"), "/snapshots/s", "{}");
                    assert!(taken.await.unwrap());
                    self.kept = Some(before);
                }
                let promise = self.imported(&daemon, LENGTH, HOSTS, LONG).await;
                self.promises.promised.push(promise);
                post(daemon.path("control"), "/snapshots/s/restore", "{}")
            }
        };
        let answered = self.kill(daemon, activity, under_way).await;
        self.look(activity, new, answered).await;
    }

    /// Holds what is left against what may be.
    async fn look(&mut self, activity: Activity, new: Option<Promise>, answered: bool) {
        let promised = self.promises.promised.clone();
        let mut may_be = Vec::new();
        match (activity, new) {
            (Activity::Import, Some(new)) => {
                may_be.push([promised.clone(), vec![new.clone()]].concat());
                if !answered {
                    may_be.push(promised);
                }
                self.promises.check(self.now, may_be, Some(&new)).await;
            }
            (Activity::Restore, _) => {
                may_be.extend(self.kept.clone());
                if !answered {
                    may_be.push(promised);
                }
                self.promises.check(self.now, may_be, None).await;
            }
            (Activity::Snapshot, _) => {
                self.promises
                    .check(self.now, vec![promised.clone()], None)
                    .await;
                let mut may_be_kept = vec![promised];
                if !answered {
                    may_be_kept.extend(self.kept.take());
                }
                // It is whole, the new one or the one before it.
                let daemon = self.start();
                let restored = post(daemon.path("control"), "/snapshots/s/restore", "{}");
                let restored = restored.await.unwrap();
                assert!(
                    restored || !answered && may_be_kept.len() == 1,
                    "the snapshot is lost"
                );
                daemon.kill();
                self.promises.check(self.now, may_be_kept, None).await;
                self.kept = restored.then(|| self.promises.promised.clone());
            }
            _ => self.promises.check(self.now, vec![promised], None).await,
        }
        if activity == Activity::Eviction {
            // What it was done with is gone before the next.
            self.now += jiff::SignedDuration::from_secs(SHORT);
        }
        self.promises.forget_all_but(KEPT, self.now).await;
    }

    async fn kill(&mut self, daemon: Process, activity: Activity, under_way: UnderWay) -> bool {
        let began = Instant::now();
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let span = self.spans.get_mut(&activity).unwrap();
        // Where the kill hits is what is varied.
        testkit::wait::real_time(span.mul_f64((self.random >> 40) as f64 / f64::from(1 << 24)))
            .await;
        let hit = !under_way.is_finished();
        daemon.kill();
        let answered = under_way.await.unwrap();
        if hit {
            *self.hits.get_mut(&activity).unwrap() += 1;
            *span = (*span).mul_f64(1.5).min(40 * FIRST_SPAN);
        } else {
            *span = began.elapsed().min(*span).mul_f64(0.7).max(FIRST_SPAN / 50);
        }
        answered
    }

    fn start(&self) -> Process {
        let mut command = serve();
        command.arg("--state-dir").arg(self.promises.state());
        command.arg(format!("--clock=manual={}", self.now));
        command.arg(format!("--capacity={CAPACITY}"));
        command.arg(format!("--hosts={HOSTS}"));
        command.arg(format!("--dfdaemon-version={}", self.release));
        Process::start(&mut command)
    }

    async fn rest(&self, daemon: &Process) {
        let settled = post(daemon.path("control"), "/settle", "{}");
        assert!(settled.await.unwrap());
    }

    /// A file to be imported, another one each time.
    fn file(&mut self, length: usize, replicas: usize, ttl: i64) -> Promise {
        let seed = self.next_seed;
        self.next_seed += 1;
        let promise = Promise {
            // Given, since without it an id that was never answered would not be known.
            id: crate::support::content::scheme(self.release).of_content(&format!("task {seed}")),
            seed,
            length,
            replicas,
            ttl,
            expires_at: self.now + jiff::SignedDuration::from_secs(ttl),
        };
        fs::write(self.promises.file(seed), content::bytes(seed, length)).unwrap();
        promise
    }

    async fn import(&self, daemon: &Process, promise: &Promise) -> UnderWay {
        let client = Client::connect(&daemon.endpoint(0)).await;
        let request = self.promises.import(promise);
        tokio::spawn(async move { client.import(request).await.is_ok() })
    }

    async fn imported(
        &mut self,
        daemon: &Process,
        length: usize,
        replicas: usize,
        ttl: i64,
    ) -> Promise {
        let promise = self.file(length, replicas, ttl);
        assert!(self.import(daemon, &promise).await.await.unwrap());
        promise
    }
}

/// Exports from the host that lacks them, one after the other.
async fn export(daemon: &Process, promises: Vec<Promise>, output: Option<PathBuf>) -> UnderWay {
    let client = Client::connect(&daemon.endpoint(1)).await;
    tokio::spawn(async move {
        for promise in promises {
            let output_path = output
                .as_ref()
                .map(|path| path.to_str().unwrap().to_owned());
            let request = Export {
                output_path,
                ..transfer(&promise.id)
            };
            let exported = client.export(request).await;
            if exported.status.code() != tonic::Code::Ok {
                return false;
            }
            let whole = content::bytes(promise.seed, promise.length);
            assert!(exported.content() == whole);
            if let Some(output) = &output {
                assert!(fs::read(output).unwrap() == whole);
            }
        }
        true
    })
}

/// Asks the control API of a daemon that may be killed meanwhile.
fn post(control: PathBuf, path: &str, body: &str) -> UnderWay {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::task::spawn_blocking(move || {
        let asked = UnixStream::connect(control).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    })
}
