//! Expiry: to the second, collected later, never under a running export.

use std::fs;
use std::time::Duration;

use fake_dfdaemon::{Builder, FakeDfdaemon};
use jiff::Timestamp;

use crate::row::{Row, row};
use crate::support::client::{Exported, Import};
use crate::tested_daemon::{
    MIB, TestedDaemon, cache, export_to, import, import_as, seconds, transfer,
};

const COLLECTOR: Duration = Duration::from_secs(15 * 60);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(a_task_is_gone_at_its_second).needs("the clock", clock),
        row!(an_expired_task_may_be_imported_again).needs("the clock", clock),
        row!(an_expired_task_lies_on_disk_until_it_is_collected).needs("the clock", clock),
        row!(the_collector_removes_record_and_content_on_every_host)
            .needs("hosts and the clock", |fake| clock(fake).hosts(3)),
        row!(a_failed_task_expires_too).needs("the clock and a capacity", |fake| {
            clock(fake).capacity(MIB as u64)
        }),
        row!(exported_links_outlive_their_task).needs("the clock", clock),
        row!(expiry_waits_for_a_running_export)
            .needs("the clock", clock)
            .ours("the real one takes the task away under the export"),
        row!(expiry_waits_for_a_running_transfer)
            .needs("hosts and the clock", |fake| clock(fake).hosts(2))
            .ours("as above"),
        row!(expiry_survives_a_restart)
            .needs("a restart", clock)
            .ours("the real scheduler keeps its tasks elsewhere"),
    ]
}

fn clock(fake: Builder) -> Builder {
    fake.manual_clock().gc_interval(COLLECTOR)
}

/// An import for this many seconds.
async fn imported_for(w: &TestedDaemon, ttl: i64, length: usize) -> (Import, String, Vec<u8>) {
    let source = w.file(length);
    let request = Import {
        ttl: Some(seconds(ttl)),
        ..import(&source.path)
    };
    let task = w.client().await.import(request.clone()).await.unwrap();
    (request, task.id, source.bytes)
}

/// Moves time to the second at which a task expires, or so much before it.
async fn go_to_expiry(w: &TestedDaemon, id: &str, before: Duration) {
    let task = w.client().await.stat(id).await.unwrap();
    let at = task.created_at.unwrap().seconds + task.ttl.unwrap().seconds;
    let at = Timestamp::from_second(at)
        .unwrap()
        .checked_sub(before)
        .unwrap();
    w.fake().clock().set(at).unwrap();
    w.fake().settle().await;
}

/// The files of all hosts that belong to a task.
fn files_of(daemon: &FakeDfdaemon, id: &str) -> usize {
    let hosts = fs::read_dir(daemon.state_dir().join("hosts")).unwrap();
    let dirs = hosts.map(|host| {
        let host = host.unwrap().path();
        host.join("content/persistent-cache-tasks")
            .join(id.get(..3).unwrap())
    });
    let files = dirs.filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    files
        .filter(|file| {
            file.as_ref()
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with(id)
        })
        .count()
}

async fn a_task_is_gone_at_its_second(w: TestedDaemon) {
    let (_, id, bytes) = imported_for(&w, 100, 9).await;
    let client = w.client().await;
    go_to_expiry(&w, &id, Duration::from_nanos(1)).await;
    assert_eq!(client.stat(&id).await.unwrap().state, "Succeeded");
    assert_eq!(client.export(transfer(&id)).await.ok().content(), bytes);
    go_to_expiry(&w, &id, Duration::ZERO).await;
    w.assert_not_found(&client.stat(&id).await.unwrap_err(), &id);
    let output = w.path("output");
    let exported = client.export(export_to(&id, &output)).await;
    w.assert_not_found(&exported.status, &id);
    assert!(!exported.opened && !output.exists());
}

async fn an_expired_task_may_be_imported_again(w: TestedDaemon) {
    let (request, id, bytes) = imported_for(&w, 100, 9).await;
    let client = w.client().await;
    let old = client.stat(&id).await.unwrap();
    go_to_expiry(&w, &id, Duration::ZERO).await;
    let request = Import {
        ttl: Some(seconds(300)),
        persistent_replica_count: 2,
        ..request
    };
    let new = client.import(request).await.unwrap();
    assert_eq!(new.id, id);
    let created =
        |task: &dfdaemon_api::common::v2::PersistentCacheTask| task.created_at.unwrap().seconds;
    assert_eq!(created(&new), created(&old) + 100);
    assert_eq!(
        (new.ttl, new.persistent_replica_count),
        (Some(seconds(300)), 2)
    );
    w.fake().collect().await.unwrap();
    assert_eq!(client.export(transfer(&id)).await.ok().content(), bytes);
}

