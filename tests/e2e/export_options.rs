//! `dfcache export`: what each option does, its default and its limits.

use std::fs;

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;

use crate::environment::variable;
use crate::support::command::words;
use crate::support::files::other_file_system;
use crate::support::{Dfcache, ScriptedDaemon, World, skipped};
use testkit::whole;

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

/// What dfdaemon makes of it, the contract of the fake says.
#[test]
fn the_request_carries_defaults_options_and_their_variables() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    let export = || world.at(&daemon.endpoint).arg("export");
    let sent = |export: Dfcache| {
        export.arg("7").run().succeeds();
        fs::remove_file(world.path("out")).unwrap();
        daemon.requests().exports.pop().unwrap()
    };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let defaults = DownloadPersistentCacheTaskRequest {
        task_id: "7".to_owned(),
        need_piece_content: true,
        timeout: seconds(7200),
        ..DownloadPersistentCacheTaskRequest::default()
    };
    let transfer = words("--transfer-from-dfdaemon -O out");
    assert_eq!(sent(export().args(transfer)), defaults);
    let options = [
        ("transfer-from-dfdaemon", "yes"),
        ("output", "out"),
        ("application", "a"),
        ("tag", "t"),
        ("timeout", "90s"),
    ];
    let expected = DownloadPersistentCacheTaskRequest {
        application: Some("a".to_owned()),
        tag: Some("t".to_owned()),
        timeout: seconds(90),
        ..defaults
    };
    let by_option = options.iter().fold(export(), |export, (option, value)| {
        export.arg(format!("--{option}={value}"))
    });
    assert_eq!(sent(by_option), expected);
    let by_variable = options.iter().fold(export(), |export, (option, value)| {
        export.env(&variable("export", option), value)
    });
    assert_eq!(sent(by_variable), expected);
}
