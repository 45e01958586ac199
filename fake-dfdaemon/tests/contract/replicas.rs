//! Replicas: made asynchronously, by promotion first, elsewhere when a host leaves.

use std::time::Duration;

use fake_dfdaemon::Builder;
use tonic::Code;

use crate::row::{Row, row};
use crate::support::client::{Exported, Import};
use crate::support::world::content_path;
use crate::tested_daemon::{MIB, TestedDaemon, cache, import, import_as, seconds, transfer};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(replicas_are_made_after_the_import).needs("hosts and the clock", delayed),
        row!(hosts_have_one_replica_each).needs("several hosts", |fake| fake.hosts(3)),
        row!(too_few_hosts_have_fewer).needs("several hosts", |fake| fake.hosts(2)),
        row!(a_replica_is_promoted_before_any_transfer).needs("hosts and the clock", delayed),
        row!(an_export_elsewhere_makes_a_replica_that_counts)
            .needs("several hosts", |fake| fake.hosts(2)),
        row!(a_local_export_adds_none_and_keeps_the_persistent_flag)
            .ours("a local export of the real one clears the flag"),
        row!(a_host_that_leaves_is_replaced).needs("several hosts", |fake| fake.hosts(3)),
        row!(a_host_that_leaves_is_replaced_by_a_promotion)
            .needs("several hosts", |fake| fake.hosts(3)),
        row!(what_was_made_elsewhere_stays).needs("several hosts", |fake| fake.hosts(3)),
        row!(replicas_of_a_stopped_host_still_count).needs("several hosts", |fake| fake.hosts(3)),
        row!(a_stopped_host_gets_its_replica_when_it_starts)
            .needs("several hosts", |fake| fake.hosts(2)),
        row!(a_host_without_room_gets_none).needs("several hosts and a capacity", |fake| {
            fake.hosts(3).capacity(3 << 20)
        }),
        row!(an_export_goes_on_when_one_of_its_sources_stops)
            .needs("several hosts", |fake| fake.hosts(3)),
        row!(a_host_gets_its_replica_when_room_comes_free)
            .needs("several hosts, a capacity and the clock", |fake| {
                fake.hosts(2).capacity(3 << 20).manual_clock()
            }),
        row!(a_transfer_that_loses_its_last_parent_says_so)
            .needs("several hosts", |fake| fake.hosts(2)),
        row!(a_host_that_starts_again_has_counted_no_upload)
            .needs("several hosts", |fake| fake.hosts(2)),
        row!(every_replica_has_the_content).needs("several hosts", |fake| fake.hosts(3)),
    ]
}

fn delayed(fake: Builder) -> Builder {
    fake.hosts(3).manual_clock().replication_delay(HOUR)
}

/// Imports on the first host, asking for so many replicas, and settles.
async fn imported(w: &TestedDaemon, replicas: u64) -> (String, Vec<u8>) {
    let source = w.file(MIB + 1);
    let request = Import {
        persistent_replica_count: replicas,
        ttl: Some(seconds(86_400)),
        ..import(&source.path)
    };
    let task = w.host(0).await.import(request).await.unwrap();
    w.fake().settle().await;
    (task.id, source.bytes)
}

/// The counts: persistent, all.
async fn counts(w: &TestedDaemon, id: &str) -> (u64, u64) {
    for host in w.fake().hosts() {
        if host.endpoint().exists() {
            let client = w.host(number(&host.name())).await;
            let task = client.stat(id).await.unwrap();
            return (
                task.current_persistent_replica_count,
                task.current_replica_count,
            );
        }
    }
    panic!("no host runs")
}

fn number(name: &str) -> usize {
    name.trim_start_matches("host-").parse().unwrap()
}

/// Whether a host has a replica, and a persistent one.
async fn replica(w: &TestedDaemon, host: usize, id: &str) -> Option<bool> {
    let local = w.host(host).await.stat_local(id).await.ok()?;
    local.finished_at.map(|_| local.persistent)
}

