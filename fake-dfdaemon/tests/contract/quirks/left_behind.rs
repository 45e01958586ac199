//! Quirks that show in what imports and exports leave in the store and at the scheduler.

use std::fs;
use std::time::Duration;

use fake_dfdaemon::{FakeDfdaemon, Release};
use tonic::Code;

use super::{client_of, imported};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::peer_client::PeerClient;
use crate::support::world::content_path;
use crate::tested_daemon::{MIB, TestedDaemon, export_to, import_as, transfer};

/// So many that one of them would end before a link is tried, if it did not wait for the link.
const QUICK_TRANSFERS: usize = 10;

/// Exports that fail on a host that had nothing of the task.
pub(super) async fn failed_exports(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let count = async |id: &str| other.stat(id).await.unwrap().current_replica_count;
    // A link that is refused: the record of the host neither ended well nor failed. The link is tried
    // before any piece, so that no replica comes, however quick a transfer is.
    let (mut id, _) = imported(w, fake, 10).await;
    for _ in 0..QUICK_TRANSFERS {
        (id, _) = imported(w, fake, 10).await;
        let out = w.path(&w.unique("out"));
        fs::write(&out, "old").unwrap();
        let mut refused = export_to(&id, &out);
        refused.force_hard_link = true;
        let status = other.export(refused).await.status;
        w.assert_internal(&status, "File exists (os error 17)");
        let left = other.stat_local(&id).await.ok();
        let ends = left.as_ref().map(|left| (left.finished_at, left.failed_at));
        assert!(ends.is_none_or(|ends| ends == (None, None)), "{ends:?}");
        let file = fs::metadata(content_path(fake.state_dir(), "host-1", &id)).ok();
        assert_eq!(file.map(|file| file.len()), left.map(|_| 10));
        assert_eq!(count(&id).await, 1);
    }
    // An export that finds nobody fails, whatever a refused link has left before.
    let host = fake.host(0).unwrap();
    host.stop().await;
    other.export(transfer(&id)).await;
    let left = other.stat_local(&id).await.ok();
    let failed = left.is_some_and(|left| left.failed_at.is_some());
    // The next one writes nothing either: what somebody has cut stays cut.
    let file = content_path(fake.state_dir(), "host-1", &id);
    let length = || fs::metadata(&file).ok().map(|file| file.len());
    assert_eq!(length(), failed.then_some(10));
    if failed {
        let cut = fs::File::options().write(true).open(&file).unwrap();
        cut.set_len(5).unwrap();
    }
    other.export(transfer(&id)).await;
    assert_eq!(length(), failed.then_some(5));
    host.start().await.unwrap();
    // No parent was there to begin with: the scheduler took it up nowhere.
    assert_eq!(count(&id).await, 1);
    // Transfers that lose their last parent. Their outputs stay, and are what comes at last.
    let (id, _) = imported(w, fake, 10).await;
    let content = content_path(fake.state_dir(), "host-0", &id);
    fs::File::options()
        .write(true)
        .open(content)
        .unwrap()
        .set_len(1)
        .unwrap();
    let out = w.path(&w.unique("out"));
    other.export(export_to(&id, &out)).await;
    if failed {
        // What comes from nobody is not written: what somebody has cut stays cut.
        let cut = fs::File::options().write(true).open(&out).unwrap();
        cut.set_len(5).unwrap();
    }
    other.export(transfer(&id)).await;
    assert_eq!(out.exists(), failed);
    let left = other.stat_local(&id).await.ok();
    let is_left = failed;
    let failed = left.is_some_and(|left| left.failed_at.is_some() && left.finished_at.is_none());
    assert_eq!(failed, is_left);
    // What the importer has is no replica any more.
    assert_eq!(count(&id).await, if failed { 1 } else { 0 });
    let file = content_path(fake.state_dir(), "host-1", &id);
    assert_eq!(
        fs::metadata(file).ok().map(|file| file.len()),
        failed.then_some(5)
    );
    // What was left can be made persistent, and the next export writes into it.
    let peer = PeerClient::connect(fake.host(1).unwrap().upload_endpoint()).await;
    assert_eq!(peer.update(&id, true).await.is_ok(), failed);
    let (id, bytes) = imported(w, fake, 10).await;
    let bad = fake.fault("transfer:reset".parse().unwrap());
    let out = w.path(&w.unique("out"));
    let mut persistent = export_to(&id, &out);
    persistent.persistent = true;
    let status = other.export(persistent).await.status;
    assert_ne!(status.code(), Code::Ok);
    drop(bad);
    let task = other.stat(&id).await.unwrap();
    let counts = (
        task.current_persistent_replica_count,
        task.current_replica_count,
    );
    assert_eq!(counts, if failed { (2, 2) } else { (1, 1) });
    assert_eq!(out.exists(), failed);
    assert_eq!(other.export(transfer(&id)).await.ok().content(), bytes);
    assert_eq!(fs::read(&out).ok(), failed.then_some(bytes));
    pieces_in_order(w, &other, fake).await;
    failed
}

