//! `dfcache import`: what each option does, its default and its limits.

use std::os::unix::fs::symlink;

use dfdaemon_api::dfdaemon::v2::UploadPersistentCacheTaskRequest;

use crate::environment::variable;
use crate::support::{Dfcache, ScriptedDaemon, World};

#[test]
fn skip_existing_takes_the_task_that_is_there() {
    let world = World::new();
    let file = world.file("file", 10);
    let id = world.import(&file);
    assert_eq!(world.import_with(&["--skip-existing"], &file), id);
    let json = ["import", "--skip-existing", "--format", "json"];
    let run = world.dfcache().args(json).arg(&file).run().succeeds();
    assert_eq!(run.json()["existed"], true);
    let same = world.dfcache().args(["import", "--skip-existing"]);
    same.arg(&file).run().succeeds().does_not_say("warning");
    let other = ["--ttl", "2h", "--persistent-replica-count", "3"];
    let other = world
        .dfcache()
        .args(["import", "--skip-existing"])
        .args(other);
    let other = other.arg(&file).run().succeeds();
    assert_eq!(other.line(), id);
    other
        .says(&format!("warning: task {id} exists already"))
        .says("its TTL is 1h, not 2h; its persistent replica count is 2, not 3");
    // Another file under the same id is not what was asked for.
    let longer = world.file("longer", 11);
    let text = ["--content-for-calculating-task-id", "text"];
    world.import_with(&text, &file);
    let command = world.dfcache().args(["import", "--skip-existing"]);
    command.args(text).arg(&longer).run().fails_with(9);
}

#[test]
fn an_import_sends_the_file_that_was_named_or_nothing() {
    let world = World::new();
    world.file("file", 7);
    symlink("/dev/stdin", world.path("input")).unwrap();
    for command in ["import", "id"] {
        for path in [
            "/dev/stdin",
            "/dev/fd/0",
            "/proc/self/cwd/file",
            "input",
            "/proc/version",
        ] {
            let run = world.dfcache().args([command, path]).run();
            run.fails_with(4).says(path).says("hint:");
        }
    }
}

/// What dfdaemon makes of it, the contract of the fake says.
#[test]
fn the_request_carries_defaults_options_and_their_variables() {
    let world = World::new();
    let file = world.file("file", 1);
    let daemon = ScriptedDaemon::answering(Vec::new());
    let import = || world.at(&daemon.endpoint).arg("import");
    let sent = |import: Dfcache| {
        import.arg("file").run().succeeds();
        daemon.requests().imports.pop().unwrap()
    };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let defaults = UploadPersistentCacheTaskRequest {
        // What is relative is made absolute.
        path: file.to_str().unwrap().to_owned(),
        persistent_replica_count: 2,
        ttl: seconds(3600),
        timeout: seconds(1800),
        ..UploadPersistentCacheTaskRequest::default()
    };
    assert_eq!(sent(import()), defaults);
    let options = [
        ("content-for-calculating-task-id", "text"),
        ("persistent-replica-count", "5"),
        ("piece-length", "8mib"),
        ("application", "a"),
        ("tag", "t"),
        ("ttl", "2h 30m"),
        ("timeout", "90s"),
    ];
    let expected = UploadPersistentCacheTaskRequest {
        content_for_calculating_task_id: Some("text".to_owned()),
        persistent_replica_count: 5,
        piece_length: Some(8 << 20),
        application: Some("a".to_owned()),
        tag: Some("t".to_owned()),
        ttl: seconds(9000),
        timeout: seconds(90),
        ..defaults
    };
    let by_option = options.iter().fold(import(), |import, (option, value)| {
        import.arg(format!("--{option}={value}"))
    });
    assert_eq!(sent(by_option), expected);
    let by_variable = options.iter().fold(import(), |import, (option, value)| {
        import.env(&variable("import", option), value)
    });
    assert_eq!(sent(by_variable), expected);
}