async fn replicas_are_made_after_the_import(w: TestedDaemon) {
    let (id, _) = imported(&w, 2).await;
    assert_eq!(counts(&w, &id).await, (1, 1));
    w.advance(HOUR - Duration::from_secs(1)).await;
    assert_eq!(counts(&w, &id).await, (1, 1));
    w.advance(Duration::from_secs(1)).await;
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn hosts_have_one_replica_each(w: TestedDaemon) {
    let (id, _) = imported(&w, 3).await;
    assert_eq!(counts(&w, &id).await, (3, 3));
    for host in 0..3 {
        assert_eq!(replica(&w, host, &id).await, Some(true));
        assert_eq!(w.host(host).await.listed().await, [id.as_str()]);
    }
}

async fn too_few_hosts_have_fewer(w: TestedDaemon) {
    let (id, _) = imported(&w, 9).await;
    assert_eq!(counts(&w, &id).await, (2, 2));
    let task = w.client().await.stat(&id).await.unwrap();
    assert_eq!(task.persistent_replica_count, 9);
}

async fn a_replica_is_promoted_before_any_transfer(w: TestedDaemon) {
    let (id, _) = imported(&w, 2).await;
    w.host(2).await.export(cache(&id)).await.ok();
    assert_eq!(counts(&w, &id).await, (1, 2));
    let client = w.host(0).await;
    let uploaded = async || client.stat_local(&id).await.unwrap().uploaded_count;
    let before = uploaded().await;
    w.advance(HOUR).await;
    assert_eq!(counts(&w, &id).await, (2, 2));
    assert_eq!(
        (replica(&w, 1, &id).await, replica(&w, 2, &id).await),
        (None, Some(true))
    );
    assert_eq!(uploaded().await, before, "something was transferred");
}

async fn an_export_elsewhere_makes_a_replica_that_counts(w: TestedDaemon) {
    let (id, _) = imported(&w, 1).await;
    assert_eq!(counts(&w, &id).await, (1, 1));
    w.host(1).await.export(cache(&id)).await.ok();
    assert_eq!(counts(&w, &id).await, (1, 2));
    assert_eq!(replica(&w, 1, &id).await, Some(false));
}

async fn a_local_export_adds_none_and_keeps_the_persistent_flag(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    let client = w.client().await;
    for _ in 0..2 {
        client.export(transfer(&id)).await.ok();
        let task = client.stat(&id).await.unwrap();
        assert_eq!(
            (
                task.current_persistent_replica_count,
                task.current_replica_count
            ),
            (1, 1)
        );
        assert!(client.stat_local(&id).await.unwrap().persistent);
    }
}

async fn a_host_that_leaves_is_replaced(w: TestedDaemon) {
    let (id, bytes) = imported(&w, 2).await;
    assert_eq!(counts(&w, &id).await, (2, 2));
    let leaver = if replica(&w, 1, &id).await.is_some() {
        1
    } else {
        2
    };
    let heir = 3 - leaver;
    w.fake().host(leaver).unwrap().leave().await;
    w.fake().settle().await;
    assert_eq!(counts(&w, &id).await, (2, 2));
    assert_eq!(replica(&w, heir, &id).await, Some(true));
    w.fake().host(0).unwrap().leave().await;
    w.fake().settle().await;
    assert_eq!(counts(&w, &id).await, (1, 1), "there is no other host");
    let exported = w.host(heir).await.export(transfer(&id)).await.ok();
    assert!(exported.content() == bytes);
}

async fn a_host_that_leaves_is_replaced_by_a_promotion(w: TestedDaemon) {
    let (id, _) = imported(&w, 1).await;
    w.host(2).await.export(cache(&id)).await.ok();
    w.fake().host(0).unwrap().leave().await;
    w.fake().settle().await;
    assert_eq!(counts(&w, &id).await, (1, 1));
    assert_eq!(
        (replica(&w, 1, &id).await, replica(&w, 2, &id).await),
        (None, Some(true))
    );
}

async fn what_was_made_elsewhere_stays(w: TestedDaemon) {
    let (id, _) = imported(&w, 2).await;
    let leaver = if replica(&w, 1, &id).await.is_some() {
        1
    } else {
        2
    };
    w.fake().host(leaver).unwrap().leave().await;
    w.fake().settle().await;
    w.fake().host(leaver).unwrap().start().await.unwrap();
    w.fake().settle().await;
    assert_eq!(counts(&w, &id).await, (3, 3));
}

async fn replicas_of_a_stopped_host_still_count(w: TestedDaemon) {
    let (id, _) = imported(&w, 2).await;
    for host in [1, 2] {
        w.fake().host(host).unwrap().stop().await;
    }
    w.fake().settle().await;
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn a_stopped_host_gets_its_replica_when_it_starts(w: TestedDaemon) {
    w.fake().host(1).unwrap().stop().await;
    let (id, _) = imported(&w, 2).await;
    assert_eq!(counts(&w, &id).await, (1, 1));
    w.fake().host(1).unwrap().start().await.unwrap();
    w.fake().settle().await;
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn a_host_without_room_gets_none(w: TestedDaemon) {
    let full = w.file(2 * MIB);
    w.host(1).await.import(import(&full.path)).await.unwrap();
    let (id, _) = imported(&w, 3).await;
    assert_eq!(counts(&w, &id).await, (2, 2));
    assert_eq!(
        (replica(&w, 1, &id).await, replica(&w, 2, &id).await),
        (None, Some(true))
    );
}

async fn a_host_gets_its_replica_when_room_comes_free(w: TestedDaemon) {
    let full = w.file(2 * MIB);
    let short = Import {
        ttl: Some(seconds(60)),
        ..import(&full.path)
    };
    w.host(1).await.import(short).await.unwrap();
    let (id, _) = imported(&w, 2).await;
    assert_eq!(counts(&w, &id).await, (1, 1));
    w.advance(Duration::from_secs(20 * 60)).await;
    assert_eq!(counts(&w, &id).await, (2, 2));
}

async fn every_replica_has_the_content(w: TestedDaemon) {
    let (id, bytes) = imported(&w, 3).await;
    for host in 0..3 {
        let exported = w.host(host).await.export(transfer(&id)).await.ok();
        assert!(exported.content() == bytes);
        assert!(
            exported
                .pieces
                .iter()
                .all(|piece| piece.parent_id.is_none())
        );
    }
}

async fn an_export_goes_on_when_one_of_its_sources_stops(w: TestedDaemon) {
    let file = w.long_file(96 * MIB);
    let request = Import {
        persistent_replica_count: 2,
        ..import_as(&file, &w.unique("long"))
    };
    let id = w.host(0).await.import(request).await.unwrap().id;
    w.fake().settle().await;
    let (source, target) = if replica(&w, 1, &id).await.is_some() {
        (1, 2)
    } else {
        (2, 1)
    };
    let client = w.host(target).await;
    let mut running = client.begin_export(transfer(&id)).await.unwrap();
    let mut exported = Exported::default();
    for _ in ["started", "the first piece"] {
        exported.take(running.message().await.unwrap().unwrap());
    }
    w.fake().host(source).unwrap().stop().await;
    let exported = exported.read(running).await.ok();
    let mut numbers = exported.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..24).collect::<Vec<_>>());
    assert!(exported.content() == std::fs::read(file).unwrap());
}

/// The scheduler offers a host whose replica turns out to be cut.
async fn a_transfer_that_loses_its_last_parent_says_so(w: TestedDaemon) {
    let (id, _) = imported(&w, 1).await;
    let path = content_path(w.fake().state_dir(), "host-0", &id);
    let content = std::fs::File::options().write(true).open(path).unwrap();
    content.set_len(1).unwrap();
    let exported = w.host(1).await.export(cache(&id)).await;
    assert!(exported.opened && exported.started.is_some());
    let text = w.by_scheduler(Code::FailedPrecondition, "no candidate parents found");
    w.assert_internal(&exported.status, &text);
}

async fn a_host_that_starts_again_has_counted_no_upload(w: TestedDaemon) {
    let (id, _) = imported(&w, 2).await;
    let uploaded = async || {
        w.host(0)
            .await
            .stat_local(&id)
            .await
            .unwrap()
            .uploaded_count
    };
    assert_eq!(uploaded().await, 1);
    w.fake().host(0).unwrap().stop().await;
    w.fake().host(0).unwrap().start().await.unwrap();
    assert_eq!(uploaded().await, 0);
}
