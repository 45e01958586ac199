//! What differs for users between the releases of dfdaemon.

use fake_dfdaemon::{Quirk, Release};

use crate::support::World;

const VARIABLE: &str = "DFCACHE_ID_DFDAEMON_VERSION";

#[test]
fn an_id_of_a_release_that_nobody_named_says_which_one_it_is_of() {
    let world = World::new();
    world.file("file", 10);
    let run = world.dfcache().args(["id", "file"]).run();
    let assumed = run
        .succeeds()
        .says("0.2")
        .says("CRC-32")
        .says(VARIABLE)
        .stdout();
    for version in ["0.2", "1.5"] {
        let option = ["id", "--dfdaemon-version", version, "file"];
        let variable = world.dfcache().env(VARIABLE, version).args(["id", "file"]);
        for named in [world.dfcache().args(option), variable] {
            let run = named.run().succeeds();
            let id = run.stdout();
            assert_eq!(run.stderr(), "");
            assert_eq!(id == assumed, version == "0.2", "{id}");
        }
    }
    // One that is set but empty names nothing.
    let run = world.dfcache().env(VARIABLE, "").args(["id", "file"]).run();
    run.succeeds().says(VARIABLE);
}

/// A dfdaemon of release 0.2 has no call that lists.
#[test]
fn ls_fails_against_a_fake_that_plays_0_2_with_all_quirks() {
    for (release, quirks, fails) in [
        (Release::V0_2, Some(()), true),
        (Release::V0_2, None, false),
        (Release::V1_5, Some(()), false),
    ] {
        let quirks: Vec<_> = Quirk::all().filter(|_| quirks.is_some()).collect();
        let world = World::with(|builder| builder.release(release).quirks(quirks));
        let run = world.dfcache().arg("ls").run();
        if fails {
            run.fails_with(6).says("this dfdaemon is too old for that");
        } else {
            run.succeeds();
        }
    }
}
