//! The exit codes, row by row. What scripts decide by.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::fs::Mode;
use tonic::{Code, Status};

use crate::support::command::words;
use crate::support::files::PIECE;
use crate::support::{ScriptedDaemon, Step, World, seeded};
use testkit::{piece, whole};

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
    let before = crate::support::files::names_in(&world.work());
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
    assert_eq!(crate::support::files::names_in(&world.work()), before);
}

/// The client sees a file that the daemon does not: another container, another user.
#[test]
fn exit_4_is_also_dfdaemons_word_about_a_path_that_we_sent() {
    let world = World::new();
    world.file("file", 1);
    let daemon = Status::invalid_argument("No such file or directory (os error 2)");
    let daemon = ScriptedDaemon::answering(vec![Step::Fail(daemon)]);
    let run = world.at(&daemon.endpoint).args(["import", "file"]).run();
    run.fails_with(4).says("hint:").says("dfdaemon");
}

#[test]
fn exit_4_is_a_file_that_changed_while_it_was_read() {
    let world = World::new();
    let path = world.file("file", 1);
    let aborted = Status::aborted(format!("{} changed while it was read", path.display()));
    let daemon = ScriptedDaemon::answering(vec![Step::Fail(aborted)]);
    let run = world.at(&daemon.endpoint).args(["import", "file"]).run();
    run.fails_with(4).says("changed");
}

#[test]
fn exit_5_is_no_daemon_at_the_endpoint() {
    let world = World::new();
    world.file("file", 1);
    let stale = world.beside("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    for endpoint in [
        world.beside("missing.sock"),
        stale,
        world.path("file"),
        world.work(),
    ] {
        for line in ["import file", "export -O out 7", "stat 7", "ls"] {
            let run = world.at(&endpoint).args(words(line)).run();
            run.fails_with(5)
                .says(endpoint.to_str().unwrap())
                .says("hint:");
        }
    }
    world.holds_only(&["file"]);
}

#[test]
fn exit_5_is_a_server_that_speaks_something_else() {
    use std::io::{Read as _, Write as _};

    let world = World::new();
    let endpoint = world.beside("other.sock");
    let listener = UnixListener::bind(&endpoint).unwrap();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 64]);
        let _ = connection.write_all(b"220 mail.example.org ESMTP\r\n");
    });
    let run = world.at(&endpoint).args(["stat", "7"]).run();
    server.join().unwrap();
    run.fails_with(5);
}

#[test]
fn exit_5_is_a_lost_connection() {
    let world = World::new();
    world.file("file", 1);
    for line in [
        "import file",
        "stat 7",
        "export -O out 7",
        "export --transfer-from-dfdaemon -O out 7",
    ] {
        let steps = vec![Step::Started(100), Step::Reached, Step::Hang];
        let daemon = ScriptedDaemon::answering(steps);
        let running = world.at(&daemon.endpoint).args(words(line)).start();
        daemon.wait_until_reached();
        fs::remove_file(&daemon.endpoint).unwrap();
        drop(daemon);
        running.wait().fails_with(5).says("connection");
        world.holds_only(&["file"]);
    }
}

#[test]
fn exit_5_is_a_daemon_that_asks_for_a_retry() {
    let world = World::with(|builder| builder.max_requests(0));
    world.file("file", 1);
    for line in ["import file", "export -O out 7", "export -O - 7"] {
        let run = world.dfcache().args(words(line)).run();
        run.fails_with(5).says("overloaded");
    }
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        let steps = vec![Step::Fail(Status::new(code, "gone fishing"))];
        let daemon = ScriptedDaemon::answering(steps);
        let run = world.at(&daemon.endpoint).args(["stat", "7"]).run();
        run.fails_with(5).says("gone fishing");
        fs::remove_file(&daemon.endpoint).unwrap();
    }
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
fn exit_5_is_content_whose_last_parent_is_lost() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
            let world = World::with(|builder| builder.release(release));
            let file = world.file("file", PIECE + 1);
            let id = world.import_with(&["--persistent-replica-count", "1"], &file);
            // The scheduler offers the replica of this host, and the transfer finds it cut.
            let hosts = world.daemon().state_dir().join("hosts");
            let files = crate::support::files::files_below(&hosts).unwrap();
            let content = files.iter().find(|path| path.ends_with(&id)).unwrap();
            let content = fs::File::options().write(true).open(content);
            content.unwrap().set_len(1).unwrap();
            let run = world.export(1, mode, &id, "out");
            run.fails_with(5)
                .says("no candidate parents found")
                .says("try again later");
            world.holds_only(&["file"]);
        }
    }
}

