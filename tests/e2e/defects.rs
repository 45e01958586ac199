//! What the reference client gets wrong, shown not to be ours. One test each, by the number that
//! the list of its defects has; the neighbours look closer.

use std::fs;

use tonic::{Code, Status};

use crate::support::command::words;
use crate::support::files::{PIECE, assert_same_bytes, identity};
use crate::support::{ScriptedDaemon, Step, World, seeded};
use testkit::whole;

const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

#[test]
fn d1_the_task_id_is_on_stdout_with_and_without_progress() {
    let world = World::new();
    world.file("file", 10);
    for option in ["--tag=a", "--no-progress"] {
        let run = world
            .dfcache()
            .args(["import", option, "file"])
            .run()
            .succeeds();
        assert!(
            run.line().bytes().all(|byte| byte.is_ascii_digit()),
            "{run}"
        );
    }
}

#[test]
fn d2_errors_go_to_stderr_and_without_colour_into_a_pipe() {
    let world = World::new();
    let run = world
        .dfcache()
        .env("TERM", "xterm")
        .args(["stat", "7"])
        .run();
    let run = run.fails_with(3);
    assert!(
        run.stderr().starts_with("error: cannot stat task 7\n"),
        "{run}"
    );
    assert!(!run.stderr().contains('\x1b'), "{run}");
}

#[test]
fn d3_failures_have_exit_codes_of_their_own() {
    let world = World::new();
    world.import(&world.file("file", 10));
    for (line, code) in [
        ("stat --ttl 1m 7", 2),
        ("stat 7", 3),
        ("import missing", 4),
        ("stat --endpoint missing.sock 7", 5),
        ("import file", 9),
    ] {
        world.dfcache().args(words(line)).run().fails_with(code);
    }
}

/// The help and the check share their words; the daemon's limits may be narrower.
#[test]
fn d4_help_and_check_agree_on_the_ttl() {
    let world = World::new();
    world.file("file", 10);
    let help = world
        .dfcache()
        .args(["import", "--help"])
        .run()
        .succeeds()
        .stdout();
    assert!(help.contains("from 1m to 7d"), "{help}");
    for (ttl, code) in [("59s", 2), ("1m", 0), ("7d", 0), ("7d 1s", 2)] {
        let tag = format!("--tag={ttl}");
        let run = world
            .dfcache()
            .args(["import", "--ttl", ttl, &tag, "file"])
            .run();
        assert_eq!(run.code(), Some(code), "{run}");
    }
}

#[test]
fn d7_overwrite_with_force_hard_link_is_refused() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let run = world.export(0, &["--overwrite", "--force-hard-link"], &id, "out");
    run.fails_with(2)
        .says("--overwrite")
        .says("--force-hard-link");
}

#[test]
fn d8_the_digest_is_checked_in_transfer_mode_too() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for output in ["out", "-"] {
        let options = ["--transfer-from-dfdaemon", "--digest", "crc32:1"];
        world.export(0, &options, &id, output).exits_with(7);
    }
    world.holds_only(&["file"]);
}

#[test]
fn d9_a_crc32_matches_in_decimal_and_in_hex() {
    let world = World::new();
    for (name, content) in [
        ("a", &b"This is a test file"[..]),
        ("b", b"123456789"),
        ("c", b""),
    ] {
        fs::write(world.path(name), content).unwrap();
        let id = world.import(&world.path(name));
        let crc = dfdaemon_api::digest::crc32(content);
        for digest in [
            format!("crc32:{crc}"),
            format!("crc32:{crc:08x}"),
            format!("crc32:{crc:08X}"),
        ] {
            for mode in MODES {
                let options = [mode, &["--overwrite", "--digest", &digest]].concat();
                world.export(0, &options, &id, "out").succeeds();
            }
        }
    }
}

#[test]
fn d10_a_malformed_digest_is_found_before_anything_is_transferred() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    for digest in ["sha256:xyz", "md5:0", "nonsense"] {
        let line = ["export", "--digest", digest, "-O", "out", "7"];
        world.at(&daemon.endpoint).args(line).run().fails_with(2);
    }
    assert!(daemon.requests().exports.is_empty());
}

#[test]
fn d11_a_failed_stream_keeps_the_old_file_and_tells_its_own_error() {
    let world = World::new();
    let mut steps = whole(&seeded(1, PIECE));
    steps.push(Step::Fail(Status::internal("the disk caught fire")));
    let daemon = ScriptedDaemon::answering(steps);
    let old = world.file("old", 10);
    let before = fs::read(&old).unwrap();
    for mode in MODES {
        for output in ["old", "new"] {
            let command = world.at(&daemon.endpoint).arg("export").args(mode);
            let run = command.args(["--overwrite", "-O", output, "7"]).run();
            run.fails_with(1)
                .says("the disk caught fire")
                .does_not_say("os error 2");
        }
    }
    assert_same_bytes(&old, &before);
    world.holds_only(&["old"]);
}

