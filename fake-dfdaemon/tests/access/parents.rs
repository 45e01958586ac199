//! Hosts of one fake as parents of the hosts of another: tasks are found there, and pieces taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_dfdaemon::{Builder, FakeDfdaemon, PeerAddress, Quirk, Release, Rpc};
use tempfile::TempDir;
use tonic::Code;

use crate::support::client::Client;
use crate::support::peer_client::PeerClient;
use crate::support::requests::{cache, export_to, import, transfer};
use crate::support::world::fired;
use crate::support::{content, eventually};

/// Longer than an honest parent takes, also on a machine with much else to do.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// How a host reaches another one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    Unix,
    Tcp,
}

pub(crate) const EVERY: [(Release, Over); 4] = [
    (Release::V0_2, Over::Unix),
    (Release::V0_2, Over::Tcp),
    (Release::V1_5, Over::Unix),
    (Release::V1_5, Over::Tcp),
];

/// A fake of one host that peers reach.
pub(crate) async fn far(release: Release) -> FakeDfdaemon {
    let builder = FakeDfdaemon::builder().release(release).hosts(1);
    let tcp = "127.0.0.1:0".parse().unwrap();
    builder.tcp(tcp).start().await.unwrap()
}

/// Where peers reach it.
pub(crate) fn upload(fake: &FakeDfdaemon, over: Over) -> PeerAddress {
    let host = fake.host(0).unwrap();
    match over {
        Over::Unix => PeerAddress::Socket(host.upload_endpoint().to_owned()),
        Over::Tcp => host.upload_tcp().unwrap().to_string().parse().unwrap(),
    }
}

pub(crate) fn near(release: Release) -> Builder {
    FakeDfdaemon::builder().release(release).hosts(1)
}

/// Imports a file of so many bytes.
pub(crate) async fn imported(fake: &FakeDfdaemon, dir: &Path, length: usize) -> (String, Vec<u8>) {
    let bytes = content::bytes(length as u64, length);
    let path = dir.join(format!("source-{length}"));
    std::fs::write(&path, &bytes).unwrap();
    let client = Client::connect(fake.endpoint()).await;
    let task = client.import(import(&path, 1, 3600)).await.unwrap();
    (task.id, bytes)
}

struct Pair {
    dir: TempDir,
    far: FakeDfdaemon,
    near: FakeDfdaemon,
    client: Client,
}

async fn pair((release, over): (Release, Over)) -> Pair {
    let far = far(release).await;
    let near = near(release)
        .parent_timeout(LONG_ENOUGH)
        .parent(upload(&far, over))
        .start()
        .await
        .unwrap();
    Pair {
        dir: tempfile::tempdir().unwrap(),
        client: Client::connect(near.endpoint()).await,
        far,
        near,
    }
}