#[test]
fn exit_6_is_dfdaemons_refusal() {
    let world = World::with(|builder| {
        let builder = builder.block("import:tag=secret".parse().unwrap());
        let builder = builder.block("export:tag=secret".parse().unwrap());
        let builder = builder.min_ttl(std::time::Duration::from_secs(120));
        builder.capacity(1 << 20)
    });
    let id = world.import(&world.file("small", 10));
    world.file("large", 2 << 20);
    for (line, said) in [
        ("import --tag secret small", "blocklist"),
        ("import --tag t --ttl 1m small", "2m0s"),
        ("import large", "no space"),
        (&format!("export --tag secret -O out {id}"), "block"),
    ] {
        world
            .dfcache()
            .args(words(line))
            .run()
            .fails_with(6)
            .says(said);
    }
    world.holds_only(&["large", "small"]);
}

#[test]
fn exit_7_is_content_that_is_not_what_was_promised() {
    let content = seeded(7, PIECE + 1);
    let (first, second) = content.split_at(PIECE);
    let length = content.len() as u64;
    let honest = || piece(0, 0, first);
    let damaged = dfdaemon_api::common::v2::Piece {
        content: Some(seeded(8, PIECE).into()),
        ..honest()
    };
    let without_content = dfdaemon_api::common::v2::Piece {
        content: None,
        ..honest()
    };
    let beyond = piece(2, length, b"x");
    // But for one thing everything is there.
    let rest = || Step::Piece(piece(1, PIECE as u64, second));
    for (what, steps) in [
        ("no start", vec![Step::Piece(honest())]),
        ("nothing at all", vec![]),
        (
            "an early end",
            vec![Step::Started(length), Step::Piece(honest())],
        ),
        ("no piece", vec![Step::Started(length)]),
        (
            "a hole",
            vec![
                Step::Started(length),
                Step::Piece(piece(1, PIECE as u64, second)),
            ],
        ),
        (
            "a damaged piece",
            vec![Step::Started(length), Step::Piece(damaged), rest()],
        ),
        (
            "a piece without content",
            vec![Step::Started(length), Step::Piece(without_content), rest()],
        ),
        (
            "a piece beyond the end",
            vec![
                Step::Started(length),
                Step::Piece(honest()),
                rest(),
                Step::Piece(beyond),
            ],
        ),
    ] {
        let world = World::new();
        let daemon = ScriptedDaemon::answering(steps);
        fs::write(world.path("old"), "old").unwrap();
        for output in ["new", "old"] {
            let command = world.at(&daemon.endpoint).args(["export", "--overwrite"]);
            let options = ["--transfer-from-dfdaemon", "-O", output, "7"];
            let run = command.args(options).run();
            assert_eq!(run.code(), Some(7), "{what}\n{run}");
        }
        world.holds_only(&["old"]);
        assert_eq!(fs::read_to_string(world.path("old")).unwrap(), "old");
        let run = world
            .at(&daemon.endpoint)
            .args(["export", "-O", "-", "7"])
            .run();
        assert_eq!(run.code(), Some(7), "{what}\n{run}");
    }
}

#[test]
fn exit_7_is_also_a_file_that_dfdaemon_wrote_wrongly() {
    for (what, written) in [("too short", &b"conten"[..]), ("too long", b"contents")] {
        let world = World::new();
        let mut steps = whole(b"content");
        steps.push(Step::Write(written.to_vec()));
        let daemon = ScriptedDaemon::answering(steps);
        let run = world
            .at(&daemon.endpoint)
            .args(["export", "-O", "out", "7"])
            .run();
        assert_eq!(run.code(), Some(7), "{what}\n{run}");
        world.holds_only(&[]);
    }
    let world = World::new();
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    let run = world
        .at(&daemon.endpoint)
        .args(["export", "-O", "out", "7"])
        .run();
    run.fails_with(7).says("--transfer-from-dfdaemon");
}

#[test]
fn exit_9_is_a_task_that_exists_already() {
    for release in [fake_dfdaemon::Release::V0_2, fake_dfdaemon::Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", 10);
        let id = world.import(&file);
        let run = world.dfcache().arg("import").arg(&file).run();
        run.fails_with(9).says(&id).says("--skip-existing");
    }
}

#[test]
fn exit_141_is_a_reader_that_went_away_quietly() {
    let world = World::new();
    let id = world.import(&world.file("file", 8 * PIECE));
    let mut running = world.dfcache().args(["export", "-O", "-", &id]).start();
    running.read(1000);
    running.stop_reading();
    let run = running.wait();
    assert!(run.code() == Some(141), "{run}");
    assert_eq!(run.stderr(), "");
}

#[test]
fn exit_141_is_a_reader_that_went_away_also_while_no_more_content_comes() {
    let world = World::new();
    let id = world.import(&world.file("file", 3 * PIECE));
    let stalls = "export@piece=1:stall".parse().unwrap();
    let _fault = world.daemon().fault(stalls);
    let mut running = world.dfcache().args(["export", "-O", "-", &id]).start();
    // All that has come: no write is left that could fail.
    running.read(PIECE);
    running.stop_reading();
    let run = running.wait();
    assert!(run.code() == Some(141), "{run}");
    assert_eq!(run.stderr(), "");
}
