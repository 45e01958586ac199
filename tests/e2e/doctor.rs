//! `dfcache doctor`: every cause of a command that does not work is a line with what to do.

use std::fs;
use std::os::unix::net::UnixListener;

use fake_dfdaemon::{Fault, Release, Rpc};
use serde_json::Value;
use tonic::Code;

use crate::support::World;
use crate::support::command::words;

/// The checks: name and whether it passed.
fn checks(diagnosis: &Value) -> Vec<(String, bool)> {
    let checks = diagnosis["checks"].as_array().unwrap().iter();
    let check = |check: &Value| {
        let name = check["name"].as_str().unwrap().to_owned();
        (name, check["passed"].as_bool().unwrap())
    };
    checks.map(check).collect()
}

#[test]
fn a_daemon_that_works_passes_every_check() {
    for (release, version) in [(Release::V0_2, "0.2"), (Release::V1_5, "1.5")] {
        let world = World::with(|builder| builder.release(release));
        fs::create_dir(world.path("staging")).unwrap();
        let line = "doctor --round-trip --staging-dir staging";
        let run = world.dfcache().args(words(line)).run().succeeds();
        assert!(!run.stdout().contains('✗'), "{run}");
        assert!(
            run.stdout().contains(&format!("like release {version}")),
            "{run}"
        );
        assert!(run.stdout().contains("went there and back"), "{run}");
        assert!(crate::support::files::names_in(&world.path("staging")).is_empty());
        let json = world
            .dfcache()
            .args(words(line))
            .args(["--format", "json"])
            .run();
        let diagnosis = json.succeeds().json();
        crate::schema::assert_is("doctor", &diagnosis);
        assert_eq!(diagnosis["healthy"], true);
        let names = checks(&diagnosis);
        assert_eq!(names.len(), 8, "{names:?}");
        // Without the option nothing is imported, and nobody knows what dfdaemon sees.
        world.daemon().journal().clear().unwrap();
        assert!(!run.stdout().contains("finds out"), "{run}");
        let line = "doctor --staging-dir staging";
        let run = world.dfcache().args(words(line)).run().succeeds();
        assert!(run.stdout().contains("finds out"), "{run}");
        assert!(world.daemon().journal().calls(Rpc::Import).is_empty());
    }
}

#[test]
fn each_cause_is_a_line_with_what_to_do() {
    let world = World::new();
    let stale = world.path("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    fs::write(world.path("file"), "").unwrap();
    let upload = world.daemon().host(0).unwrap().upload_endpoint().to_owned();
    for (endpoint, failed, said) in [
        (world.path("missing"), "endpoint", "start dfdaemon"),
        (
            world.path("file"),
            "endpoint",
            "name dfdaemon's with --endpoint",
        ),
        (stale, "connection", "mount the directory of the socket"),
        (upload, "answer", "upload socket"),
    ] {
        let run = world.at(&endpoint).arg("doctor").run().exits_with(1);
        assert!(
            run.stdout().contains(&format!("hint: {said}")) || run.stdout().contains(said),
            "{run}"
        );
        assert!(run.stderr().is_empty(), "{run}");
        let run = world
            .at(&endpoint)
            .args(words("doctor --format json"))
            .run();
        let diagnosis = run.exits_with(1).json();
        crate::schema::assert_is("doctor", &diagnosis);
        let checks = checks(&diagnosis);
        let wrong: Vec<_> = checks.iter().filter(|(_, passed)| !passed).collect();
        assert_eq!(wrong, [&(failed.to_owned(), false)], "{diagnosis}");
    }
}

/// What a dfdaemon leaves that was killed: the socket's name, and nobody behind it. What commands make of one is in
/// `bad_endpoints`.
#[test]
fn a_socket_that_a_fault_leaves_stale_is_named_until_it_is_served_again() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let stale = world.daemon().fault(Fault::on(Rpc::Connect).stale());
    let run = world.dfcache().arg("doctor").run().exits_with(1);
    assert!(run.stdout().contains("nobody listens there"), "{run}");
    let json = world.dfcache().args(words("doctor --format json")).run();
    let checks = checks(&json.exits_with(1).json());
    assert!(
        checks.contains(&("endpoint".to_owned(), true)),
        "{checks:?}"
    );
    assert!(
        checks.contains(&("connection".to_owned(), false)),
        "{checks:?}"
    );
    // A retry lasts until it is there again.
    let line = format!("stat --retries 100 {id}");
    let waiting = world.dfcache().args(words(&line)).start();
    drop(stale);
    waiting.wait().succeeds();
    world.dfcache().arg("doctor").run().succeeds();
}

#[test]
fn what_the_daemon_says_of_itself_is_told_apart() {
    let world = World::new();
    let stat = || Fault::on(Rpc::Stat);
    for (fault, failed, said) in [
        (
            stat().error_with(Code::Internal, "available schedulers not found"),
            "scheduler",
            "addresses of the manager and the scheduler",
        ),
        (
            stat().error_with(Code::Internal, "host 10.0.0.1-node not found"),
            "scheduler",
            "only just started",
        ),
        (
            stat().error_with(Code::ResourceExhausted, "server is overloaded"),
            "answer",
            "overloaded",
        ),
        ("stat:reset".parse().unwrap(), "answer", "connection"),
    ] {
        let _fault = world.daemon().fault(fault);
        let run = world.dfcache().args(words("doctor --format json")).run();
        let diagnosis = run.exits_with(1).json();
        let checks = checks(&diagnosis);
        assert!(checks.contains(&(failed.to_owned(), false)), "{diagnosis}");
        assert!(diagnosis.to_string().contains(said), "{diagnosis}");
    }
    let run = world
        .dfcache()
        .args(words("doctor --staging-dir none"))
        .run();
    let run = run.exits_with(1);
    assert!(
        run.stdout().contains("✗ cannot stage a copy in none"),
        "{run}"
    );
}
