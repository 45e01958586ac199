//! `dfcache export`: what each option does, its default and its limits.

use std::fs;

use fake_dfdaemon::Release;

use crate::support::command::words;
use crate::support::files::{PIECE, identity, other_file_system};
use crate::support::{ScriptedDaemon, World, skipped};
use testkit::whole;

#[test]
fn the_output_is_required_and_a_second_path_is_not_taken() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let run = world.dfcache().args(["export", &id]).run();
    run.fails_with(2).says("--output");
    // In the reference document's `export <ID> -O <OUTPUT> <PATH>` the PATH is a slip.
    let line = ["export", &id, "-O", "out", "path"];
    world.dfcache().args(line).run().fails_with(2);
    world.holds_only(&["file"]);
}

#[test]
fn output_has_a_short_and_a_long_name_and_any_place_on_the_line() {
    let world = World::new();
    let file = world.file("file", 10);
    let id = world.import(&file);
    let output = world.path("out").to_str().unwrap().to_owned();
    for line in [
        vec!["export", &id, "-O", "out"],
        vec!["export", "-O", "out", &id],
        vec!["export", "--output", "out", &id],
        vec!["export", "--output=out", &id],
        vec!["export", &id, "-Oout"],
        vec!["export", &id, "-O", "./out"],
        vec!["export", &id, "-O", &output],
    ] {
        let run = world.dfcache().args(&line).run().succeeds();
        assert_eq!(
            fs::canonicalize(run.line()).unwrap(),
            fs::canonicalize(&output).unwrap()
        );
        world.assert_same(&file, "out");
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn force_hard_link_is_the_cached_file_or_a_failure() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    world
        .export(0, &["--force-hard-link"], &id, "linked")
        .succeeds();
    // What replaces a file excludes a hard link: no error says otherwise.
    let again = world.export(0, &["--force-hard-link"], &id, "linked");
    let again = again.fails_with(4).says("name another file");
    assert!(!again.stderr().contains("--overwrite"), "{again}");
    let Some(elsewhere) = other_file_system(&world.work()) else {
        skipped("no second file system");
        return;
    };
    let output = elsewhere.path().join("out");
    let output = output.to_str().unwrap();
    let run = world.export(0, &["--force-hard-link"], &id, output);
    run.fails_with(4).says("without --force-hard-link");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // Without the option the same is a copy.
    world.export(0, &[], &id, output).succeeds();
    world.assert_same(&world.path("file"), output);
}

#[test]
fn overwrite_replaces_in_both_modes_and_with_both_releases() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", PIECE + 1);
        let id = world.import(&file);
        for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
            fs::write(world.path("out"), "old").unwrap();
            world
                .export(0, mode, &id, "out")
                .fails_with(4)
                .says("--overwrite replaces it");
            assert_eq!(fs::read_to_string(world.path("out")).unwrap(), "old");
            let options = [mode, &["--overwrite"]].concat();
            world.export(0, &options, &id, "out").succeeds();
            world.assert_same(&file, "out");
            fs::remove_file(world.path("out")).unwrap();
            // Nothing to replace is no failure.
            world.export(0, &options, &id, "out").succeeds();
            fs::remove_file(world.path("out")).unwrap();
        }
        world.holds_only(&["file"]);
    }
}

