//! However few files may be open, a command does its work or says what it lacks.

use crate::support::World;
use crate::support::command::words;

/// Fewer than the program itself needs to be loaded, and more than it needs to run.
const LIMITS: std::ops::RangeInclusive<usize> = 6..=44;

const COMMANDS: [&str; 6] = [
    "export -O out ID",
    "export --overwrite --digest crc32:DIGEST -O old ID",
    "export --transfer-from-dfdaemon -O out ID",
    "export -O - ID",
    "stat ID",
    "import --skip-existing file",
];

#[test]
fn few_descriptors_are_an_error_that_leaves_nothing() {
    let world = World::new();
    let file = world.file("file", 10);
    let id = world.import(&file);
    let digest = dfdaemon_api::digest::crc32(&std::fs::read(&file).unwrap());
    for line in COMMANDS {
        let line = line.replace("ID", &id);
        let line = line.replace("DIGEST", &digest.to_string());
        let mut done = 0;
        for limit in LIMITS {
            // Not in place: the last export may have made it a hard link to what is cached.
            let _ = std::fs::remove_file(world.path("old"));
            world.file("old", 5);
            let command = world.dfcache_after(&format!("ulimit -n {limit}"));
            let run = command.at(&world.endpoint(0)).args(words(&line)).run();
            if run.code() == Some(0) {
                done += 1;
                let _ = std::fs::remove_file(world.path("out"));
            } else {
                assert_eq!(done, 0, "more is less: {limit} {run}");
                let run = run.exits_with(1).says("error: cannot start");
                run.says("Too many open files").says("ulimit -n");
            }
            world.holds_only(&["file", "old"]);
        }
        assert!(done > 0, "{line}");
    }
}

#[test]
fn a_tree_takes_more_descriptors_than_the_soft_limit_if_it_may() {
    let world = World::new();
    std::fs::create_dir(world.path("tree")).unwrap();
    world.file("tree/file", 10);
    let import = |limits: &str| {
        let command = world.dfcache_after(limits).at(&world.endpoint(0));
        command
            .args(words("import --recursive --jobs 20 tree"))
            .run()
    };
    import("ulimit -S -n 64").succeeds();
    let few = import("ulimit -n 64").exits_with(1);
    few.says("needs 176 more open files")
        .says("fewer than 20 --jobs");
}
