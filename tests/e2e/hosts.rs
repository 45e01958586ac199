//! Several hosts and time: replicas, hosts that go away, expiry.

use std::fs;

use fake_dfdaemon::Release;

use crate::support::World;
use crate::support::files::PIECE;

const RELEASES: [Release; 2] = [Release::V0_2, Release::V1_5];

#[test]
fn export_works_from_the_other_hosts_when_the_importer_stops() {
    for release in RELEASES {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", 3 * PIECE + 1);
        let id = world.import(&file);
        world.settle();
        world.on_daemon(async |host| host.stop().await, 0);
        world.export(0, &[], &id, "out").fails_with(5);
        for host in 1..3 {
            for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
                let name = format!("out-{host}-{}", mode.len());
                world.export(host, mode, &id, &name).succeeds();
                world.assert_same(&file, &name);
            }
        }
        world.on_daemon(async |host| host.start().await.unwrap(), 0);
        world.export(0, &[], &id, "out").succeeds();
    }
}

#[test]
fn a_host_that_leaves_takes_its_replica_along_and_another_one_is_made() {
    let world = World::new();
    let file = world.file("file", 3 * PIECE + 1);
    let id = world.import(&file);
    world.settle();
    world.on_daemon(async |host| host.leave().await, 0);
    world.settle();
    let stat = |host: usize| {
        let run = world
            .on_host(host)
            .args(["stat", "--format", "json", &id])
            .run();
        run.succeeds().json()
    };
    assert_eq!(stat(1)["current_persistent_replica_count"], 2);
    // Whichever of the two leaves next, the last one has it all.
    world.on_daemon(async |host| host.leave().await, 1);
    world.settle();
    assert_eq!(stat(2)["current_persistent_replica_count"], 1);
    world
        .export(2, &["--transfer-from-dfdaemon"], &id, "out")
        .succeeds();
    world.assert_same(&file, "out");
}

#[test]
fn export_fails_when_the_last_holder_leaves_and_works_when_it_returns() {
    let world = World::new();
    let file = world.file("file", PIECE + 1);
    let id = world.import_with(&["--persistent-replica-count", "1"], &file);
    world.settle();
    world.on_daemon(async |host| host.leave().await, 0);
    world.export(1, &[], &id, "out").fails_with(5);
    world.holds_only(&["file"]);
    world.on_daemon(async |host| host.start().await.unwrap(), 0);
    world.export(1, &[], &id, "out").succeeds();
    world.assert_same(&file, "out");
}

#[test]
fn replicas_are_made_after_the_delay() {
    let world =
        World::with(|builder| builder.replication_delay(std::time::Duration::from_secs(60)));
    let id = world.import(&world.file("file", 10));
    world.settle();
    assert_eq!(world.stat(&id)["current_persistent_replica_count"], 1);
    world.advance(60);
    world.settle();
    assert_eq!(world.stat(&id)["current_persistent_replica_count"], 2);
}

#[test]
fn an_export_adds_a_replica_on_a_host_that_had_none() {
    let world = World::with(|builder| builder.hosts(2));
    let id = world.import_with(
        &["--persistent-replica-count", "1"],
        &world.file("file", 10),
    );
    world.settle();
    assert_eq!(world.stat(&id)["current_replica_count"], 1);
    world.export(0, &[], &id, "local").succeeds();
    assert_eq!(world.stat(&id)["current_replica_count"], 1);
    world.export(1, &[], &id, "remote").succeeds();
    let task = world.stat(&id);
    assert_eq!(task["current_replica_count"], 2);
    assert_eq!(task["current_persistent_replica_count"], 1);
}

#[test]
fn a_task_is_there_until_its_last_second_and_gone_after_it() {
    for release in RELEASES {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", 10);
        let id = world.import_with(&["--ttl", "2m"], &file);
        world.advance(118);
        world.dfcache().args(["stat", &id]).run().succeeds();
        world.export(0, &[], &id, "before").succeeds();
        world
            .export(1, &["--transfer-from-dfdaemon"], &id, "before-1")
            .succeeds();
        world.advance(2);
        world.dfcache().args(["stat", &id]).run().fails_with(3);
        for host in 0..3 {
            for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
                world.export(host, mode, &id, "after").fails_with(3);
            }
        }
        // What was exported stays, and the file can be imported again.
        world.assert_same(&file, "before");
        assert_eq!(world.import(&file), id);
        world.export(0, &[], &id, "after").succeeds();
        world.holds_only(&["after", "before", "before-1", "file"]);
    }
}

#[test]
fn the_collector_removes_what_expired_from_the_disk() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    world.settle();
    let content = world.daemon().state_dir().join("hosts");
    let cached = || {
        let files = crate::support::files::files_below(&content).unwrap();
        files.iter().filter(|path| path.ends_with(&id)).count()
    };
    assert_eq!(cached(), 2);
    world.export(0, &[], &id, "out").succeeds();
    world.advance(3600 + 15 * 60);
    world.settle();
    assert_eq!(cached(), 0);
    assert_eq!(
        world
            .dfcache()
            .arg("ls")
            .args(["--format", "json"])
            .run()
            .succeeds()
            .stdout(),
        ""
    );
    world.assert_same(&world.path("file"), "out");
}

#[test]
fn a_task_and_its_expiry_survive_a_restart() {
    for release in RELEASES {
        let mut world = World::with(|builder| builder.release(release));
        let file = world.file("file", PIECE + 1);
        let id = world.import_with(&["--ttl", "10m"], &file);
        world.settle();
        let before = world.stat(&id);
        world.restart(|builder| builder.release(release));
        assert_eq!(world.stat(&id), before);
        for host in 0..3 {
            let name = format!("out-{host}");
            world
                .export(host, &["--transfer-from-dfdaemon"], &id, &name)
                .succeeds();
            world.assert_same(&file, &name);
        }
        // The clock starts anew with the daemon, now; ten minutes cover whatever passed meanwhile.
        world.advance(600);
        world.dfcache().args(["stat", &id]).run().fails_with(3);
    }
}

#[test]
fn a_daemon_that_is_down_is_unavailable_until_it_is_up_again() {
    let mut world = World::new();
    let file = world.file("file", 10);
    let endpoint = world.endpoint(0);
    let id = world.import(&file);
    world.stop_daemon();
    world.at(&endpoint).args(["stat", &id]).run().fails_with(5);
    world
        .at(&endpoint)
        .args(["export", "-O", "out", &id])
        .run()
        .fails_with(5);
    world.holds_only(&["file"]);
    world.restart(|builder| builder);
    world.export(0, &[], &id, "out").succeeds();
    assert_eq!(
        fs::read(&file).unwrap(),
        fs::read(world.path("out")).unwrap()
    );
}
