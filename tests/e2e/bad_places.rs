//! Places that take no file: full, read-only, or without rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bad_input::MODES;
use crate::support::files::{PIECE, names_in};
use crate::support::users::{NOBODY, can_change_users, is_root};
use crate::support::world::Directory;
use crate::support::{Dfcache, World, skipped};

/// A file system of its own with hardly any room; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Only root can mount one, and not in every container.
    fn mount(directory: &Directory, test: &str) -> Option<Self> {
        let path = directory.beside("small");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=2m,mode=0777", "tmpfs"])
            .arg(&path);
        if is_root() && mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        skipped(&format!("{test}: no tmpfs can be mounted here"));
        None
    }

    fn remount_read_only(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_keeps_what_was_there() {
    let world = World::new();
    let name = "a_full_disk_is_said_and_keeps_what_was_there";
    let Some(disk) = SmallDisk::mount(&world, name) else {
        return;
    };
    let id = world.import(&world.file("file", PIECE + 1));
    let (new, old) = (disk.0.join("new"), disk.0.join("old"));
    fs::write(&old, "old").unwrap();
    for mode in MODES {
        for output in [&new, &old] {
            let options = [mode, &["--overwrite"]].concat();
            let run = world.export(0, &options, &id, output.to_str().unwrap());
            run.fails_with(4)
                .says("No space left on device")
                .says("hint: free some space");
        }
        assert_eq!(names_in(&disk.0), ["old"], "{mode:?}");
        assert_eq!(fs::read(&old).unwrap(), b"old");
    }
}

#[test]
fn a_read_only_file_system_is_said() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(&world, "a_read_only_file_system_is_said") else {
        return;
    };
    let id = world.import(&world.file("file", 10));
    let old = disk.0.join("old");
    fs::write(&old, "old").unwrap();
    disk.remount_read_only();
    for mode in MODES {
        for name in ["new", "old"] {
            let options = [mode, &["--overwrite"]].concat();
            let output = disk.0.join(name);
            let run = world.export(0, &options, &id, output.to_str().unwrap());
            run.fails_with(4).says("Read-only file system");
        }
        assert_eq!(names_in(&disk.0), ["old"], "{mode:?}");
        assert_eq!(fs::read(&old).unwrap(), b"old");
    }
}

/// Neither dfcache nor dfdaemon may write there: dfcache is nobody, the directory root's, and the
/// daemon is run as nobody too.
#[test]
fn a_directory_without_rights_is_said() {
    let name = "a_directory_without_rights_is_said";
    if !can_change_users(name) {
        return;
    }
    let directory = Directory::new();
    let daemon = daemon_of_nobody(&directory);
    let dfcache = copied(
        &directory,
        Path::new(crate::support::command::DFCACHE),
        "dfcache",
    );
    let client = || {
        let command = Dfcache::of(&dfcache, &directory.work(), &directory.home());
        command.at(&daemon.endpoint(0)).by_user(NOBODY)
    };
    let file = directory.file("file", 10);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let id = client().arg("import").arg(&file).run().succeeds().line();
    let roots = directory.beside("roots");
    fs::create_dir(&roots).unwrap();
    fs::write(roots.join("old"), "old").unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o755)).unwrap();
    for mode in MODES {
        for output in ["new", "old"] {
            let command = client().args(["export", "--overwrite"]).args(mode).arg(&id);
            let run = command.arg("-O").arg(roots.join(output)).run();
            run.fails_with(4).says("Permission denied").says("hint: ");
        }
        assert_eq!(names_in(&roots), ["old"], "{mode:?}");
        assert_eq!(fs::read(roots.join("old")).unwrap(), b"old");
    }
}

/// Where the binaries were built, others may not be allowed to look. Copied by another process: a
/// program that is open for writing cannot be started, and what a test starts at that moment would
/// have it open too.
fn copied(directory: &Directory, program: &Path, name: &str) -> PathBuf {
    let copy = directory.beside(name);
    let copies = Command::new("cp").arg(program).arg(&copy).status();
    assert!(copies.unwrap().success());
    copy
}

fn daemon_of_nobody(directory: &Directory) -> crate::support::DaemonProcess {
    use std::os::unix::process::CommandExt as _;

    let fake = crate::support::process::fake_dfdaemon();
    let state = directory.beside("state");
    fs::create_dir(&state).unwrap();
    for path in [state.clone(), directory.home()] {
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = Command::new(copied(directory, &fake, "fake"));
    command.args(["serve", "--state-dir"]).arg(&state);
    command.uid(NOBODY).gid(NOBODY);
    crate::support::DaemonProcess::spawn(command)
}
