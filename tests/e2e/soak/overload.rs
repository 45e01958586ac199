//! More at once than the daemon takes: it says so, and nobody waits.

use crate::support::World;
use crate::support::files::{PIECE, assert_same_bytes};
use crate::support::world::until_fired;

/// What the daemon takes.
const TAKEN: usize = 2;

/// What comes.
const CROWD: usize = 12;

#[test]
fn who_is_one_too_many_is_told_so_at_once() {
    let world = World::with(|builder| builder.max_requests(TAKEN));
    let file = world.file("file", PIECE + 1);
    let content = std::fs::read(&file).unwrap();
    let id = world.import(&file);
    let stall = fake_dfdaemon::Fault::on(fake_dfdaemon::Rpc::Export)
        .piece(0)
        .stall();
    let stalled = world.daemon().fault(stall);
    let export = |name: &str| {
        let command = world.dfcache().args(["export", &id, "--timeout", "100s"]);
        command
            .args(["--transfer-from-dfdaemon", "-O", name])
            .start()
    };
    // As many as it takes, each of which holds its place.
    let held: Vec<_> = (0..TAKEN)
        .map(|number| export(&format!("held-{number}")))
        .collect();
    until_fired(&stalled, TAKEN as u64);
    let crowd: Vec<_> = (0..CROWD)
        .map(|number| export(&format!("crowd-{number}")))
        .collect();
    for running in crowd {
        // While the places are still held: nobody waited for one.
        running
            .wait()
            .fails_with(5)
            .says("overloaded")
            .says("hint:");
    }
    let import = world
        .dfcache()
        .arg("import")
        .arg(world.file("other", 10))
        .run();
    import.fails_with(5).says("overloaded");
    drop(stalled);
    for (number, running) in held.into_iter().enumerate() {
        running.wait().succeeds();
        assert_same_bytes(&world.path(&format!("held-{number}")), &content);
    }
    // What is free again is taken again.
    world
        .export(0, &["--transfer-from-dfdaemon"], &id, "after")
        .succeeds();
    world.holds_only(&["file", "other", "held-0", "held-1", "after"]);
}
