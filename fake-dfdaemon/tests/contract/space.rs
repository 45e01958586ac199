//! Space and disk: eviction from 80 % down to 60 %, and where content lies.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use fake_dfdaemon::Builder;

use crate::row::{Row, row};
use crate::support::client::{Export, Exported};
use crate::tested_daemon::{MIB, TestedDaemon, cache, export_to, import, import_as, transfer};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(above_80_percent_the_oldest_copies_go_until_60_percent).needs("a capacity", tight),
        row!(at_80_percent_nothing_is_evicted).needs("a capacity", tight),
        row!(persistent_copies_are_never_evicted).needs("a capacity", tight),
        row!(a_copy_is_not_evicted_under_its_export_but_after_it)
            .needs("a capacity", |fake| tight(fake).capacity(30 << 20)),
        row!(exported_links_outlive_eviction).needs("a capacity", tight),
        row!(an_evicted_task_is_fetched_again).needs("a capacity", tight),
        row!(content_lies_where_the_real_daemon_has_it).needs("the disk", |fake| fake),
        row!(a_short_id_is_its_own_prefix)
            .needs("the disk", |fake| fake)
            .only(fake_dfdaemon::Release::V0_2),
        row!(an_output_has_the_inode_of_the_content).needs("the disk", |fake| fake.hosts(2)),
        row!(what_failed_leaves_no_content).needs("the disk", |fake| fake.capacity(MIB as u64)),
    ]
}

/// Two hosts of 10 MiB, and time in hand, so that updates have an order.
fn tight(fake: Builder) -> Builder {
    fake.hosts(2).capacity(10 << 20).manual_clock()
}

/// Imports files of so many MiB on the first host and caches them on the second, one a second.
async fn cached(w: &TestedDaemon, mebibytes: &[usize]) -> Vec<String> {
    let mut ids = Vec::new();
    for length in mebibytes {
        let (id, _) = w.imported(length * MIB).await;
        w.host(1).await.export(cache(&id)).await.ok();
        w.advance(Duration::from_secs(1)).await;
        ids.push(id);
    }
    ids
}

async fn above_80_percent_the_oldest_copies_go_until_60_percent(w: TestedDaemon) {
    // 9 of 10 after the last: the first two go, and leave 6.
    let ids = cached(&w, &[1, 2, 1, 3, 2]).await;
    let mut left = ids.get(2..).unwrap().to_vec();
    left.sort();
    assert_eq!(w.host(1).await.listed().await, left);
    let gone = w.client().await.stat(ids.first().unwrap()).await.unwrap();
    assert_eq!(
        (
            gone.current_persistent_replica_count,
            gone.current_replica_count
        ),
        (1, 1)
    );
}

async fn at_80_percent_nothing_is_evicted(w: TestedDaemon) {
    let ids = cached(&w, &[3, 3, 2]).await;
    assert_eq!(w.host(1).await.listed().await.len(), ids.len());
}

async fn persistent_copies_are_never_evicted(w: TestedDaemon) {
    let (first, _) = w.imported(5 * MIB).await;
    let (second, _) = w.imported(4 * MIB).await;
    w.fake().settle().await;
    assert_eq!(w.client().await.listed().await.len(), 2);
    for (id, persistent) in [(&first, true), (&second, false)] {
        let request = Export {
            persistent,
            ..cache(id)
        };
        w.host(1).await.export(request).await.ok();
        w.fake().settle().await;
    }
    assert_eq!(w.host(1).await.listed().await, [first]);
}

async fn a_copy_is_not_evicted_under_its_export_but_after_it(w: TestedDaemon) {
    let (id, bytes) = w.imported(27 * MIB).await;
    let client = w.host(1).await;
    // Content that nobody reads keeps the export running.
    let mut running = client.begin_export(transfer(&id)).await.unwrap();
    let mut exported = Exported::default();
    exported.take(running.message().await.unwrap().unwrap());
    w.fake().settle().await;
    w.fake().collect().await.unwrap();
    assert_eq!(client.listed().await, [id.as_str()]);
    let exported = exported.read(running).await.ok();
    assert!(exported.content() == bytes);
    w.fake().settle().await;
    assert!(
        client.listed().await.is_empty(),
        "the host is 90 % full and nothing is done"
    );
}

async fn exported_links_outlive_eviction(w: TestedDaemon) {
    let (id, bytes) = w.imported(9 * MIB).await;
    let output = w.path("output");
    w.host(1).await.export(export_to(&id, &output)).await.ok();
    w.fake().settle().await;
    assert!(w.host(1).await.listed().await.is_empty());
    assert!(fs::read(output).unwrap() == bytes);
}

async fn an_evicted_task_is_fetched_again(w: TestedDaemon) {
    let (id, bytes) = w.imported(9 * MIB).await;
    for _ in 0..2 {
        let exported = w.host(1).await.export(transfer(&id)).await.ok();
        assert!(exported.content() == bytes);
        assert!(
            exported
                .pieces
                .iter()
                .all(|piece| piece.parent_id.is_some())
        );
        w.fake().settle().await;
    }
}

fn content_of(w: &TestedDaemon, host: usize, prefix: &str, id: &str) -> std::path::PathBuf {
    let host = w
        .fake()
        .state_dir()
        .join("hosts")
        .join(format!("host-{host}"));
    host.join("content/persistent-cache-tasks")
        .join(prefix)
        .join(id)
}

async fn content_lies_where_the_real_daemon_has_it(w: TestedDaemon) {
    let (id, bytes) = w.imported(4 * MIB + 1).await;
    let path = content_of(&w, 0, id.get(..3).unwrap(), &id);
    assert!(fs::read(path).unwrap() == bytes);
}

async fn a_short_id_is_its_own_prefix(w: TestedDaemon) {
    // Made to have this CRC-32.
    let (text, id) = ("short id 3 S4vi", "37");
    let source = w.file(9);
    let task = w
        .client()
        .await
        .import(import_as(&source.path, text))
        .await
        .unwrap();
    assert_eq!(task.id, id);
    assert_eq!(fs::read(content_of(&w, 0, id, id)).unwrap(), source.bytes);
    assert_eq!(
        w.client().await.export(transfer(id)).await.ok().content(),
        source.bytes
    );
}

async fn an_output_has_the_inode_of_the_content(w: TestedDaemon) {
    let (id, _) = w.imported(9).await;
    for host in [0, 1] {
        let output = w.path(&format!("output-{host}"));
        w.host(host)
            .await
            .export(export_to(&id, &output))
            .await
            .ok();
        let content = content_of(&w, host, id.get(..3).unwrap(), &id);
        let inode = |path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(output), inode(content));
    }
}

async fn what_failed_leaves_no_content(w: TestedDaemon) {
    let id = w.failed(MIB).await;
    w.client()
        .await
        .import(import(&w.file(MIB + 1).path))
        .await
        .unwrap_err();
    assert!(!content_of(&w, 0, id.get(..3).unwrap(), &id).exists());
    let tmp = w.fake().state_dir().join("hosts/host-0/tmp");
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}