async fn an_expired_task_lies_on_disk_until_it_is_collected(w: TestedDaemon) {
    let (_, id, _) = imported_for(&w, 100, 9).await;
    go_to_expiry(&w, &id, Duration::ZERO).await;
    assert_eq!(files_of(w.fake(), &id), 2);
    w.fake().collect().await.unwrap();
    assert_eq!(files_of(w.fake(), &id), 0);
}

async fn the_collector_removes_record_and_content_on_every_host(w: TestedDaemon) {
    let source = w.file(9);
    let request = Import {
        persistent_replica_count: 2,
        ttl: Some(seconds(100)),
        ..import(&source.path)
    };
    let id = w.client().await.import(request).await.unwrap().id;
    let (_, longer, _) = imported_for(&w, 86_400, 5).await;
    w.fake().settle().await;
    for host in 0..3 {
        w.host(host).await.export(cache(&id)).await.ok();
    }
    assert_eq!(files_of(w.fake(), &id), 6);
    w.advance(COLLECTOR).await;
    assert_eq!(files_of(w.fake(), &id), 0);
    for host in 0..3 {
        assert!(!w.host(host).await.listed().await.contains(&id));
    }
    assert_eq!(w.client().await.listed().await, [longer]);
}

async fn a_failed_task_expires_too(w: TestedDaemon) {
    let client = w.client().await;
    let (text, too_big) = (w.unique("failed"), w.file(MIB + 1));
    client
        .import(import_as(&too_big.path, &text))
        .await
        .unwrap_err();
    let id = w.scheme().of_content(&text);
    assert_eq!(client.stat(&id).await.unwrap().state, "Failed");
    go_to_expiry(&w, &id, Duration::ZERO).await;
    w.assert_not_found(&client.stat(&id).await.unwrap_err(), &id);
    w.advance(COLLECTOR).await;
    assert!(client.listed().await.is_empty());
    assert_eq!(files_of(w.fake(), &id), 0);
}

async fn exported_links_outlive_their_task(w: TestedDaemon) {
    let (_, id, bytes) = imported_for(&w, 100, 9).await;
    let output = w.path("output");
    w.client().await.export(export_to(&id, &output)).await.ok();
    go_to_expiry(&w, &id, Duration::ZERO).await;
    w.fake().collect().await.unwrap();
    assert_eq!(fs::read(output).unwrap(), bytes);
}

/// Lets a task expire while a host exports it: the content comes all the same, then it is gone.
async fn assert_expiry_waits(w: &TestedDaemon, host: usize) {
    let (_, id, bytes) = imported_for(w, 100, 24 * MIB).await;
    let client = w.host(host).await;
    // Content that nobody reads keeps the export running.
    let mut running = client.begin_export(transfer(&id)).await.unwrap();
    let mut exported = Exported::default();
    exported.take(running.message().await.unwrap().unwrap());
    go_to_expiry(w, &id, Duration::ZERO).await;
    w.advance(COLLECTOR).await;
    w.fake().collect().await.unwrap();
    w.assert_not_found(&client.stat(&id).await.unwrap_err(), &id);
    assert!(
        files_of(w.fake(), &id) >= 2,
        "it was collected under the export"
    );
    let exported = exported.read(running).await.ok();
    assert!(exported.content() == bytes);
    w.fake().settle().await;
    assert_eq!(files_of(w.fake(), &id), 0, "nobody came back for it");
    assert!(client.listed().await.is_empty());
}

async fn expiry_waits_for_a_running_export(w: TestedDaemon) {
    assert_expiry_waits(&w, 0).await;
}

async fn expiry_waits_for_a_running_transfer(w: TestedDaemon) {
    assert_expiry_waits(&w, 1).await;
}

async fn expiry_survives_a_restart(w: TestedDaemon) {
    let state = w.path("state");
    let start = |now: Timestamp| {
        let clock = fake_dfdaemon::clock::ClockMode::Manual(Some(now));
        let builder = FakeDfdaemon::builder().release(w.release).hosts(1);
        builder.state_dir(&state).clock(clock).start()
    };
    let daemon = start(Timestamp::UNIX_EPOCH).await.unwrap();
    let client = crate::support::client::Client::connect(daemon.endpoint()).await;
    let request = Import {
        ttl: Some(seconds(100)),
        ..import(&w.file(9).path)
    };
    let task = client.import(request).await.unwrap();
    daemon.stop().await;
    for (second, there) in [(50, true), (99, true), (100, false)] {
        let daemon = start(Timestamp::from_second(second).unwrap())
            .await
            .unwrap();
        let client = crate::support::client::Client::connect(daemon.endpoint()).await;
        assert_eq!(
            client.stat(&task.id).await.ok(),
            there.then(|| {
                // What the scheduler says has no absent strings.
                let (tag, application) = (Some(String::new()), Some(String::new()));
                dfdaemon_api::common::v2::PersistentCacheTask {
                    tag,
                    application,
                    ..task.clone()
                }
            })
        );
        daemon.stop().await;
    }
}
