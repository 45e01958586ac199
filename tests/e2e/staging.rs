//! `import --staging-dir`: a copy that is imported and removed, whatever happens; and standard input.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use fake_dfdaemon::{Call, Release, Rpc};
use rustix::process::Signal;
use testkit::wait::Changes;

use crate::support::World;
use crate::support::command::words;
use crate::support::files::{PIECE, names_in};
use crate::support::world::{times_out_in, until_it_fires};

const IMPORT: &str = "import --staging-dir staging";

fn world(release: Release) -> World {
    let world = World::with(|builder| builder.release(release));
    fs::create_dir(world.path("staging")).unwrap();
    world
}

/// Nothing is left in the staging directory.
#[track_caller]
fn is_empty(world: &World) {
    assert!(names_in(&world.path("staging")).is_empty());
}

/// The paths that the daemon was asked to import.
fn imported_paths(world: &World) -> Vec<String> {
    let calls = world.daemon().journal().calls(Rpc::Import);
    let path = |call: &Call| call.request("path").unwrap();
    calls.iter().map(path).collect()
}

#[test]
fn a_copy_is_imported_and_removed_and_the_file_is_not_linked() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = world(release);
        let file = world.file("file", PIECE + 1);
        let command = world.dfcache().args(words(IMPORT));
        let run = command.args(["--format", "json", "file"]).run();
        let imported = run.succeeds().json();
        assert_eq!(imported["path"], file.display().to_string());
        let id = imported["task_id"].as_str().unwrap();
        let staging = world.path("staging").display().to_string();
        assert!(imported_paths(&world)[0].starts_with(&staging));
        is_empty(&world);
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 1);
        world.export(1, &["--verify"], id, "out").succeeds();
        world.assert_same(&file, "out");
        // A copy has the id of its file.
        let again = world.dfcache().args(words(IMPORT)).arg("file").run();
        again
            .fails_with(9)
            .says("cannot import")
            .does_not_say("staging/");
        is_empty(&world);
    }
}

#[test]
fn standard_input_becomes_a_task() {
    let world = world(Release::V1_5);
    world.file("file", PIECE + 1);
    world.file("empty", 0);
    for name in ["file", "empty"] {
        let mut cat = Command::new("cat");
        cat.arg(world.path(name)).stdout(Stdio::piped());
        let mut cat = cat.spawn().unwrap();
        let command = world.dfcache().args(words(IMPORT)).arg("-");
        let run = command.stdin(cat.stdout.take().unwrap()).run();
        let id = run.succeeds().line();
        assert!(cat.wait().unwrap().success());
        let line = format!("id --dfdaemon-version 1.5 {name}");
        assert_eq!(world.dfcache().args(words(&line)).run().line(), id);
        is_empty(&world);
    }
    let before = imported_paths(&world).len();
    let unreadable = File::open(world.work()).unwrap();
    let command = world.dfcache().args(words(IMPORT)).arg("-");
    let run = command.stdin(unreadable).run();
    run.fails_with(4)
        .says("cannot import -")
        .says("Is a directory");
    assert_eq!(imported_paths(&world).len(), before);
    is_empty(&world);
    for line in ["import -", "import --recursive --staging-dir staging -"] {
        world.dfcache().args(words(line)).run().fails_with(2);
    }
    let run = world.dfcache().args(words("import -")).run();
    run.fails_with(2).says("--staging-dir");
}

#[test]
fn a_tree_is_staged_file_by_file() {
    let world = world(Release::V1_5);
    fs::create_dir_all(world.path("tree/sub")).unwrap();
    let file = world.file("tree/sub/file", 10);
    world.file("tree/other", 20);
    let command = world.dfcache().args(words(IMPORT));
    let run = command.args(["--recursive", "tree"]).run();
    let id = run.succeeds().line();
    let staging = world.path("staging").display().to_string();
    assert_eq!(imported_paths(&world).len(), 3);
    assert!(
        imported_paths(&world)
            .iter()
            .all(|path| path.starts_with(&staging))
    );
    is_empty(&world);
    assert_eq!(fs::metadata(&file).unwrap().nlink(), 1);
    let line = format!("export --recursive -O out {id}");
    world.dfcache().args(words(&line)).run().succeeds();
    world.assert_same(&file, "out/sub/file");
    // Without a staging directory the tree has the same id.
    let run = world.dfcache().args(words("import --recursive tree")).run();
    assert_eq!(run.succeeds().line(), id);
}

#[test]
fn what_cannot_be_staged_is_said_before_dfdaemon_is_asked() {
    let world = world(Release::V0_2);
    world.file("file", 3 << 20);
    for (line, said) in [
        ("import --staging-dir none file", "cannot stage a copy in"),
        ("import --staging-dir file file", "cannot stage a copy in"),
        ("import --staging-dir staging missing", "No such file"),
        ("import --staging-dir staging .", "--recursive"),
        (
            "import --staging-dir staging /dev/null",
            "not a regular file",
        ),
    ] {
        let run = world.dfcache().args(words(line)).run();
        run.fails_with(4).says(said);
        is_empty(&world);
    }
    // A file that may not grow so long is what a full disk is.
    let command = world.dfcache_after("ulimit -f 1024");
    let command = command.at(&world.endpoint(0)).args(words(IMPORT));
    let run = command.arg("file").run();
    run.fails_with(4).says("no room for a copy");
    is_empty(&world);
    assert!(imported_paths(&world).is_empty());
}

