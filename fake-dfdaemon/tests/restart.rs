//! The library over time: what a restart keeps, what a stop leaves, many side by side.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{FakeDfdaemon, Quirk, Release};
use jiff::Timestamp;

use crate::support::client::Import;
use crate::support::content;
use crate::support::requests::{self, transfer};
use crate::support::world::{self, client as host};

fn import(path: &Path, replicas: u64) -> Import {
    Import {
        tag: Some("a tag".to_owned()),
        ..requests::import(path, replicas, 3600)
    }
}

#[tokio::test]
async fn a_restart_keeps_tasks_replicas_and_times() {
    for release in [Release::V0_2, Release::V1_5] {
        let dir = tempfile::tempdir().unwrap();
        let at = |second| ClockMode::Manual(Some(Timestamp::from_second(second).unwrap()));
        let start = |second| {
            let builder = FakeDfdaemon::builder().release(release).clock(at(second));
            builder
                .capacity(8 << 20)
                .state_dir(dir.path().join("state"))
                .start()
        };
        let file = dir.path().join("file");
        let bytes = content::bytes(1, (4 << 20) + 1);
        fs::write(&file, &bytes).unwrap();
        let daemon = start(1000).await.unwrap();
        let task = host(&daemon, 1)
            .await
            .import(import(&file, 2))
            .await
            .unwrap();
        daemon.settle().await;
        host(&daemon, 2).await.export(transfer(&task.id)).await.ok();
        host(&daemon, 0).await.export(transfer(&task.id)).await.ok();
        let too_big = dir.path().join("big");
        fs::File::create(&too_big)
            .unwrap()
            .set_len(9 << 20)
            .unwrap();
        host(&daemon, 0)
            .await
            .import(import(&too_big, 1))
            .await
            .unwrap_err();
        let mut before = Vec::new();
        for number in 0..3 {
            before.push(host(&daemon, number).await.list().await.unwrap());
        }
        let known = host(&daemon, 0).await.stat(&task.id).await.unwrap();
        assert_eq!(
            (
                known.current_persistent_replica_count,
                known.current_replica_count
            ),
            (2, 3)
        );
        daemon.stop().await;

        let daemon = start(2000).await.unwrap();
        daemon.settle().await;
        assert_eq!(host(&daemon, 0).await.stat(&task.id).await.unwrap(), known);
        for (number, before) in before.iter().enumerate() {
            let mut after = host(&daemon, number).await.list().await.unwrap();
            for (after, before) in after.iter_mut().zip(before) {
                // Counts of transfers are of this run.
                after.uploaded_count = before.uploaded_count;
            }
            assert_eq!(&after, before);
            let exported = host(&daemon, number)
                .await
                .export(transfer(&task.id))
                .await
                .ok();
            assert!(exported.content() == bytes);
        }
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_restart_of_all_hosts_wipes_what_they_have_with_the_quirk() {
    for release in [Release::V0_2, Release::V1_5] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "content").unwrap();
        let start = |quirks: Option<Quirk>| {
            let builder = FakeDfdaemon::builder().release(release).hosts(2);
            let builder = builder.quirks(quirks).manual_clock();
            builder.state_dir(dir.path().join("state")).start()
        };
        let daemon = start(None).await.unwrap();
        let request = import(&file, 2);
        let id = host(&daemon, 0).await.import(request).await.unwrap().id;
        daemon.settle().await;
        let known = host(&daemon, 0).await.stat(&id).await.unwrap();
        assert_eq!(known.current_replica_count, 2);
        daemon.stop().await;

        let daemon = start(Some(Quirk::RestartWipes)).await.unwrap();
        daemon.settle().await;
        for number in 0..2 {
            let host = host(&daemon, number).await;
            assert!(host.list().await.unwrap().is_empty());
            // The scheduler believes in them.
            assert_eq!(host.stat(&id).await.unwrap(), known);
            let status = host.export(transfer(&id)).await.status;
            let text = status.message();
            assert!(
                text.contains("peer ") && text.contains("not found"),
                "{text}"
            );
            let state = dir.path().join("state");
            let content = world::content_path(&state, &format!("host-{number}"), &id);
            assert!(!content.exists(), "{}", content.display());
        }
        daemon.stop().await;

        // Without the quirk again, nobody has anything.
        let daemon = start(None).await.unwrap();
        daemon.settle().await;
        assert!(host(&daemon, 0).await.list().await.unwrap().is_empty());
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_restart_makes_the_replicas_that_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "content").unwrap();
    let start = |hosts| {
        let builder = FakeDfdaemon::builder()
            .hosts(hosts)
            .replication_delay(Duration::from_secs(60));
        builder
            .manual_clock()
            .state_dir(dir.path().join("state"))
            .start()
    };
    let daemon = start(1).await.unwrap();
    let id = host(&daemon, 0)
        .await
        .import(import(&file, 2))
        .await
        .unwrap()
        .id;
    daemon.stop().await;
    let daemon = start(3).await.unwrap();
    daemon.clock().advance(Duration::from_secs(60)).unwrap();
    daemon.settle().await;
    let task = host(&daemon, 2).await.stat(&id).await.unwrap();
    assert_eq!(
        (
            task.current_persistent_replica_count,
            task.current_replica_count
        ),
        (2, 2)
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_snapshot_of_fewer_hosts_is_brought_back_to_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "content").unwrap();
    let start = |hosts| {
        let builder = FakeDfdaemon::builder().hosts(hosts).manual_clock();
        builder.state_dir(dir.path().join("state")).start()
    };
    let daemon = start(1).await.unwrap();
    let client = host(&daemon, 0).await;
    let id = client.import(import(&file, 1)).await.unwrap().id;
    daemon.snapshot("one").await.unwrap();
    daemon.stop().await;
    let daemon = start(2).await.unwrap();
    let client = host(&daemon, 1).await;
    client.export(transfer(&id)).await.ok();
    daemon.restore("one").await.unwrap();
    let known = host(&daemon, 0).await.stat(&id).await.unwrap();
    assert_eq!(known.current_replica_count, 1);
    let client = host(&daemon, 1).await;
    let exported = client.export(transfer(&id)).await.ok();
    assert_eq!(exported.content(), b"content");
    daemon.stop().await;
}