/// Pieces are asked for in their order: those that come before one that fails are written.
async fn pieces_in_order(w: &TestedDaemon, other: &Client, fake: &FakeDfdaemon) {
    let (id, bytes) = imported(w, fake, 3 * 4 * MIB).await;
    let bad = fake.fault("transfer@piece=1:reset".parse().unwrap());
    let exported = other.export(transfer(&id)).await;
    assert_ne!(exported.status.code(), Code::Ok);
    drop(bad);
    if other.stat_local(&id).await.is_ok() {
        assert_eq!(exported.numbers(), [0]);
        let written = fs::read(content_path(fake.state_dir(), "host-1", &id)).unwrap();
        let (first, others) = written.split_at(4 * MIB);
        assert!(first == &bytes[..4 * MIB] && others.iter().all(|byte| *byte == 0));
    }
}

/// Changes a host's replica without its scheduler.
pub(super) async fn changes_of_a_host(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let counts = async |id: &str| {
        fake.settle().await;
        let task = other.stat(id).await.unwrap();
        (
            task.current_persistent_replica_count,
            task.current_replica_count,
        )
    };
    let peer = async |number: usize| {
        let host = fake.host(number).unwrap();
        PeerClient::connect(host.upload_endpoint()).await
    };
    // A replica that is made persistent, by a call or by an export there.
    let (id, _) = imported(w, fake, 10).await;
    other.export(transfer(&id)).await.ok();
    peer(1).await.update(&id, true).await.unwrap();
    let untold = counts(&id).await == (1, 2);
    assert!(untold || counts(&id).await == (2, 2));
    let (id, _) = imported(w, fake, 10).await;
    let mut persistent = transfer(&id);
    for flag in [false, true] {
        persistent.persistent = flag;
        other.export(persistent.clone()).await.ok();
    }
    assert_eq!(counts(&id).await, if untold { (1, 2) } else { (2, 2) });
    // A replica that is deleted: it is offered as a parent all the same.
    let (id, _) = imported(w, fake, 10).await;
    peer(0).await.delete(&id).await.unwrap();
    assert!(!content_path(fake.state_dir(), "host-0", &id).exists());
    assert_eq!(counts(&id).await, if untold { (1, 1) } else { (0, 0) });
    let exported = other.export(transfer(&id)).await;
    let (code, text) = match untold {
        true => (
            Code::FailedPrecondition,
            "no candidate parents found".to_owned(),
        ),
        false => (
            Code::NotFound,
            format!("peer {} not found", exported.peer_id()),
        ),
    };
    w.assert_internal(&exported.status, &w.by_scheduler(code, &text));
    // One that is taken again counts twice.
    let (id, _) = imported(w, fake, 10).await;
    other.export(transfer(&id)).await.ok();
    peer(1).await.delete(&id).await.unwrap();
    other.export(transfer(&id)).await.ok();
    assert_eq!(counts(&id).await, if untold { (1, 3) } else { (1, 2) });
    untold
}

/// An empty task on two hosts.
pub(super) async fn empty_copies(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let client = client_of(fake).await;
    let mut request = import_as(&w.file(0).path, &w.unique("empty"));
    request.persistent_replica_count = 2;
    let id = client.import(request).await.unwrap().id;
    fake.settle().await;
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    if w.release == Release::V1_5 {
        assert!(other.stat_local(&id).await.unwrap().persistent);
    }
    other.export(transfer(&id)).await.ok();
    let task = client.stat(&id).await.unwrap();
    let counts = (
        task.current_persistent_replica_count,
        task.current_replica_count,
    );
    assert!([(1, 1), (2, 2)].contains(&counts), "{counts:?}");
    counts == (1, 1)
}

/// Lets 8 seconds pass after an import, and in the middle of another one.
pub(super) async fn forgetting(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    let client = client_of(fake).await;
    fake.clock().advance(Duration::from_secs(9)).unwrap();
    let task = client.stat(&id).await.unwrap();
    let forgotten = task.current_replica_count == 0;
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let exported = other.export(transfer(&id)).await;
    if forgotten {
        let text = format!("peer {} not found", exported.peer_id());
        w.assert_internal(&exported.status, &w.by_scheduler(Code::NotFound, &text));
    } else {
        assert_eq!(exported.ok().content(), bytes);
    }
    // Where an import takes no time, there is no middle.
    if w.release == Release::V0_2 {
        let mut was_forgotten = forgets_an_import(w, fake, &client).await;
        while forgotten && !was_forgotten {
            // It had ended before time moved.
            was_forgotten = forgets_an_import(w, fake, &client).await;
        }
        assert_eq!(was_forgotten, forgotten);
    }
    forgotten
}

/// Lets time pass in the middle of an import, if it is caught there. Whether it was forgotten.
async fn forgets_an_import(w: &TestedDaemon, fake: &FakeDfdaemon, client: &Client) -> bool {
    let text = w.unique("long");
    let running = client.begin_import(import_as(&w.long_file(192 * MIB), &text));
    let id = w.scheme().of_content(&text);
    eventually("the import is under way", || async {
        client.stat(&id).await.is_ok()
    })
    .await;
    fake.clock().advance(Duration::from_secs(9)).unwrap();
    let Err(status) = running.await.unwrap() else {
        return false;
    };
    let text = status.message();
    assert!(
        text.contains("persistent cache peer 127.0.0.1-host-0-"),
        "{text}"
    );
    true
}
