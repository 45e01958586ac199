//! `--retries` and `--stall-timeout`: what may succeed later is tried again, and what stalls ends.

use std::fs;

use fake_dfdaemon::{FaultGuard, Rpc};

use crate::support::command::words;
use crate::support::files::{PIECE, names_in, seeded};
use crate::support::{Dfcache, World};

const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

fn fault(world: &World, fault: &str) -> FaultGuard {
    world.daemon().fault(fault.parse().unwrap())
}

fn calls(world: &World, rpc: Rpc) -> usize {
    world.daemon().journal().calls(rpc).len()
}

#[test]
fn an_import_whose_answer_was_lost_is_a_success_and_no_second_one() {
    let world = World::new();
    world.file("file", 10);
    for (tag, fault_) in [
        ("a", "import@call=1,phase=after:reset"),
        ("b", "import@call=1,phase=after:error=UNAVAILABLE"),
        ("c", "import@call=1:reset"),
    ] {
        world.daemon().journal().clear().unwrap();
        let _fault = fault(&world, fault_);
        let line = format!("import --retries 2 --tag {tag} --format json file");
        let imported = world.dfcache().args(words(&line)).run().succeeds().json();
        assert_eq!(imported["existed"], false);
        assert_eq!(calls(&world, Rpc::Import), 2);
    }
    // Without a lost answer, what exists is refused as ever.
    let run = world
        .dfcache()
        .args(words("import --retries 2 --tag a file"))
        .run();
    run.fails_with(9);
}

/// A pipe cannot be read twice: the copy of it is imported again.
#[test]
fn what_stdin_gave_is_imported_again() {
    let world = World::new();
    let content = seeded(1, PIECE + 1);
    fs::create_dir(world.path("staging")).unwrap();
    let import = |tag: &str, retries: &str| {
        fs::write(world.path("file"), &content).unwrap();
        let line = format!("import --staging-dir staging --tag {tag} --retries {retries} -");
        let command = Dfcache::new(&world.work(), &world.home()).at(&world.endpoint(0));
        let mut cat = std::process::Command::new("cat");
        cat.arg(world.path("file"))
            .stdout(std::process::Stdio::piped());
        let mut cat = cat.spawn().unwrap();
        let run = command
            .args(words(&line))
            .stdin(cat.stdout.take().unwrap())
            .run();
        assert!(cat.wait().unwrap().success());
        fs::remove_file(world.path("file")).unwrap();
        assert_eq!(names_in(&world.path("staging")), Vec::<String>::new());
        run
    };
    for (tag, fault_) in [
        ("a", "import@call=1:error=UNAVAILABLE"),
        ("b", "import@call=1:reset"),
        ("c", "import@call=1,phase=after:reset"),
    ] {
        world.daemon().journal().clear().unwrap();
        let _fault = fault(&world, fault_);
        let id = import(tag, "2").succeeds().line();
        assert_eq!(calls(&world, Rpc::Import), 2);
        let export = world.export(0, &[], &id, "-").succeeds();
        assert!(export.stdout_bytes() == content, "{tag}");
    }
    import("a", "2").fails_with(9);
    let _fault = fault(&world, "import:error=UNAVAILABLE");
    import("d", "0").fails_with(5);
    world.holds_only(&["staging"]);
}

#[test]
fn a_connection_that_is_lost_at_any_piece_costs_one_more_try() {
    let world = World::new();
    let file = world.file("file", 2 * PIECE + 1);
    let id = world.import(&file);
    for piece in 0..3 {
        for mode in MODES {
            let _fault = fault(&world, &format!("export@call=1,piece={piece}:reset"));
            let options = [mode, &["--retries", "1"]].concat();
            world.export(0, &options, &id, "out").succeeds();
            world.assert_same(&file, "out");
            fs::remove_file(world.path("out")).unwrap();
        }
        let _fault = fault(&world, &format!("export@call=1,piece={piece}:reset"));
        let run = world.export(0, &["--retries", "1"], &id, "-").succeeds();
        assert!(run.stdout_bytes() == fs::read(&file).unwrap(), "{piece}");
    }
    world.holds_only(&["file"]);
}

#[test]
fn an_overload_is_waited_out_as_often_as_was_asked_for() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for command in [
        "stat",
        "ls",
        "export -O out",
        "export -O out --overwrite",
        "verify",
    ] {
        let rpc = match command.split(' ').next().unwrap() {
            "ls" => "list",
            "export" => "export",
            _ => "stat",
        };
        let line = |retries: u32| {
            let end = match command {
                "ls" => String::new(),
                "verify" => format!(" {id} file"),
                _ => format!(" {id}"),
            };
            format!("{command} --retries {retries}{end}")
        };
        let overloaded = format!("{rpc}@times=2:error=RESOURCE_EXHAUSTED");
        let guard = fault(&world, &overloaded);
        world.dfcache().args(words(&line(1))).run().fails_with(5);
        assert_eq!(guard.fired(), 2);
        drop(guard);
        let _fault = fault(&world, &overloaded);
        world.dfcache().args(words(&line(2))).run().succeeds();
    }
}

#[test]
fn what_no_retry_helps_is_tried_once() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for (status, code) in [("NOT_FOUND", 3), ("PERMISSION_DENIED", 6), ("DATA_LOSS", 7)] {
        let guard = fault(&world, &format!("export:error={status}"));
        let run = world.export(0, &["--retries", "9"], &id, "out");
        run.fails_with(code);
        assert_eq!(guard.fired(), 1, "{status}");
    }
    let run = world
        .dfcache()
        .args(words("import --retries 9 missing"))
        .run();
    run.fails_with(4);
}

#[test]
fn retries_end_with_the_timeout() {
    let world = World::new();
    let line = "ls --retries 1000 --timeout 300ms";
    let run = world.at(&world.path("none")).args(words(line)).run();
    run.fails_with(8).says("it took longer than 300ms");
}

#[test]
fn an_export_that_stalls_ends_and_leaves_nothing() {
    let world = World::new();
    let id = world.import(&world.file("file", PIECE + 1));
    for stalls in ["export:stall", "export@piece=1:stall"] {
        let _fault = fault(&world, stalls);
        for mode in MODES {
            let options = [mode, &["--stall-timeout", "200ms"]].concat();
            let run = world.export(0, &options, &id, "out");
            run.fails_with(8)
                .says("the export stalled")
                .says("nothing came from dfdaemon for 200ms")
                .says("--stall-timeout");
            world.holds_only(&["file"]);
        }
    }
    for never in ["0s", "1h"] {
        let options = ["--stall-timeout", never, "--transfer-from-dfdaemon"];
        world.export(0, &options, &id, "out").succeeds();
        fs::remove_file(world.path("out")).unwrap();
    }
}
