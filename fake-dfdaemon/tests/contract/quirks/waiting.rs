//! Exports that wait for a host whose record of the task is neither finished nor failed.

use std::fs;
use std::time::Duration;

use fake_dfdaemon::{FakeDfdaemon, Quirk, Quirks};
use tokio::task::JoinHandle;
use tonic::Code;

use super::imported;
use crate::support::client::{Client, Export, Exported, LocalTask};
use crate::support::eventually;
use crate::support::peer_client::PeerClient;
use crate::support::world::content_path;
use crate::tested_daemon::{MIB, TestedDaemon, export_to, transfer};

/// More than a dfdaemon reads ahead of its client.
const LONG: usize = 13 * 4 * MIB;

/// Two pieces.
const SHORT: usize = 4 * MIB + 1;

/// How long a dfdaemon waits for a piece of another host.
const PATIENCE: Duration = Duration::from_secs(360);

/// Three hosts: the importer, one that had the task and knows now of a link that was refused, and one that
/// exports.
pub(super) async fn exports_wait(w: &TestedDaemon) {
    let quirks: Quirks = "all,-restart-wipes,-no-local-calls".parse().unwrap();
    let quirks = Quirk::all().filter(|quirk| quirks.has(*quirk));
    let fake = FakeDfdaemon::builder().release(w.release).hosts(3);
    let fake = fake.manual_clock().quirks(quirks);
    let fake = fake.start().await.unwrap();
    let hosts = Hosts { w, fake: &fake };
    let gone = w.by_scheduler(Code::FailedPrecondition, "no candidate parents found");

    let id = hosts.stalled(LONG).await;
    fake.host(0).unwrap().stop().await;
    let waiting = hosts.begin(2, transfer(&id)).await;
    hosts.counts(&id, (1, 3)).await;
    let local = hosts.local(2, &id).await;
    assert_eq!((local.finished_at, local.failed_at), (None, None));
    assert!(!local.persistent && hosts.has_file(2, &id));
    // Hosts wait for each other. Clients that leave change nothing.
    let other = hosts.begin(1, transfer(&id)).await;
    hosts.counts(&id, (1, 4)).await;
    other.abort();
    // A host without a record refuses, and so does a host whose record has failed. An export that waits goes on.
    hosts.peer(1).await.delete(&id).await.unwrap();
    for host in [2, 1] {
        let status = hosts.client(host).await.export(transfer(&id)).await.status;
        w.assert_internal(&status, &gone);
        assert!(hosts.local(host, &id).await.failed_at.is_some());
    }
    hosts.counts(&id, (1, 6)).await;
    assert!(!waiting.is_finished());
    // Until pieces come.
    fake.host(0).unwrap().start().await.unwrap();
    hosts.client(1).await.export(transfer(&id)).await.ok();
    let exported = waiting.await.unwrap().ok();
    let parent = exported.pieces.first().unwrap().parent_id.clone().unwrap();
    assert!(exported.content().len() == LONG && parent.contains("-host-1-"));
    for host in [1, 2] {
        let local = hosts.local(host, &id).await;
        assert!(local.finished_at.is_some() && local.failed_at.is_none());
    }

    // Or until the host stops, or time is up.
    for stops in [true, false] {
        let id = hosts.stalled(SHORT).await;
        fake.host(0).unwrap().stop().await;
        let waiting = hosts.begin(2, transfer(&id)).await;
        match stops {
            true => fake.host(1).unwrap().stop().await,
            false => drop(fake.clock().advance(PATIENCE).unwrap()),
        }
        w.assert_internal(&waiting.await.unwrap().status, &gone);
        assert!(hosts.local(2, &id).await.failed_at.is_some());
        for host in [0, 1] {
            fake.host(host).unwrap().start().await.unwrap();
        }
    }
}

struct Hosts<'a> {
    w: &'a TestedDaemon,
    fake: &'a FakeDfdaemon,
}

impl Hosts<'_> {
    async fn client(&self, host: usize) -> Client {
        Client::connect(self.fake.endpoints().nth(host).unwrap()).await
    }

    async fn peer(&self, host: usize) -> PeerClient {
        PeerClient::connect(self.fake.host(host).unwrap().upload_endpoint()).await
    }

    /// A task of this many bytes whose second host lost its copy, and was refused a link since.
    async fn stalled(&self, length: usize) -> String {
        let (id, _) = imported(self.w, self.fake, length).await;
        self.client(1).await.export(transfer(&id)).await.ok();
        self.peer(1).await.delete(&id).await.unwrap();
        let out = self.w.path(&self.w.unique("out"));
        fs::write(&out, "old").unwrap();
        let mut refused = export_to(&id, &out);
        refused.force_hard_link = true;
        let status = self.client(1).await.export(refused).await.status;
        self.w.assert_internal(&status, "File exists (os error 17)");
        id
    }

    /// Begins an export, which waits.
    async fn begin(&self, host: usize, request: Export) -> JoinHandle<Exported> {
        let (client, id) = (self.client(host).await, request.task_id.clone());
        let before = self.counted(&id).await.1;
        let exporting = tokio::spawn(async move { client.export(request).await });
        eventually("the export counts", || async {
            self.counted(&id).await.1 > before
        })
        .await;
        // Its time begins when it waits, and not when it counts: before its file is there.
        eventually("the host has its file", || async {
            self.has_file(host, &id)
        })
        .await;
        exporting
    }

    async fn counted(&self, id: &str) -> (u64, u64) {
        let task = self.client(2).await.stat(id).await.unwrap();
        (
            task.current_persistent_replica_count,
            task.current_replica_count,
        )
    }

    async fn counts(&self, id: &str, expected: (u64, u64)) {
        assert_eq!(self.counted(id).await, expected);
    }

    async fn local(&self, host: usize, id: &str) -> LocalTask {
        self.client(host).await.stat_local(id).await.unwrap()
    }

    fn has_file(&self, host: usize, id: &str) -> bool {
        content_path(self.fake.state_dir(), &format!("host-{host}"), id).exists()
    }
}
