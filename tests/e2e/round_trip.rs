//! The main job: a file goes in on one host and comes out on another, the same to the byte.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use fake_dfdaemon::Release;

use crate::support::World;
use crate::support::files::{MIB, PIECE, assert_same_bytes, identity};

/// Imports a file of `length` bytes, looks at its state, and exports it in every way there is.
fn goes_round(length: usize) {
    let world = World::new();
    let file = world.file("file", length);
    let content = fs::read(&file).unwrap();
    let id = world.import(&file);
    world.settle();

    let task = world.stat(&id);
    assert_eq!(task["task_id"], id);
    assert_eq!(task["state"], "Succeeded");
    assert_eq!(task["content_length"], length);
    assert_eq!(task["piece_length"], PIECE);
    assert_eq!(task["piece_count"], length.div_ceil(PIECE));
    assert_eq!(task["current_persistent_replica_count"], 2);

    // Host 0 imported it, one of the others got a replica, and the third fetches it now.
    for host in 0..3 {
        let by_path = format!("by-path-{host}");
        let run = world.export(host, &[], &id, &by_path).succeeds();
        assert_eq!(run.line(), world.path(&by_path).to_str().unwrap());
        assert_same_bytes(&world.path(&by_path), &content);
    }
    assert_eq!(world.stat(&id)["current_replica_count"], 3);
    for host in 0..3 {
        let transferred = format!("transferred-{host}");
        let option = ["--transfer-from-dfdaemon"];
        world.export(host, &option, &id, &transferred).succeeds();
        assert_same_bytes(&world.path(&transferred), &content);
        let links = fs::metadata(world.path(&transferred)).unwrap().nlink();
        assert_eq!(links, 1, "a transferred file is one's own");
    }
}

#[test]
fn an_empty_file_goes_round() {
    goes_round(0);
}

#[test]
fn a_file_of_one_byte_goes_round() {
    goes_round(1);
}

#[test]
fn a_file_one_byte_shorter_than_a_piece_goes_round() {
    goes_round(PIECE - 1);
}

#[test]
fn a_file_of_exactly_one_piece_goes_round() {
    goes_round(PIECE);
}

#[test]
fn a_file_one_byte_longer_than_a_piece_goes_round() {
    goes_round(PIECE + 1);
}

#[test]
fn a_file_of_100_mib_goes_round() {
    goes_round(100 * MIB);
}

/// A host without the task gets its pieces from the others, which send them in any order.
#[test]
fn pieces_that_come_in_any_order_make_the_same_file() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        let world = World::with(|builder| builder.hosts(2).release(release));
        let file = world.file("file", 12 * PIECE + 3);
        let id = world.import_with(&["--persistent-replica-count", "1"], &file);
        world.settle();
        let option = ["--transfer-from-dfdaemon"];
        world.export(1, &option, &id, "transferred").succeeds();
        world.assert_same(&file, "transferred");
    }
}

#[test]
fn an_export_to_stdout_is_the_content_in_order_and_nothing_else() {
    let world = World::with(|builder| builder.hosts(2));
    let file = world.file("file", 12 * PIECE + 3);
    let id = world.import_with(&["--persistent-replica-count", "1"], &file);
    world.settle();
    let run = world.export(1, &[], &id, "-").succeeds();
    assert!(run.stdout_bytes() == fs::read(&file).unwrap());
    assert_eq!(run.stderr(), "");
    world.holds_only(&["file"]);
}

#[test]
fn an_export_by_path_is_a_hard_link_to_the_cache() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for option in [&[][..], &["--force-hard-link"]] {
        let name = format!("out-{}", option.len());
        world.export(0, option, &id, &name).succeeds();
        let content = format!(
            "hosts/host-0/content/persistent-cache-tasks/{}/{id}",
            &id[..3]
        );
        let cached = world.daemon().state_dir().join(content);
        assert_eq!(identity(&world.path(&name)), identity(&cached));
    }
}

#[test]
fn a_task_is_imported_once_and_exported_often() {
    let world = World::new();
    let file = world.file("file", PIECE + 1);
    let id = world.import(&file);
    for round in 0..5 {
        for option in [&[][..], &["--transfer-from-dfdaemon"]] {
            let name = format!("out-{round}-{}", option.len());
            world.export(1, option, &id, &name).succeeds();
            world.assert_same(&file, &name);
        }
    }
}

#[test]
fn an_export_on_another_host_needs_no_importer() {
    for release in [Release::V0_2, Release::V1_5] {
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