#[test]
fn signals_deadlines_and_failures_leave_no_copy_and_a_killed_one_is_swept() {
    let world = world(Release::V0_2);
    world.file("file", 10);
    let import = || world.dfcache().args(words(IMPORT)).arg("file");
    let stall = || world.daemon().fault("import:stall".parse().unwrap());
    let fault = stall();
    let running = import().start();
    until_it_fires(&fault);
    running.terminate();
    running.wait().fails_with(143);
    is_empty(&world);
    let run = times_out_in(&fault, |timeout| {
        import().args(["--timeout", timeout]).run()
    });
    run.fails_with(8);
    is_empty(&world);
    world.wait_for_ended(Rpc::Import, 2);
    drop(fault);
    let fault = world.daemon().fault("import@call=1:reset".parse().unwrap());
    import().run().fails_with(5);
    is_empty(&world);
    drop(fault);
    let fault = stall();
    let running = import().start();
    until_it_fires(&fault);
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(names_in(&world.path("staging")).len(), 1);
    fs::create_dir(world.path("staging/mine")).unwrap();
    world.wait_for_ended(Rpc::Import, 4);
    drop(fault);
    import().run().succeeds();
    assert_eq!(names_in(&world.path("staging")), ["mine"]);
}

/// What a staged import is at when it is ended.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Half of the stream is copied, and the rest does not come.
    Copying,
    /// The daemon has the path of the copy, and does not answer.
    Asked,
    /// An attempt has failed, and the next one is waited for.
    Waiting,
}

#[test]
fn a_staged_import_leaves_nothing_whatever_ends_it_wherever_it_is() {
    for at in [At::Copying, At::Asked, At::Waiting] {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
            let world = world(Release::V1_5);
            world.file("file", 10);
            let fault = match at {
                At::Copying | At::Asked => "import:stall",
                At::Waiting => "import:error=UNAVAILABLE",
            };
            let fault = world.daemon().fault(fault.parse().unwrap());
            let import = world.dfcache().args(words(IMPORT));
            let import = import.args(["--retries", "1000000", "-"]);
            let (read, write) = std::io::pipe().unwrap();
            let mut write = Some(write);
            let running = import.stdin(read).start();
            let stream = write.as_mut().unwrap();
            std::io::Write::write_all(stream, &[7; 100]).unwrap();
            match at {
                At::Copying => until_copied(&world, 100),
                At::Asked | At::Waiting => {
                    drop(write.take());
                    until_it_fires(&fault);
                }
            }
            running.signal(signal);
            let run = running.wait();
            drop(write);
            if signal == Signal::KILL {
                assert_eq!(names_in(&world.path("staging")).len(), 1, "{at:?}\n{run}");
                drop(fault);
                world
                    .dfcache()
                    .args(words(IMPORT))
                    .arg("file")
                    .run()
                    .succeeds();
            } else {
                assert_eq!(run.code(), Some(128 + signal.as_raw()), "{at:?}\n{run}");
            }
            is_empty(&world);
            assert!(imported_paths(&world).len() <= 30, "{at:?}");
        }
    }
}

/// Waits until the copy of a stream has so many bytes, in a directory of its own.
fn until_copied(world: &World, length: u64) {
    let staging = world.path("staging");
    let only = |directory: &Path| {
        let changes = Changes::at(directory);
        changes.block_until("it is staged", || !names_in(directory).is_empty());
        directory.join(&names_in(directory)[0])
    };
    let directory = only(&staging);
    let changes = Changes::at(&directory);
    let copy = only(&directory);
    let is_copied = || fs::metadata(&copy).unwrap().len() == length;
    changes.block_until("all of it is copied", is_copied);
}

#[test]
fn a_sparse_file_is_staged_with_its_holes() {
    let world = world(Release::V1_5);
    let file = File::create(world.path("file")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"data", 32 << 20).unwrap();
    drop(file);
    let fault = world.daemon().fault("import:stall".parse().unwrap());
    let running = world.dfcache().args(words(IMPORT)).arg("file").start();
    until_it_fires(&fault);
    let names = names_in(&world.path("staging"));
    let directory = world.path("staging").join(&names[0]);
    let copy = directory.join(&names_in(&directory)[0]);
    let metadata = fs::metadata(copy).unwrap();
    assert_eq!(metadata.len(), 64 << 20);
    assert!(metadata.blocks() * 512 < 8 << 20, "{}", metadata.blocks());
    running.terminate();
    running.wait().fails_with(143);
}
