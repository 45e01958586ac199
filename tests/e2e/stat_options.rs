//! `dfcache stat`, `ls` and `id`: what they show, and their options.

use std::fs;

use fake_dfdaemon::Release;

use serde_json::Value;

use crate::support::command::words;
use crate::support::terminal::Terminal;
use crate::support::world::timeouts;
use crate::support::{ScriptedDaemon, Step, World};

#[test]
fn stat_answers_on_every_host() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for host in 0..3 {
        let run = world.on_host(host).args(["stat", &id]).run().succeeds();
        assert!(run.stdout().contains(&id), "{run}");
    }
}

#[test]
fn stat_waits_for_replicas_as_long_as_its_timeout() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let wait = |count: &str, timeout: &str| {
        let options = ["stat", "--format", "json", "--wait-for-replicas", count];
        world
            .dfcache()
            .args(options)
            .args(["--timeout", timeout, &id])
            .run()
    };
    let task = wait("2", "30s").succeeds().json();
    assert_eq!(task["current_persistent_replica_count"], 2);
    // There never will be three. On a busy machine its time may be over before it has asked once.
    let had = "the task had 2 persistent replicas, and 3 were asked for";
    let asks = timeouts().any(|timeout| {
        let said = wait("3", &timeout).fails_with(8).stderr();
        said.contains(&format!("it took longer than {timeout}: {had}"))
    });
    assert!(asks);
}

#[test]
fn stat_asks_once_and_for_that_task() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(vec![Step::Reached]);
    let run = world.at(&daemon.endpoint).args(["stat", "7"]).run();
    run.succeeds();
    let asked: Vec<_> = daemon
        .requests()
        .stats
        .iter()
        .map(|stat| stat.task_id.clone())
        .collect();
    assert_eq!(asked, ["7"]);
}

#[test]
fn ls_sorts_by_what_it_is_told() {
    let world = World::new();
    let import = |ttl: &str, length| {
        let file = world.file(&format!("file-{ttl}"), length);
        world.import_with(&["--ttl", ttl], &file)
    };
    let (middle, last, first) = (import("2h", 10), import("3h", 30), import("1h", 20));
    let ids = |options: &str| -> Vec<String> {
        let line = format!("ls --format json {options}");
        let run = world.dfcache().args(words(&line)).run().succeeds();
        let lines = run.stdout();
        let tasks = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        tasks
            .map(|task| task["task_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("--sort expiry"), [&*first, &middle, &last]);
    assert_eq!(ids("--sort size"), [&*last, &first, &middle]);
    let mut sorted = vec![first, middle, last];
    sorted.sort();
    assert_eq!(ids(""), sorted);
}

#[test]
fn a_terminal_is_told_the_total() {
    let world = World::new();
    world.import(&world.file("file", 1 << 20));
    let (run, shown) = Terminal::as_stdout_of(world.dfcache().arg("ls"));
    run.succeeds();
    assert!(shown.ends_with("\r\n1 task, 1.0 MiB\r\n"), "{shown:?}");
    let piped = world.dfcache().arg("ls").run().succeeds();
    assert_eq!(piped.stdout().lines().count(), 2);
}

#[test]
fn ls_lists_the_tasks_of_its_host() {
    let world = World::new();
    let id = world.import_with(
        &["--persistent-replica-count", "1"],
        &world.file("file", 10),
    );
    let list = |host: usize| {
        let run = world.on_host(host).args(["ls", "--format", "json"]).run();
        run.succeeds().stdout()
    };
    let line: serde_json::Value = serde_json::from_str(&list(0)).unwrap();
    assert_eq!(
        (&line["task_id"], &line["persistent"]),
        (&id.into(), &true.into())
    );
    assert_eq!(list(1), "");
}

#[test]
fn id_says_without_a_daemon_what_an_import_will_get() {
    for (release, name) in [(Release::V0_2, "0.2"), (Release::V1_5, "1.5")] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", 10);
        for options in [
            &[][..],
            &["--tag", "t"],
            &["--application", "a", "--piece-length", "8mib"],
            &["--content-for-calculating-task-id", "text"],
        ] {
            let alone = world.dfcache().without("DFCACHE_ENDPOINT");
            let alone = alone.args(["id", "--dfdaemon-version", name]).args(options);
            let foretold = alone.arg(&file).run().succeeds().line();
            assert_eq!(world.import_with(options, &file), foretold);
        }
        fs::remove_file(&file).unwrap();
        world.dfcache().args(["id", "file"]).run().fails_with(4);
    }
}
