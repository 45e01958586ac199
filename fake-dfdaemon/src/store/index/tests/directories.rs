//! Directories that are not listed, since they are as they were.

use super::*;

/// A change of one kind alone may leave the directory as it was, or every record.
#[test]
fn each_change_alone_is_found() {
    let changes: [fn(&World); 6] = [
        |world| fs::write(world.record(1), "{").unwrap(),
        |world| fs::remove_file(world.record(1)).unwrap(),
        |world| world.write(&task(TASKS)),
        |world| {
            let text = fs::read_to_string(world.record(1)).unwrap();
            fs::write(world.record(1), text.replace("Succeeded", "Failed")).unwrap();
        },
        |world| fs::rename(world.record(1), world.0.path().join("moved")).unwrap(),
        // As a snapshot takes the place of what was there.
        |world| {
            let tasks = world.0.path().join("tasks/123");
            fs::rename(&tasks, world.0.path().join("moved")).unwrap();
            world.write(&task(1));
        },
    ];
    for change in changes {
        let world = World::indexed();
        change(&world);
        let truth = world.truth();
        assert_eq!(world.load(), truth);
        assert_eq!(world.load(), truth);
    }
}

#[test]
fn a_directory_that_has_just_changed_is_not_noted() {
    let world = World::indexed();
    assert!(world.known().is_all_of(world.directory()));
    // A name comes and goes, and no record changes.
    fs::write(world.record(TASKS), "").unwrap();
    fs::remove_file(world.record(TASKS)).unwrap();
    world.try_load(Disk::new(false)).unwrap();
    assert!(!world.known().is_all_of(world.directory()));
    world.load();
    assert!(world.known().is_all_of(world.directory()));
}

#[test]
fn a_directory_with_a_record_that_is_too_long_to_be_copied_is_listed() {
    let world = World::new();
    world.write(&TaskRecord {
        tag: Some("long".repeat(2000).into()),
        ..task(1)
    });
    let truth = world.truth();
    for _ in 0..3 {
        assert_eq!(world.load(), truth);
    }
}