/// While content comes, the target is what it was: the new one is a file of its own.
#[test]
fn d12_the_output_is_not_written_in_place() {
    let world = World::new();
    let content = seeded(1, PIECE);
    let mut steps = whole(&content);
    steps.extend([Step::Reached, Step::Hang]);
    for mode in MODES {
        let daemon = ScriptedDaemon::answering(steps.clone());
        let old = world.file("old", 10);
        let before = (fs::read(&old).unwrap(), identity(&old));
        let command = world.at(&daemon.endpoint).arg("export").args(mode);
        let running = command.args(["--overwrite", "-O", "old", "7"]).start();
        daemon.wait_until_reached();
        assert!((fs::read(&old).unwrap(), identity(&old)) == before);
        running.interrupt();
        running.wait().fails_with(130);
        fs::remove_file(&daemon.endpoint).unwrap();
    }
}

#[test]
fn d13_overwrite_writes_through_no_hard_link() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let (one, two) = (world.file("one", 10), world.file("two", 20));
        let (first, second) = (world.import(&one), world.import(&two));
        let (one, two) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
        world.export(0, &[], &first, "link").succeeds();
        for mode in MODES {
            let options = [mode, &["--overwrite"]].concat();
            world.export(0, &options, &second, "link").succeeds();
        }
        assert_same_bytes(&world.path("one"), &one);
        assert_same_bytes(&world.path("two"), &two);
        world
            .export(0, &["--transfer-from-dfdaemon"], &first, "cached")
            .succeeds();
        assert_same_bytes(&world.path("cached"), &one);
    }
}

#[test]
fn d19_the_timeout_bounds_the_whole_operation() {
    let world = World::new();
    let mut steps = whole(&seeded(1, PIECE));
    steps.push(Step::Hang);
    let daemon = ScriptedDaemon::answering(steps);
    for mode in MODES {
        let command = world.at(&daemon.endpoint).arg("export").args(mode);
        let run = command.args(["--timeout", "400ms", "-O", "out", "7"]).run();
        run.fails_with(8).says("400ms").does_not_say("ancelled");
    }
    world.holds_only(&[]);
}

/// What the bar shows, see `streams`; what is counted, here.
#[test]
fn d24_each_piece_is_counted_once() {
    let world = World::new();
    let content = seeded(1, 3 * PIECE);
    let mut steps = whole(&content);
    steps.extend(whole(&content));
    let daemon = ScriptedDaemon::answering(steps);
    let line = "export --transfer-from-dfdaemon --format json -O out 7";
    let run = world
        .at(&daemon.endpoint)
        .args(words(line))
        .run()
        .succeeds();
    let exported = run.json();
    assert_eq!(exported["piece_count"], 3);
    assert_eq!(exported["content_length"], content.len());
}

#[test]
fn d25_a_piece_that_comes_twice_is_a_complete_file() {
    let world = World::new();
    let content = seeded(1, 2 * PIECE + 1);
    let mut steps = whole(&content);
    steps.insert(2, steps[1].clone());
    steps.push(steps[4].clone());
    let daemon = ScriptedDaemon::answering(steps);
    for output in ["out", "-"] {
        let line = ["export", "--transfer-from-dfdaemon", "-O", output, "7"];
        let run = world.at(&daemon.endpoint).args(line).run().succeeds();
        assert!(
            output == "out" || run.stdout_bytes() == content,
            "{} bytes",
            run.stdout_bytes().len()
        );
    }
    assert_same_bytes(&world.path("out"), &content);
}

#[test]
fn d26_binary_status_details_are_no_panic() {
    for details in [
        &b"\xff\xfe\x00\x80"[..],
        b"{\"message\":",
        b"{}",
        &[0; 3000],
    ] {
        let world = World::new();
        world.file("file", 10);
        let status = Status::with_details(Code::Internal, "odd", details.to_vec().into());
        let steps = vec![Step::Started(10), Step::Fail(status.clone())];
        let daemon = ScriptedDaemon::answering(steps);
        for line in ["import file", "stat 7", "export -O out 7", "export -O - 7"] {
            let run = world.at(&daemon.endpoint).args(words(line)).run();
            run.fails_with(1).says("odd").does_not_say("panicked");
        }
    }
}

/// A reader that stops, and content that comes in an order that cannot be passed on.
#[test]
fn d27_memory_does_not_grow_with_a_slow_reader() {
    let world = World::new();
    let length = 200 << 20;
    let id = world.import(&world.file("file", length));
    let mut running = world.dfcache().args(["export", "-O", "-", &id]).start();
    running.read(1);
    // A client that did not wait for its reader has fetched it all by the time that a later one has.
    let mut later = world.dfcache().args(["export", "-O", "-", &id]).start();
    assert_eq!(later.read(length).len(), length);
    later.wait().succeeds();
    let peak = running.peak_memory();
    assert!(peak < 100 << 20, "{peak} bytes while the reader waited");
    assert_eq!(running.read(length - 1).len(), length - 1);
    running.wait().succeeds();
}

/// As a user without rights, see `users`.
#[test]
fn a_log_directory_that_cannot_be_written_is_no_panic() {
    let world = World::new();
    let line = "stat --log-dir /dev/null/logs 7";
    let run = world
        .dfcache()
        .env("HOME", "/dev/null")
        .args(words(line))
        .run();
    run.fails_with(3)
        .does_not_say("panicked")
        .does_not_say("log");
}
