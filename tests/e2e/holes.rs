//! Sparse files stay sparse, whatever way they go: holes take no space.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Stdio;

use fake_dfdaemon::Release;

use crate::support::command::words;
use crate::support::files::MIB;
use crate::support::{ScriptedDaemon, Step, World, skipped};

const LENGTH: u64 = 64 * MIB as u64;
/// What data of a few bytes, and the file system's own books, take at most.
const LITTLE: u64 = MIB as u64;

/// Makes a file of some bytes among holes, at the start and the end too where `edges` says so.
fn sparse(path: &Path, edges: bool) {
    let file = File::create_new(path).unwrap();
    file.set_len(LENGTH).unwrap();
    file.write_all_at(b"data", LENGTH / 3).unwrap();
    file.write_all_at(b"more", LENGTH / 2 + 1).unwrap();
    if edges {
        file.write_all_at(b"first", 0).unwrap();
        file.write_all_at(b"last", LENGTH - 4).unwrap();
    }
}

fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Two files, or none where the file system has no holes.
fn sparse_files(world: &World) -> Option<[&'static str; 2]> {
    sparse(&world.path("edges"), true);
    sparse(&world.path("holes"), false);
    let has_holes = taken(&world.path("holes")) <= LITTLE;
    if !has_holes {
        skipped("a file system without holes");
    }
    has_holes.then_some(["edges", "holes"])
}

#[track_caller]
fn assert_sparse_and_same(world: &World, source: &str, copy: &str) {
    world.assert_same(&world.path(source), copy);
    let taken = taken(&world.path(copy));
    assert!(taken <= LITTLE, "{copy} takes {taken} bytes");
}

#[test]
fn a_transferred_file_has_the_holes_of_its_source() {
    let world = World::new();
    let Some(files) = sparse_files(&world) else {
        return;
    };
    for name in files {
        let id = world.import(&world.path(name));
        let options = ["--transfer-from-dfdaemon", "--verify"];
        world.export(0, &options, &id, "copy").succeeds();
        assert_sparse_and_same(&world, name, "copy");
        // Hashed in order by a thread of its own, and replaced.
        fs::write(world.path("copy"), "old").unwrap();
        world
            .export(0, &["--transfer-from-dfdaemon", "--overwrite"], &id, "copy")
            .succeeds();
        assert_sparse_and_same(&world, name, "copy");
        fs::remove_file(world.path("copy")).unwrap();
    }
}

/// The store of each host, a replica that was transferred, and a copy that the daemon makes for an export.
#[test]
fn what_the_daemon_keeps_and_writes_has_the_holes_too() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let Some(files) = sparse_files(&world) else {
            return;
        };
        let elsewhere = tempfile::tempdir_in("/dev/shm");
        for name in files {
            let id = world.import_with(&["--persistent-replica-count", "3"], &world.path(name));
            world.settle();
            for host in 0..3 {
                world.export(host, &[], &id, "linked").succeeds();
                assert_sparse_and_same(&world, name, "linked");
                fs::remove_file(world.path("linked")).unwrap();
            }
            let Ok(elsewhere) = &elsewhere else {
                skipped("a second file system");
                continue;
            };
            let copy = elsewhere.path().join(name);
            let copy = copy.to_str().unwrap();
            world.export(1, &["--verify"], &id, copy).succeeds();
            assert_sparse_and_same(&world, name, copy);
        }
    }
}

#[test]
fn a_tree_of_sparse_files_is_as_sparse_again() {
    let world = World::new();
    fs::create_dir(world.path("tree")).unwrap();
    sparse(&world.path("tree/edges"), true);
    sparse(&world.path("tree/holes"), false);
    if taken(&world.path("tree/holes")) > LITTLE {
        return skipped("a file system without holes");
    }
    let run = |line: &str| world.dfcache().args(words(line)).run().succeeds().line();
    let id = run("import --recursive tree");
    run(&format!(
        "export --recursive --transfer-from-dfdaemon -O out {id}"
    ));
    for name in ["edges", "holes"] {
        assert_sparse_and_same(&world, &format!("tree/{name}"), &format!("out/{name}"));
    }
}

/// The copy is looked at while the daemon has it.
#[test]
fn a_staged_copy_has_the_holes_too_also_of_a_stream() {
    let world = World::new();
    let Some(files) = sparse_files(&world) else {
        return;
    };
    fs::create_dir(world.path("staging")).unwrap();
    for (name, from_stream) in [
        (files[0], false),
        (files[1], false),
        (files[0], true),
        (files[1], true),
    ] {
        let daemon = ScriptedDaemon::answering(vec![Step::Reached, Step::Hang]);
        let path = if from_stream { "-" } else { name };
        let line = format!("import --staging-dir staging --tag {name}{from_stream} {path}");
        let command = world.at(&daemon.endpoint).args(words(&line));
        let command = match from_stream {
            true => command.stdin(File::open(world.path(name)).unwrap()),
            false => command.stdin(Stdio::null()),
        };
        let running = command.start();
        daemon.wait_until_reached();
        let copy = daemon.requests().imports.pop().unwrap().path;
        assert_sparse_and_same(&world, name, &copy);
        running.terminate();
        running.wait().fails_with(143);
        assert_eq!(fs::read_dir(world.path("staging")).unwrap().count(), 0);
    }
}
