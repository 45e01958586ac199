//! Export owns its target: whole after success, and never written through. That it is untouched after any failure is in
//! `faults`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use fake_dfdaemon::Release;

use crate::support::files::{PIECE, names_in, other_file_system, state};
use crate::support::{ScriptedDaemon, Step, World, seeded, skipped};
use testkit::whole;

const RELEASES: [Release; 2] = [Release::V0_2, Release::V1_5];
const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

/// Exports are hard links to the cache, as sources are of release 1.5: writing through one would damage every other.
#[test]
fn overwrite_never_writes_through_a_hard_link() {
    for release in RELEASES {
        for mode in MODES {
            let world = World::with(|builder| builder.release(release));
            let first = world.file("first", PIECE + 1);
            let second = world.file("second", PIECE + 2);
            let (first_bytes, second_bytes) =
                (fs::read(&first).unwrap(), fs::read(&second).unwrap());
            let (first_id, second_id) = (world.import(&first), world.import(&second));
            let options = [mode, &["--overwrite"]].concat();
            world.export(0, &[], &first_id, "out").succeeds();
            world.export(0, &options, &second_id, "out").succeeds();
            assert!(fs::read(world.path("out")).unwrap() == second_bytes);
            assert!(fs::read(&first).unwrap() == first_bytes);
            // Done again, it is the same; also onto the source itself.
            for output in ["out", "second"] {
                world.export(0, &options, &second_id, output).succeeds();
                world.assert_same(&world.path("out"), "second");
            }
            // The other task is what it was, whatever takes the place of its source.
            world.export(0, &options, &second_id, "first").succeeds();
            world
                .export(0, &["--transfer-from-dfdaemon"], &first_id, "again")
                .succeeds();
            assert!(fs::read(world.path("again")).unwrap() == first_bytes);
            assert!(fs::read(&second).unwrap() == second_bytes);
        }
    }
}

#[test]
fn a_symbolic_link_as_target_is_replaced_itself_and_never_followed() {
    for mode in MODES {
        let world = World::new();
        let file = world.file("file", 10);
        let id = world.import(&file);
        let pointed = world.file("pointed", 20);
        let before = state(&pointed);
        for (link, target) in [("link", "pointed"), ("dangling", "nowhere")] {
            symlink(target, world.path(link)).unwrap();
            world.export(0, mode, &id, link).fails_with(4);
            assert!(fs::symlink_metadata(world.path(link)).unwrap().is_symlink());
            let options = [mode, &["--overwrite"]].concat();
            world.export(0, &options, &id, link).succeeds();
            assert!(fs::symlink_metadata(world.path(link)).unwrap().is_file());
            world.assert_same(&file, link);
        }
        assert_eq!(state(&pointed), before);
        world.holds_only(&["dangling", "file", "link", "pointed"]);
    }
}

#[test]
fn a_link_to_a_directory_on_the_way_to_the_target_is_followed() {
    for mode in MODES {
        let world = World::new();
        let file = world.file("file", 10);
        let id = world.import(&file);
        fs::create_dir(world.path("real")).unwrap();
        symlink("real", world.path("alias")).unwrap();
        world.export(0, mode, &id, "alias/out").succeeds();
        world.assert_same(&file, "real/out");
        assert_eq!(names_in(&world.path("real")), ["out"]);
    }
}

#[test]
fn a_transferred_file_has_ordinary_permissions_and_an_overwritten_one_keeps_its_own() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let mode = |name: &str| fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o7777;
    // What a program makes here by default, whatever the umask of this machine.
    fs::write(world.path("made"), "").unwrap();
    let transfer = ["--transfer-from-dfdaemon", "--overwrite"];
    world.export(0, &transfer, &id, "new").succeeds();
    assert_eq!(mode("new"), mode("made"));
    fs::set_permissions(world.path("made"), fs::Permissions::from_mode(0o640)).unwrap();
    world.export(0, &transfer, &id, "made").succeeds();
    assert_eq!(mode("made"), 0o640);
}

