//! `dfcache import`: what each option does, its default and its limits.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;

use crate::support::command::words;
use crate::support::files::PIECE;
use crate::support::{ScriptedDaemon, World};

/// The published vectors of the task id hold for these 19 bytes.
const VECTOR: &str = "This is a test file";

fn vector() -> (World, std::path::PathBuf) {
    let world = World::new();
    let file = world.path("vector");
    fs::write(&file, VECTOR).unwrap();
    (world, file)
}

#[test]
fn import_without_options_makes_two_replicas_for_an_hour() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    world.settle();
    let task = world.stat(&id);
    assert_eq!(task["persistent_replica_count"], 2);
    assert_eq!(task["current_persistent_replica_count"], 2);
    assert_eq!(task["ttl_seconds"], 3600);
    assert_eq!(task["piece_length"], PIECE);
    assert!(task["tag"].is_null() && task["application"].is_null());
}

#[test]
fn content_for_calculating_task_id_alone_decides_the_id() {
    let (world, file) = vector();
    let other = world.file("other", 10);
    let option = ["--content-for-calculating-task-id", VECTOR, "--tag", "any"];
    assert_eq!(world.import_with(&option, &other), "107352521");
    // The same text is the same task, whatever the file holds.
    let again = world.dfcache().arg("import").args(option).arg(&file).run();
    again.fails_with(9);
}

#[test]
fn tag_and_application_are_the_tasks_and_make_it_another_one() {
    let (world, file) = vector();
    // The shortest piece length is no default: it is part of the id when it is asked for.
    let ids = [
        world.import(&file),
        world.import_with(&["--tag", "tag1"], &file),
        world.import_with(&["--application", "app1"], &file),
        world.import_with(&["--tag", "tag1", "--application", "app1"], &file),
        world.import_with(&["--piece-length", "4mib"], &file),
    ];
    assert_eq!(ids[1..3], ["3954905097", "735741469"]);
    let mut distinct = ids.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    let task = world.stat(&ids[3]);
    assert_eq!(
        (&task["tag"], &task["application"]),
        (&"tag1".into(), &"app1".into())
    );
}

#[test]
fn persistent_replica_count_is_how_many_hosts_keep_the_task() {
    let world = World::with(|builder| builder.hosts(4));
    for count in 1..=4 {
        let file = world.file(&format!("file-{count}"), 10);
        let id = world.import_with(&["--persistent-replica-count", &count.to_string()], &file);
        world.settle();
        let task = world.stat(&id);
        assert_eq!(task["persistent_replica_count"], count);
        assert_eq!(task["current_persistent_replica_count"], count);
    }
}

#[test]
fn piece_length_cuts_the_file() {
    let world = World::new();
    let file = world.file("file", 2 * PIECE + 1);
    for (written, bytes, pieces) in [
        ("4mib", 4 << 20, 3),
        ("8MiB", 8 << 20, 2),
        ("4194305", 4_194_305, 2),
        ("1gib", 1 << 30, 1),
    ] {
        let id = world.import_with(&["--piece-length", written], &file);
        let task = world.stat(&id);
        assert_eq!(task["piece_length"], bytes, "{written}");
        assert_eq!(task["piece_count"], pieces, "{written}");
    }
}

#[test]
fn ttl_is_written_for_people_and_has_both_its_limits() {
    let world = World::new();
    for (written, seconds) in [
        ("1m", 60),
        ("60s", 60),
        ("90m", 5400),
        ("2h 30m", 9000),
        ("7d", 604_800),
    ] {
        let file = world.file(&format!("file {written}"), 10);
        let id = world.import_with(&["--ttl", written], &file);
        assert_eq!(world.stat(&id)["ttl_seconds"], seconds, "{written}");
    }
}

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
fn import_needs_one_path_and_knows_its_options() {
    let world = World::new();
    for line in [
        "import",
        "import file other",
        "import --overwrite file",
        "import -O x file",
    ] {
        world.dfcache().args(words(line)).run().fails_with(2);
    }
}

/// The fake does not show that the timeout is sent to the daemon.
#[test]
fn the_request_carries_defaults_and_options() {
    let world = World::new();
    let file = world.file("file", 1);
    let daemon = ScriptedDaemon::answering(Vec::new());
    let import = |options: &str| {
        let command = world.at(&daemon.endpoint).arg("import");
        command.args(words(options)).arg("file").run().succeeds();
        daemon.requests().imports.pop().unwrap()
    };
    let request = import("");
    assert_eq!(
        request.path,
        file.to_str().unwrap(),
        "relative paths are made absolute"
    );
    assert_eq!(request.persistent_replica_count, 2);
    assert_eq!(request.ttl.unwrap().seconds, 3600);
    assert_eq!(request.timeout.unwrap().seconds, 1800);
    assert_eq!(request.piece_length, None);
    assert_eq!((request.tag, request.application), (None, None));
    assert_eq!(request.content_for_calculating_task_id, None);
    let request = import("--timeout 90s --tag t --application a --piece-length 5mib");
    assert_eq!(request.timeout.unwrap().seconds, 90);
    assert_eq!(request.piece_length, Some(5 << 20));
    assert_eq!(
        (request.tag.unwrap(), request.application.unwrap()),
        ("t".into(), "a".into())
    );
}

#[test]
fn paths_may_be_relative_links_and_hold_spaces_and_newlines() {
    let world = World::new();
    for name in ["with space", "line\nbreak", "-dash", "ünïcödé", "quote'\""] {
        world.file(name, 10 + name.len());
        let run = world
            .dfcache()
            .args(["import", "--", name])
            .run()
            .succeeds();
        let id = run.line();
        world
            .export(0, &[], &id, &format!("./out {name}"))
            .succeeds();
        world.assert_same(&world.path(name), &format!("out {name}"));
    }
    world.file("target", 99);
    symlink("target", world.path("link")).unwrap();
    let linked = world
        .dfcache()
        .args(["import", "link"])
        .run()
        .succeeds()
        .line();
    assert_eq!(world.stat(&linked)["content_length"], 99);
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

#[test]
fn a_path_that_is_not_text_cannot_be_told_to_dfdaemon() {
    let world = World::new();
    let name = std::ffi::OsString::from_vec(b"caf\xe9".to_vec());
    let path = world.work().join(&name);
    fs::write(&path, "x").unwrap();
    let run = world.dfcache().arg("import").arg(&path).run();
    run.fails_with(4).says("not UTF-8").says("hint:");
    // Transferred, it can be written to all the same.
    let id = world.import(&world.file("file", 10));
    fs::remove_file(&path).unwrap();
    let export = |options: &[&str]| {
        let command = world.dfcache().arg("export").args(options);
        command.arg("-O").arg(&path).arg(&id).run()
    };
    export(&[]).fails_with(4).says("--transfer-from-dfdaemon");
    assert!(!path.exists());
    let run = export(&["--transfer-from-dfdaemon"]).succeeds();
    assert!(run.stdout_bytes().ends_with(b"caf\xe9\n"));
}

#[test]
fn the_source_is_never_changed() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", PIECE + 1);
        let before = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap());
        world.import(&file);
        let after = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap());
        assert!(before.0 == after.0);
        assert_eq!(before.1.modified().unwrap(), after.1.modified().unwrap());
        assert_eq!(before.1.permissions(), after.1.permissions());
    }
}
