//! Many at once.

use std::fs;

use fake_dfdaemon::Release;

use crate::support::World;
use crate::support::command::Running;
use crate::support::files::PIECE;

/// As many dfcache processes at once.
const CROWD: usize = 16;

#[test]
fn imports_exports_and_stats_mix() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let shared = world.file("shared", 3 * PIECE + 1);
        let id = world.import(&shared);
        let running: Vec<_> = (0..CROWD)
            .map(|number| {
                let command = world.on_host(number % 3);
                let output = format!("out-{number}");
                let command = match number % 4 {
                    0 => command
                        .arg("import")
                        .arg(world.file(&format!("own-{number}"), PIECE + number)),
                    1 => command.args(["export", "-O", &output, &id]),
                    2 => command.args(["export", "--transfer-from-dfdaemon", "-O", &output, &id]),
                    _ => command.args(["stat", &id]),
                };
                command.start()
            })
            .collect();
        for (number, running) in running.into_iter().enumerate() {
            let run = running.wait().succeeds();
            match number % 4 {
                0 => {
                    world
                        .export(0, &[], &run.line(), &format!("back-{number}"))
                        .succeeds();
                    world.assert_same(
                        &world.path(&format!("own-{number}")),
                        &format!("back-{number}"),
                    );
                }
                1 | 2 => world.assert_same(&shared, &format!("out-{number}")),
                _ => assert!(run.stdout().contains("Succeeded"), "{run}"),
            }
        }
        world.settle();
        let names = crate::support::files::names_in(&world.work());
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    }
}

#[test]
fn of_many_imports_of_one_file_exactly_one_succeeds() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let file = world.file("file", 2 * PIECE);
        let running: Vec<_> = (0..CROWD)
            .map(|_| world.dfcache().arg("import").arg(&file).start())
            .collect();
        let codes: Vec<_> = running
            .into_iter()
            .map(|running| running.wait().code())
            .collect();
        let of = |code| codes.iter().filter(|other| **other == Some(code)).count();
        assert_eq!((of(0), of(9)), (1, CROWD - 1), "{codes:?}");
    }
}

/// Each has a file of its own, so that the file that is there in the end shows who wrote it.
#[test]
fn of_many_exports_to_one_target_one_wins_and_the_file_is_whole() {
    for mode in [&[][..], &["--transfer-from-dfdaemon"]] {
        let world = World::new();
        let files: Vec<_> = (0..4)
            .map(|number| world.file(&format!("file-{number}"), PIECE + number))
            .collect();
        let ids: Vec<_> = files.iter().map(|file| world.import(file)).collect();
        let race = |options: &[&str]| {
            let running: Vec<_> = (0..CROWD)
                .map(|number| {
                    let command = world.dfcache().arg("export").args(mode).args(options);
                    command.args(["-O", "out", &ids[number % 4]]).start()
                })
                .collect();
            let ended: Vec<_> = running.into_iter().map(Running::wait).collect();
            for run in &ended {
                assert!([Some(0), Some(4)].contains(&run.code()), "{run}");
            }
            let content = fs::read(world.path("out")).unwrap();
            assert!(files.iter().any(|file| fs::read(file).unwrap() == content));
            world.holds_only(&["file-0", "file-1", "file-2", "file-3", "out"]);
            ended
        };
        let ended = race(&[]);
        let winners = ended.iter().filter(|run| run.code() == Some(0)).count();
        assert_eq!(winners, 1);
        for run in race(&["--overwrite"]) {
            run.succeeds();
        }
    }
}
