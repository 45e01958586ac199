//! `dfcache doctor` where the machine is to blame: mounts, rights, and file systems that hang, are full or
//! cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fake_dfdaemon::{Fault, Rpc};

use crate::support::command::words;
use crate::support::files::names_in;
use crate::support::hung::HungFileSystem;
use crate::support::namespace::in_a_namespace;
use crate::support::users::{NOBODY, Programs, can_change_users};
use crate::support::world::Directory;
use crate::support::{Dfcache, Run, World};

#[track_caller]
fn is_wrong(run: Run, what: &str, hint: &str) {
    let run = run.exits_with(1);
    let shown = run.stdout();
    let (_, after) = shown.split_once('✗').unwrap_or_default();
    assert!(after.contains(what), "{what}: {run}");
    assert!(after.contains(hint), "{hint}: {run}");
    assert_eq!(shown.matches('✗').count(), 1, "{run}");
}

#[test]
fn a_socket_that_was_mounted_by_itself_is_stale_after_a_restart() {
    let directory = Directory::new();
    let script = r#"
        doctor="$dfcache doctor --log-max-files 0 -e mounted.sock"
        export doctor
        touch mounted.sock
        "$fake" run --hosts 1 --socket dfdaemon.sock --state-dir one -- sh -c \
            'mount --bind dfdaemon.sock mounted.sock; $doctor; echo "code $?"'
        "$fake" run --hosts 1 --socket dfdaemon.sock --state-dir two -- sh -c \
            '$doctor; echo "code $?"'
    "#;
    let Some(shown) = in_a_namespace(&directory, script, &[]) else {
        return;
    };
    let (before, after) = shown
        .split_once("code 0\n")
        .unwrap_or_else(|| panic!("{shown}"));
    assert!(
        before.contains("✓") && before.contains("it is mounted itself"),
        "{before}"
    );
    assert!(after.contains("✗ cannot connect"), "{after}");
    assert!(
        after.contains("mount the directory of the socket"),
        "{after}"
    );
    assert!(after.ends_with("code 1\n"), "{after}");
}

#[test]
fn directories_that_are_full_or_read_only_are_told_apart() {
    let directory = Directory::new();
    fs::create_dir(directory.path("full")).unwrap();
    fs::create_dir(directory.path("read-only")).unwrap();
    let script = r#"
        mount -t tmpfs -o size=64k none full && mount -t tmpfs -o ro none read-only || exit 98
        mkdir full/logs
        dd if=/dev/zero of=full/file bs=4k 2>/dev/null
        "$fake" run --hosts 1 -- sh -c '
            for where in full full/logs read-only; do
                $dfcache doctor --log-dir $where --log-max-files 1
                $dfcache doctor --log-max-files 0 --staging-dir $where
            done
            HOME=/proc $dfcache doctor --log-dir read-only
            ls -A full full/logs read-only
        '
    "#;
    let Some(shown) = in_a_namespace(&directory, script, &[]) else {
        return;
    };
    let count = |text: &str| shown.matches(text).count();
    assert_eq!(count("✗ the file system of full"), 2, "{shown}");
    assert_eq!(count("✗ cannot stage a copy in full"), 2, "{shown}");
    assert_eq!(count("hint: free some space there"), 4, "{shown}");
    assert_eq!(
        count("✗ cannot stage a copy in read-only: Read-only file system"),
        1,
        "{shown}"
    );
    assert_eq!(
        count("since this user cannot write in read-only"),
        1,
        "{shown}"
    );
    assert_eq!(count("✗ no log can be written in read-only"), 1, "{shown}");
    assert!(!shown.contains(".dfcache-"), "{shown}");
}

#[test]
fn what_this_user_may_not_do_is_said() {
    if !can_change_users() {
        return;
    }
    let world = World::new();
    let dfcache = Programs::beside(&world).dfcache;
    let doctor = |options: &str| {
        let command = Dfcache::of(&dfcache, &world.work(), &world.home());
        let command = command.at(&world.endpoint(0)).by_user(NOBODY);
        command.args(words(&format!("doctor --log-max-files 0 {options}")))
    };
    // The socket is its daemon's alone, or a directory above it is.
    let rights = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let state = world.endpoint(0).parent().unwrap().to_owned();
    rights(&state, 0o700);
    is_wrong(
        doctor("").run(),
        "cannot look at",
        "search the directories above",
    );
    rights(&state, 0o755);
    is_wrong(doctor("").run(), "Permission denied", "hint: ");
    rights(&world.endpoint(0), 0o666);
    doctor("").run().succeeds();
    fs::create_dir(world.path("mine")).unwrap();
    is_wrong(
        doctor("--staging-dir mine").run(),
        "cannot stage a copy in mine: Permission denied",
        "this user must be able to write there",
    );
    assert!(names_in(&world.path("mine")).is_empty());
}

#[test]
fn what_hangs_is_said_and_the_rest_is_still_looked_at() {
    let world = World::new();
    {
        let _fault = world.daemon().fault(Fault::on(Rpc::Stat).stall());
        let run = world
            .dfcache()
            .args(words("doctor --log-max-files 0"))
            .run();
        is_wrong(run, "did not answer within 5s", "restart it");
    }
    let Some(hung) = HungFileSystem::mount(&world) else {
        return;
    };
    // Both at once, since each waits for seconds.
    let running = ["--log-dir", "--log-max-files 0 --staging-dir"].map(|option| {
        let line = format!("doctor {option} {}", hung.path().display());
        world.dfcache().args(words(&line)).start()
    });
    for running in running {
        is_wrong(running.wait(), "within 5s", "its file system hangs");
    }
}