impl Pair {
    fn output(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[tokio::test]
async fn a_task_of_another_fake_is_exported_in_every_mode() {
    for every in EVERY {
        let pair = pair(every).await;
        for length in [0, 5, (8 << 20) + 1] {
            let (id, bytes) = imported(&pair.far, pair.dir.path(), length).await;
            let seen = pair.client.stat(&id).await.unwrap();
            let other = Client::connect(pair.far.endpoint())
                .await
                .stat(&id)
                .await
                .unwrap();
            let fields = |task: &dfdaemon_api::common::v2::PersistentCacheTask| {
                (
                    task.content_length,
                    task.piece_count,
                    task.ttl,
                    task.created_at,
                )
            };
            assert_eq!(fields(&seen), fields(&other));
            let exported = pair.client.export(transfer(&id)).await.ok();
            assert_eq!(exported.content(), bytes, "{every:?}");
            let remote = exported
                .pieces
                .iter()
                .all(|piece| piece.parent_id.is_some());
            assert!(remote, "{every:?}");
            // Then it has it.
            let out = pair.output(&format!("out-{length}"));
            pair.client.export(export_to(&id, &out)).await.ok();
            assert_eq!(std::fs::read(&out).unwrap(), bytes);
            let local = pair.client.stat_local(&id).await.unwrap();
            assert!(local.finished_at.is_some() && !local.persistent);
            assert_eq!(
                pair.client.stat(&id).await.unwrap().current_replica_count,
                1
            );
        }
        let (id, bytes) = imported(&pair.far, pair.dir.path(), 6).await;
        let out = pair.output("out");
        let mut linked = export_to(&id, &out);
        linked.force_hard_link = true;
        pair.client.export(linked).await.ok();
        assert_eq!(std::fs::read(out).unwrap(), bytes);
    }
}

#[tokio::test]
async fn parents_have_the_call_in_their_journal_and_count_the_pieces() {
    let pair = pair(EVERY[1]).await;
    let (id, _) = imported(&pair.far, pair.dir.path(), (8 << 20) + 1).await;
    pair.client.export(cache(&id)).await.ok();
    let sent: u64 = pair
        .far
        .journal()
        .calls(Rpc::Transfer)
        .iter()
        .map(|call| call.pieces)
        .sum();
    assert_eq!(sent, 3);
    let client = Client::connect(pair.far.endpoint()).await;
    assert_eq!(client.stat_local(&id).await.unwrap().uploaded_count, 3);
}

#[tokio::test]
async fn a_task_that_no_parent_has_is_not_found() {
    let pair = pair(EVERY[0]).await;
    for id in ["404", "../../etc/passwd"] {
        let status = pair.client.export(transfer(id)).await.status;
        assert!(status.message().contains("not found"), "{status:?}");
    }
    assert_eq!(pair.near.tasks().len(), 0);
}

#[tokio::test]
async fn a_parent_that_is_gone_is_none() {
    for (release, over) in EVERY {
        let gone = far(release).await;
        let address = upload(&gone, over);
        gone.stop().await;
        let there = far(release).await;
        let dir = tempfile::tempdir().unwrap();
        let (id, bytes) = imported(&there, dir.path(), 5).await;
        let builder = near(release).parent(address).parent(upload(&there, over));
        let near = builder.start().await.unwrap();
        let client = Client::connect(near.endpoint()).await;
        let exported = client.export(transfer(&id)).await.ok();
        assert_eq!(exported.content(), bytes);
        // Known by now, and the last parent goes too.
        let (other, _) = imported(&there, dir.path(), 6).await;
        client.stat(&other).await.unwrap();
        there.stop().await;
        let status = client.export(transfer(&other)).await.status;
        let text = "no candidate parents found";
        assert!(status.message().contains(text), "{status:?}");
        assert!(client.stat_local(&other).await.is_err());
        assert_eq!(client.stat(&other).await.unwrap().current_replica_count, 0);
    }
}

#[tokio::test]
async fn fakes_may_be_each_others_parents() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = ["one", "two"].map(|name| dir.path().join(name).join("host-0.upload.sock"));
    let mut fakes = Vec::new();
    for (name, other) in [("one", 1), ("two", 0)] {
        let builder = near(Release::V1_5).state_dir(dir.path().join(name));
        let builder = builder.parent(PeerAddress::Socket(sockets[other].clone()));
        fakes.push(builder.start().await.unwrap());
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let (id, bytes) = imported(&fakes[from], dir.path(), 5 + from).await;
        let client = Client::connect(fakes[to].endpoint()).await;
        assert_eq!(client.export(transfer(&id)).await.ok().content(), bytes);
        let status = client.stat("404").await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
    }
}

#[tokio::test]
async fn faults_of_the_parent_hit_what_it_sends() {
    for every in EVERY {
        faults_hit_what_is_sent(every).await;
    }
}

async fn faults_hit_what_is_sent(every: (Release, Over)) {
    let pair = pair(every).await;
    let (id, bytes) = imported(&pair.far, pair.dir.path(), (4 << 20) + 1).await;
    let fault = |spec: &str| pair.far.fault(spec.parse().unwrap());
    for action in ["error=UNAVAILABLE", "corrupt_piece", "reset", "stall"] {
        // Of content that a host of 1.5 has linked, and nobody has read, pieces have no digest.
        if every.0 == Release::V1_5 && action == "corrupt_piece" {
            continue;
        }
        let fault = fault(&format!("transfer@piece=1:{action}"));
        let status = pair.client.export(transfer(&id)).await.status;
        assert!(
            status.message().contains("no candidate parents found"),
            "{every:?} {action}: {status:?}"
        );
        assert!(fault.fired() > 0, "{action}");
        let left = pair.client.stat_local(&id).await;
        assert!(left.is_err(), "{action}: {left:?}");
    }
    let delays = fault("transfer:delay=1ms");
    assert_eq!(
        pair.client.export(transfer(&id)).await.ok().content(),
        bytes
    );
    assert_eq!(delays.fired(), 2);
}

#[tokio::test]
async fn a_failed_export_of_another_fakes_task_counts_with_the_quirk() {
    let (release, over) = EVERY[3];
    let far = far(release).await;
    let near = near(release).quirks([Quirk::FailedExportsCount]);
    let near = near.parent(upload(&far, over)).start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (id, _) = imported(&far, dir.path(), 5).await;
    let _fails = far.fault("transfer:error=UNAVAILABLE".parse().unwrap());
    let client = Client::connect(near.endpoint()).await;
    client.export(transfer(&id)).await;
    let left = client.stat_local(&id).await.unwrap();
    assert!(left.failed_at.is_some() && left.finished_at.is_none());
    assert_eq!(client.stat(&id).await.unwrap().current_replica_count, 1);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_transfer_from_a_parent_that_hangs() {
    let (release, over) = EVERY[2];
    let far = far(release).await;
    let builder = FakeDfdaemon::builder().release(release).hosts(1);
    let near = builder.parent(upload(&far, over)).start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (id, _) = imported(&far, dir.path(), 5).await;
    let hangs = far.fault("transfer:stall".parse().unwrap());
    let client = Client::connect(near.endpoint()).await;
    let stream = client.begin_export(transfer(&id)).await.unwrap();
    fired(&hangs, 1).await;
    drop((stream, client));
    let client = Client::connect(near.endpoint()).await;
    eventually("nothing is left", || async {
        client.stat_local(&id).await.is_err()
    })
    .await;
    let peer = PeerClient::connect(near.host(0).unwrap().upload_endpoint()).await;
    peer.stat(&id).await.unwrap();
    near.stop().await;
}