#[test]
fn a_target_on_another_file_system_is_a_copy() {
    for release in RELEASES {
        let world = World::with(|builder| builder.release(release));
        let Some(elsewhere) = other_file_system(&world.work()) else {
            skipped("no second file system");
            return;
        };
        let file = world.file("file", PIECE + 1);
        let id = world.import(&file);
        let output = elsewhere.path().join("out");
        for mode in MODES {
            for overwrite in [&["--overwrite"][..], &[]] {
                let _ = fs::remove_file(&output);
                if !overwrite.is_empty() {
                    fs::write(&output, "old").unwrap();
                }
                let options = [mode, overwrite].concat();
                world
                    .export(0, &options, &id, output.to_str().unwrap())
                    .succeeds();
                world.assert_same(&file, output.to_str().unwrap());
                assert_eq!(names_in(elsewhere.path()), ["out"]);
            }
        }
    }
}

#[test]
fn a_file_name_as_long_as_can_be_is_a_target_too() {
    for mode in MODES {
        let world = World::new();
        let file = world.file("file", 10);
        let id = world.import(&file);
        let name = "n".repeat(255);
        world.export(0, mode, &id, &name).succeeds();
        world.assert_same(&file, &name);
        let longer = "n".repeat(256);
        world.export(0, mode, &id, &longer).fails_with(4);
        world.holds_only(&["file", &name]);
    }
}

/// What is made beside the target has a name of its own, whatever the target is called.
#[test]
fn long_names_in_other_letters_and_long_paths_are_targets_too() {
    for mode in MODES {
        let world = World::new();
        let file = world.file("file", 10);
        let id = world.import(&file);
        let name = format!("{}.pdf", "ж".repeat(110));
        world.export(0, mode, &id, &name).succeeds();
        world.assert_same(&file, &name);

        let mut deep = world.path("deep");
        while deep.as_os_str().len() < 3800 {
            deep.push("d".repeat(100));
        }
        fs::create_dir_all(&deep).unwrap();
        // With the name and a NUL, as long as a path can be.
        let output = deep.join("n".repeat(4095 - deep.as_os_str().len() - 1));
        let output = output.to_str().unwrap();
        world.export(0, mode, &id, output).succeeds();
        world.assert_same(&file, output);
        assert_eq!(names_in(&deep).len(), 1);
    }
}

/// The output is meant for what the link leads to, and that is no file to replace.
#[test]
fn a_link_to_a_device_or_a_pipe_is_refused_and_stays() {
    for mode in MODES {
        let world = World::new();
        let id = world.import(&world.file("file", 10));
        symlink("/dev/null", world.path("link")).unwrap();
        for output in ["link", "/dev/stdout"] {
            let options = [mode, &["--overwrite"]].concat();
            let run = world.export(0, &options, &id, output);
            run.fails_with(4).says("-O - ");
        }
        assert!(
            fs::symlink_metadata(world.path("link"))
                .unwrap()
                .is_symlink()
        );
        world.holds_only(&["file", "link"]);
    }
}

/// What a killed dfcache left goes with the next export into the directory.
#[test]
fn what_a_killed_dfcache_left_is_swept_by_the_next_one() {
    for mode in MODES {
        let world = World::new();
        let mut steps = whole(&seeded(1, PIECE));
        steps.extend([Step::Reached, Step::Hang]);
        let daemon = ScriptedDaemon::answering(steps);
        let command = world.at(&daemon.endpoint).arg("export").args(mode);
        let running = command.args(["-O", "out", "7"]).start();
        daemon.wait_until_reached();
        running.signal(rustix::process::Signal::KILL);
        assert_eq!(running.wait().signal(), Some(9));
        let left = names_in(&world.work());
        assert!(
            left.iter().all(|name| name.starts_with(".dfcache-")),
            "{left:?}"
        );
        let id = world.import(&world.path_of_new_file());
        world.export(0, mode, &id, "out").succeeds();
        world.holds_only(&["new", "out"]);
    }
}

impl World {
    fn path_of_new_file(&self) -> std::path::PathBuf {
        self.file("new", 10)
    }
}
