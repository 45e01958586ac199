//! The exit codes, row by row. What scripts decide by.
//!
//! Those of faults are in `faults`, of a status in `src/wire/status/tests.rs`, of content that is not what was promised in
//! `src/export/tests.rs`, of endpoints that are no daemon's in `bad_endpoints`.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::fs::Mode;
use tonic::Status;

use crate::support::command::words;
use crate::support::files::{PIECE, names_in};
use crate::support::{ScriptedDaemon, Step, World};

#[test]
fn exit_1_is_what_no_other_row_names() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(vec![Step::Fail(Status::internal("odd"))]);
    world.file("file", 1);
    for line in ["import file", "export -O out 7", "stat 7"] {
        let run = world.at(&daemon.endpoint).args(words(line)).run();
        run.fails_with(1).says("odd");
    }
}

#[test]
fn exit_2_is_a_command_line_that_makes_no_sense() {
    let world = World::new();
    for line in [
        "",
        "frobnicate",
        "import --frobnicate x",
        "import --ttl soon x",
        "stat",
        "export -O - --overwrite 7",
    ] {
        world.dfcache().args(words(line)).run().fails_with(2);
    }
}

#[test]
fn exit_3_is_no_such_task_or_an_expired_one() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        world
            .dfcache()
            .args(["stat", "unknown"])
            .run()
            .fails_with(3);
        world.export(0, &[], "unknown", "out").fails_with(3);
        world
            .export(0, &["--transfer-from-dfdaemon"], "unknown", "out")
            .fails_with(3);
        world.export(0, &[], "unknown", "-").fails_with(3);
        let file = world.file("file", 10);
        let id = world.import_with(&["--ttl", "1m"], &file);
        world.advance(60);
        world.dfcache().args(["stat", &id]).run().fails_with(3);
        world.export(0, &[], &id, "out").fails_with(3);
        world.holds_only(&["file"]);
    }
}

#[test]
fn exit_4_is_a_file_on_this_side() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    rustix::fs::mkfifoat(rustix::fs::CWD, world.path("fifo"), Mode::RWXU).unwrap();
    fs::create_dir(world.path("directory")).unwrap();
    let _socket = UnixListener::bind(world.path("socket")).unwrap();
    for path in [
        "missing",
        "directory",
        "fifo",
        "socket",
        "/dev/null",
        "file/under",
    ] {
        world.dfcache().args(["import", path]).run().fails_with(4);
    }
    let content = fs::read(world.path("file")).unwrap();
    let before = names_in(&world.work());
    for output in [
        "file",
        "directory",
        "fifo",
        "socket",
        "/dev/null",
        "file/under",
        "no/out",
        "out/",
    ] {
        for options in [&[][..], &["--overwrite"]] {
            for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
                if (output, options.is_empty()) == ("file", false) {
                    continue;
                }
                let options = [options, mode].concat();
                world.export(0, &options, &id, output).fails_with(4);
            }
        }
    }
    assert_eq!(names_in(&world.work()), before);
    assert!(fs::read(world.path("file")).unwrap() == content);
}

#[test]
fn exit_5_is_content_that_no_host_holds_now() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", PIECE + 1);
        let id = world.import_with(&["--persistent-replica-count", "1"], &file);
        world.on_daemon(async |host| host.stop().await, 0);
        for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
            let run = world.export(1, mode, &id, "out");
            run.fails_with(5).says("try again later");
        }
        world.holds_only(&["file"]);
        world.on_daemon(async |host| host.start().await.unwrap(), 0);
        world.export(1, &[], &id, "out").succeeds();
    }
}

#[test]
fn exit_141_is_a_reader_that_went_away_quietly() {
    let world = World::new();
    let id = world.import(&world.file("file", 8 * PIECE));
    // In the second all that has come is read: no write is left that could fail.
    for (fault, read) in [(None, 1000), (Some("export@piece=1:stall"), PIECE)] {
        let _fault = fault.map(|fault| world.daemon().fault(fault.parse().unwrap()));
        let mut running = world.dfcache().args(["export", "-O", "-", &id]).start();
        running.read(read);
        running.stop_reading();
        let run = running.wait();
        assert!(run.code() == Some(141), "{fault:?}: {run}");
        assert_eq!(run.stderr(), "", "{fault:?}");
    }
}