#[test]
fn digest_is_checked_in_both_modes_with_both_releases() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.path("file");
        fs::write(&file, "This is a test file").unwrap();
        let id = world.import(&file);
        for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
            for digest in [
                "sha256:e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249",
                "sha256:E2D0FE1585A63EC6009C8016FF8DDA8B17719A637405A4E23C0FF81339148249",
                "crc32:107352521",
                "crc32:066611c9",
                "crc32:066611C9",
            ] {
                let options = [mode, &["--digest", digest]].concat();
                world.export(0, &options, &id, "out").succeeds();
                fs::remove_file(world.path("out")).unwrap();
            }
            for digest in [
                "sha256:f2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249",
                "crc32:107352522",
                "crc32:066611ca",
            ] {
                let options = [mode, &["--digest", digest]].concat();
                let run = world.export(0, &options, &id, "out");
                run.fails_with(7).says("digest");
                world.export(0, &options, &id, "-").exits_with(7);
                world.holds_only(&["file"]);
            }
        }
    }
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for (options, named) in [
        ("--overwrite --force-hard-link -O out", "--force-hard-link"),
        ("--overwrite -O -", "--overwrite"),
        ("--force-hard-link -O -", "--force-hard-link"),
        ("--format json -O -", "--format"),
    ] {
        let run = world
            .dfcache()
            .arg("export")
            .args(words(options))
            .arg(&id)
            .run();
        let run = run.exits_with(2);
        assert!(run.stdout().is_empty(), "{run}");
        if !options.contains("json") {
            run.says(named);
        }
    }
    world.holds_only(&["file"]);
}

/// Which values are bad, see `src/cli/tests.rs`.
#[test]
fn a_bad_value_reaches_no_daemon() {
    let world = World::new();
    world.file("file", 1);
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    for line in [
        "import --ttl 59s file",
        "export --digest sha256:xyz -O out 7",
        "stat --timeout 0s 7",
        "ls --timeout 0s",
    ] {
        world
            .at(&daemon.endpoint)
            .args(words(line))
            .run()
            .fails_with(2);
    }
    let requests = daemon.requests();
    assert!(requests.imports.is_empty() && requests.exports.is_empty());
    world.holds_only(&["file"]);
}

/// The fake does not show that tag, application and timeout are sent to the daemon.
#[test]
fn the_request_carries_defaults_and_options() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    let export = |options: &str| {
        let _ = fs::remove_file(world.path("out"));
        let command = world.at(&daemon.endpoint).arg("export");
        let mode = ["--transfer-from-dfdaemon", "-O", "out", "7"];
        command.args(words(options)).args(mode).run().succeeds();
        daemon.requests().exports.pop().unwrap()
    };
    let request = export("");
    assert_eq!(request.task_id, "7");
    assert!(request.need_piece_content && request.output_path.is_none());
    assert!(!request.persistent && !request.force_hard_link && !request.overwrite);
    assert_eq!(request.timeout.unwrap().seconds, 7200);
    assert_eq!((request.tag, request.application), (None, None));
    let request = export("--timeout 90s --tag t --application a");
    assert_eq!(request.timeout.unwrap().seconds, 90);
    assert_eq!(
        (request.tag.unwrap(), request.application.unwrap()),
        ("t".into(), "a".into())
    );
}

#[test]
fn tag_and_application_of_an_export_pass_the_blocklist_or_not() {
    let world = World::with(|builder| {
        let builder = builder.block("export:tag=secret".parse().unwrap());
        builder.block("export:application=rogue".parse().unwrap())
    });
    let id = world.import(&world.file("file", 10));
    for options in [["--tag", "secret"], ["--application", "rogue"]] {
        for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
            let options = [mode, &options].concat();
            world.export(0, &options, &id, "out").fails_with(6);
            world.holds_only(&["file"]);
        }
    }
    let options = ["--tag", "public", "--application", "honest"];
    world.export(0, &options, &id, "out").succeeds();
}

#[test]
fn a_file_of_ones_own_shares_nothing_with_the_cache() {
    let world = World::new();
    let file = world.file("file", 10);
    let id = world.import(&file);
    world
        .export(0, &["--transfer-from-dfdaemon"], &id, "own")
        .succeeds();
    world.export(0, &[], &id, "linked").succeeds();
    assert_ne!(
        identity(&world.path("own")),
        identity(&world.path("linked"))
    );
    fs::write(world.path("own"), "edited").unwrap();
    world
        .export(0, &["--transfer-from-dfdaemon"], &id, "again")
        .succeeds();
    world.assert_same(&file, "again");
}