#[tokio::test]
async fn hosts_that_were_stopped_or_left_run_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let builder = FakeDfdaemon::builder().state_dir(dir.path().join("state"));
        builder.start()
    };
    let daemon = start().await.unwrap();
    daemon.host(1).unwrap().stop().await;
    daemon.host(2).unwrap().leave().await;
    daemon.stop().await;
    let daemon = start().await.unwrap();
    for number in 0..3 {
        host(&daemon, number).await.health("").await.unwrap();
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_stopped_fake_leaves_nothing() {
    let daemon = FakeDfdaemon::builder().start().await.unwrap();
    let state = daemon.state_dir().to_owned();
    let client = host(&daemon, 0).await;
    assert!(state.exists());
    daemon.stop().await;
    assert!(!state.exists());
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stall_on_every_host_hold_a_stop_up_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, content::bytes(1, 24 << 20)).unwrap();
    let daemon = FakeDfdaemon::builder().hosts(4).start().await.unwrap();
    let task = host(&daemon, 0)
        .await
        .import(import(&file, 4))
        .await
        .unwrap();
    daemon.settle().await;
    let mut stalled = Vec::new();
    for number in 0..4 {
        let client = host(&daemon, number).await;
        stalled.push(client.begin_export(transfer(&task.id)).await.unwrap());
    }
    let endpoints: Vec<_> = daemon.endpoints().map(Path::to_owned).collect();
    let stopping = tokio::spawn(daemon.stop());
    // Each host lets go of its socket as soon as its turn comes, and of its readers when it has waited
    // for them.
    loop {
        let holds_readers = has_connections(&endpoints[0]);
        if !endpoints.iter().any(|endpoint| endpoint.exists()) {
            assert!(holds_readers, "one after the other");
            break;
        }
        tokio::task::yield_now().await;
    }
    stopping.await.unwrap();
}

/// Whether anybody is connected to a socket, which need not be there any more.
fn has_connections(endpoint: &Path) -> bool {
    const CONNECTED: &str = "03";

    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    sockets.lines().any(|socket| {
        let fields: Vec<_> = socket.split_whitespace().collect();
        fields.get(5) == Some(&CONNECTED) && fields.last().map(Path::new) == Some(endpoint)
    })
}

#[test]
fn a_dropped_fake_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let state = runtime.block_on(async {
        let daemon = FakeDfdaemon::builder().start().await.unwrap();
        let file = daemon.state_dir().join("../file-of-a-dropped-fake");
        fs::write(&file, "content").unwrap();
        host(&daemon, 0)
            .await
            .import(import(&file, 3))
            .await
            .unwrap();
        fs::remove_file(&file).unwrap();
        daemon.state_dir().to_owned()
    });
    drop(runtime);
    assert!(!state.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_side_by_side_do_not_disturb_each_other() {
    let run = |number: u64| async move {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let bytes = content::bytes(number, 100_000);
        fs::write(&file, &bytes).unwrap();
        let daemon = FakeDfdaemon::builder().start().await.unwrap();
        let task = host(&daemon, 0)
            .await
            .import(import(&file, 2))
            .await
            .unwrap();
        daemon.settle().await;
        let exported = host(&daemon, 2).await.export(transfer(&task.id)).await.ok();
        assert!(exported.content() == bytes);
        for number in 0..3 {
            let listed = host(&daemon, number).await.listed().await;
            assert!(listed.iter().all(|id| *id == task.id), "{listed:?}");
        }
        daemon.stop().await;
    };
    let running: Vec<_> = (0..20).map(|number| tokio::spawn(run(number))).collect();
    for run in running {
        run.await.unwrap();
    }
}

/// The states of `fixtures/`: whoever changes the format finds out here.
#[tokio::test]
async fn states_that_were_kept_are_opened_whole() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let bytes = fs::read(fixtures.join("vector.txt")).unwrap();
    let a_day_later: Timestamp = "2030-01-02T00:00:00Z".parse().unwrap();
    for (release, id) in [
        (Release::V0_2, "3954905097"),
        (
            Release::V1_5,
            "a98b76813681e30cf83733fe055792b86393bba6f18e3d89fd8c18253922d992",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        copy_tree(&fixtures.join(format!("state-{release}")), &state);
        let daemon = FakeDfdaemon::builder()
            .release(release)
            .clock(ClockMode::Manual(Some(a_day_later)))
            .state_dir(&state)
            .start()
            .await
            .unwrap();
        let elsewhere = host(&daemon, 2).await;
        let task = elsewhere.stat(id).await.unwrap();
        assert_eq!(
            (task.state.as_str(), task.current_persistent_replica_count),
            ("Succeeded", 2)
        );
        assert_eq!(task.tag.as_deref(), Some("tag1"));
        let exported = elsewhere.export(transfer(id)).await.ok();
        assert!(exported.content() == bytes);
        daemon.stop().await;
    }
}

/// Copies files for us alone, whatever mode a checkout has given them.
fn copy_tree(from: &Path, to: &Path) {
    DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_tree(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
