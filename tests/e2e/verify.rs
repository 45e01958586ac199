//! `dfcache verify` and `export --verify`: the id is the proof.

use std::fs;
use std::os::unix::fs::FileExt as _;

use fake_dfdaemon::{Quirk, Release};

use crate::support::World;
use crate::support::files::PIECE;

const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

#[test]
fn what_was_imported_is_proven_with_both_releases_and_all_that_makes_an_id() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        for (options, length) in [
            (&[][..], PIECE + 1),
            (&["--tag", "t"], 10),
            (&["--application", "a"], 0),
            (
                &["--tag", "t", "--application", "a", "--piece-length", "8mib"],
                2 * PIECE,
            ),
        ] {
            let file = world.file("file", length);
            let id = world.import_with(options, &file);
            let run = world.dfcache().args(["verify", &id, "file"]).run();
            assert_eq!(run.succeeds().line(), format!("{}: OK", file.display()));
            for mode in MODES {
                let run = world.export(0, &[mode, &["--verify"]].concat(), &id, "out");
                run.succeeds();
                world.assert_same(&file, "out");
                fs::remove_file(world.path("out")).unwrap();
                let run = world.export(2, &[mode, &["--verify"]].concat(), &id, "out");
                run.succeeds();
                fs::remove_file(world.path("out")).unwrap();
            }
            let run = world.export(0, &["--verify"], &id, "-").succeeds();
            assert_eq!(run.stdout_bytes(), fs::read(&file).unwrap());
        }
    }
}

#[test]
fn standard_input_is_verified_like_a_file() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", PIECE + 1);
        let id = world.import(&file);
        let content = fs::read(&file).unwrap();
        let verify = |content: &[u8], options: &[&str]| {
            fs::write(world.path("input"), content).unwrap();
            let input = fs::File::open(world.path("input")).unwrap();
            let command = world.dfcache().args(["verify", &id, "-"]).args(options);
            command.stdin(input).run()
        };
        assert_eq!(verify(&content, &[]).succeeds().line(), "-: OK");
        let shown = verify(&content, &["--format", "json"]).succeeds().json();
        assert_eq!(
            (&shown["path"], &shown["task_id"]),
            (&"-".into(), &id.clone().into())
        );
        let mut edited = content.clone();
        edited[PIECE] ^= 1;
        verify(&edited, &[])
            .fails_with(7)
            .says("is not what the id");
        let short = verify(&content[..PIECE], &[]).fails_with(7);
        short.says("standard input has 4194304 bytes, and the task 4194305");
        edited.push(0);
        let long = verify(&edited, &[]).fails_with(7);
        long.says("standard input has more than 4194305 bytes");
        let directory = fs::File::open(world.path("")).unwrap();
        let command = world.dfcache().args(["verify", &id, "-"]);
        let unreadable = command.stdin(directory).run().fails_with(4);
        unreadable.says("cannot read standard input");
    }
}

#[test]
fn standard_input_that_nobody_writes_is_bounded_by_the_timeout() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let (never, _writes) = std::io::pipe().unwrap();
    let command = world
        .dfcache()
        .args(["verify", "--timeout", "100ms", &id, "-"]);
    command
        .stdin(never)
        .run()
        .fails_with(8)
        .says("cannot verify task");
}

#[test]
fn another_content_of_the_same_length_is_no_proof() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", PIECE + 1);
        let id = world.import(&file);
        let mut content = fs::read(&file).unwrap();
        content[PIECE] ^= 1;
        fs::write(world.path("edited"), &content).unwrap();
        fs::write(world.path("zeros"), vec![0; PIECE + 1]).unwrap();
        fs::write(world.path("short"), &content[..PIECE]).unwrap();
        for name in ["edited", "zeros", "short"] {
            let run = world.dfcache().args(["verify", &id, name]).run();
            run.fails_with(7).says(&format!("cannot verify task {id}"));
        }
        world
            .dfcache()
            .args(["verify", &id, "file"])
            .run()
            .succeeds();
        let run = world.dfcache().args(["verify", &id, "missing"]).run();
        run.fails_with(4).says("missing");
        let run = world.dfcache().args(["verify", &id, "."]).run();
        run.fails_with(4)
            .says("hint: --recursive verifies a directory with all of its files");
        let run = world.dfcache().args(["verify", "7", "file"]).run();
        run.fails_with(3).says("not found");
    }
}

/// dfdaemon 1.5 keeps a hard link of the file that it imports: who edits the file edits the cache.
#[test]
fn a_source_that_was_edited_after_a_hard_link_import_is_found_in_both_modes() {
    let world = World::with(|builder| builder.release(Release::V1_5).quirks(Quirk::all()));
    let file = world.file("file", PIECE + 1);
    let id = world.import(&file);
    let edited = fs::OpenOptions::new().write(true).open(&file).unwrap();
    edited.write_all_at(b"edited", 7).unwrap();
    for mode in MODES {
        fs::write(world.path("out"), "old").unwrap();
        let options = [mode, &["--verify", "--overwrite"]].concat();
        let run = world.export(0, &options, &id, "out");
        run.fails_with(7).says("is not what the id");
        assert_eq!(fs::read_to_string(world.path("out")).unwrap(), "old");
        world.holds_only(&["file", "out"]);
    }
    let run = world.dfcache().args(["verify", &id, "file"]).run();
    run.fails_with(7);
}

#[test]
fn an_id_that_was_made_from_a_text_says_so() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", 10);
        let id = world.import_with(&["--content-for-calculating-task-id", "text"], &file);
        let said = "an id that was made from a text";
        let run = world.dfcache().args(["verify", &id, "file"]).run();
        run.fails_with(7).says(said);
        for mode in MODES {
            let run = world.export(0, &[mode, &["--verify"]].concat(), &id, "out");
            run.fails_with(7).says(said);
        }
        world.holds_only(&["file"]);
    }
}

#[test]
fn verify_is_bounded_by_its_timeout_and_ends_without_a_daemon() {
    let world = World::new();
    let file = world.file("file", 10);
    let id = world.import(&file);
    let _fault = world.daemon().fault("stat:stall".parse().unwrap());
    let run = world
        .dfcache()
        .args(["verify", "--timeout", "100ms", &id, "file"]);
    run.run().fails_with(8).says("cannot verify task");
    let run = world.at(&world.path("none")).args(["verify", &id, "file"]);
    run.run().fails_with(5);
}
