//! dfcache and dfdaemon as different users, as in containers and on shared hosts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::files::{PIECE, assert_same_bytes, names_in};
use crate::support::users::{ANOTHER, NOBODY, Programs, can_change_users};
use crate::support::world::Directory;
use crate::support::{DaemonProcess, Dfcache};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A daemon of its own user, a dfcache of another, and directories of either.
struct Shared {
    directory: Directory,
    daemon: DaemonProcess,
    dfcache: PathBuf,
    client: u32,
}

impl Shared {
    /// None where nobody can become somebody else.
    fn new(daemon: u32, client: u32) -> Option<Self> {
        if !can_change_users() {
            return None;
        }
        let directory = Directory::new();
        let Programs {
            fake_dfdaemon,
            dfcache,
        } = Programs::beside(&directory);
        let state = directory.beside("state");
        fs::create_dir(&state).unwrap();
        chown(&state, Some(daemon), Some(daemon)).unwrap();
        set_mode(&state, 0o755);
        chown(directory.home(), Some(client), Some(client)).unwrap();
        chown(directory.work(), Some(client), Some(client)).unwrap();
        let mut command = Command::new(fake_dfdaemon);
        let options = [
            "serve",
            "--socket-mode",
            "0666",
            "--hosts",
            "2",
            "--state-dir",
        ];
        command.args(options).arg(&state).uid(daemon).gid(daemon);
        let daemon = DaemonProcess::spawn(command);
        Some(Self {
            directory,
            daemon,
            dfcache,
            client,
        })
    }

    /// A directory of a user, which everybody may read.
    fn directory_of(&self, user: u32, name: &str) -> PathBuf {
        let path = self.directory.beside(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(user), Some(user)).unwrap();
        set_mode(&path, 0o755);
        path
    }

    fn dfcache(&self) -> Dfcache {
        let (work, home) = (self.directory.work(), self.directory.home());
        let command = Dfcache::of(&self.dfcache, &work, &home);
        command.at(&self.daemon.endpoint(0)).by_user(self.client)
    }

    /// A readable file of root's, imported.
    fn import(&self, name: &str, length: usize) -> (PathBuf, String) {
        let file = self.directory.file(name, length);
        set_mode(&file, 0o644);
        let run = self.dfcache().arg("import").arg(&file).run();
        (file, run.succeeds().line())
    }

    fn export(&self, options: &[&str], id: &str, output: &Path) -> crate::support::Run {
        let command = self.dfcache().arg("export").args(options);
        command.arg("-O").arg(output).arg(id).run()
    }
}

const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

/// As in /tmp: anybody may write, but rename and remove only what is their own.
#[test]
fn a_sticky_directory_takes_exports_from_a_daemon_of_another_user() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let (file, id) = shared.import("file", PIECE + 1);
    let content = fs::read(file).unwrap();
    let sticky = shared.directory.beside("sticky");
    fs::create_dir(&sticky).unwrap();
    set_mode(&sticky, 0o1777);
    for mode in MODES {
        let output = sticky.join("out");
        shared.export(mode, &id, &output).succeeds();
        assert_same_bytes(&output, &content);
        shared.export(mode, &id, &output).fails_with(4);
        assert_eq!(names_in(&sticky), ["out"], "{mode:?}");
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn a_private_directory_takes_exports_from_a_daemon_of_another_user() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let (file, id) = shared.import("file", PIECE + 1);
    let content = fs::read(file).unwrap();
    let own = shared.directory_of(NOBODY, "own");
    for mode in MODES {
        let output = own.join("out");
        shared.export(mode, &id, &output).succeeds();
        assert_same_bytes(&output, &content);
        let overwrite = [mode, &["--overwrite"]].concat();
        shared.export(&overwrite, &id, &output).succeeds();
        assert_same_bytes(&output, &content);
        assert_eq!(names_in(&own), ["out"], "{mode:?}");
        fs::remove_file(&output).unwrap();
    }
    // Where the daemon cannot even look, only a transfer helps, and the error says so.
    set_mode(&own, 0o700);
    let output = own.join("out");
    let run = shared.export(&[], &id, &output);
    run.fails_with(4).says("--transfer-from-dfdaemon");
    assert_eq!(names_in(&own), [""; 0]);
    shared
        .export(&["--transfer-from-dfdaemon"], &id, &output)
        .succeeds();
    assert_eq!(fs::metadata(&output).unwrap().uid(), NOBODY);
}

/// The daemon's umask, or the mode of what was imported: the user would have a file of no use.
#[test]
fn a_result_that_its_user_may_not_read_replaces_nothing() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let (_, id) = shared.import("file", PIECE + 1);
    let mut directories = vec![shared.directory.beside("state")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                set_mode(&entry.path(), 0o600);
            }
        }
    }
    let own = shared.directory_of(NOBODY, "own");
    let output = own.join("out");
    fs::write(&output, "old").unwrap();
    let run = shared.export(&["--overwrite"], &id, &output);
    run.fails_with(4).says("--transfer-from-dfdaemon");
    assert_eq!(fs::read(&output).unwrap(), b"old");
    let run = shared.export(&[], &id, &own.join("new"));
    run.fails_with(4).says("--transfer-from-dfdaemon");
    assert_eq!(names_in(&own), ["out"]);
}

/// Neither dfcache nor dfdaemon may write there.
#[test]
fn a_directory_without_rights_is_said() {
    let Some(shared) = Shared::new(NOBODY, NOBODY) else {
        return;
    };
    let (_, id) = shared.import("file", 10);
    let roots = shared.directory_of(0, "roots");
    fs::write(roots.join("old"), "old").unwrap();
    for mode in MODES {
        for output in ["new", "old"] {
            let options = [mode, &["--overwrite"]].concat();
            let run = shared.export(&options, &id, &roots.join(output));
            run.fails_with(4).says("Permission denied").says("hint: ");
        }
        assert_eq!(names_in(&roots), ["old"], "{mode:?}");
        assert_eq!(fs::read(roots.join("old")).unwrap(), b"old");
    }
}

/// dfcache may not write there, but the daemon may: it makes the target itself, if none is there.
#[test]
fn a_directory_of_the_daemons_user_takes_exports_by_path() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let (file, id) = shared.import("file", PIECE + 1);
    let content = fs::read(file).unwrap();
    let theirs = shared.directory_of(ANOTHER, "theirs");
    let output = theirs.join("out");
    shared
        .export(&["--transfer-from-dfdaemon"], &id, &output)
        .fails_with(4);
    shared.export(&[], &id, &output).succeeds();
    assert_same_bytes(&output, &content);
    for options in [&[][..], &["--overwrite"]] {
        shared.export(options, &id, &output).fails_with(4);
        assert_same_bytes(&output, &content);
    }
    assert_eq!(names_in(&theirs), ["out"]);
}

#[test]
fn a_file_that_only_dfdaemon_may_not_read_is_a_local_file_error() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let file = shared.directory.file("secret", 10);
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    set_mode(&file, 0o600);
    let run = shared.dfcache().arg("import").arg(&file).run();
    run.fails_with(4).says("Permission denied").says("hint:");
}

#[test]
fn a_file_that_only_dfdaemon_may_read_is_imported() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let hidden = shared.directory.beside("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("file"), "content").unwrap();
    chown(&hidden, Some(ANOTHER), Some(ANOTHER)).unwrap();
    set_mode(&hidden, 0o700);
    let run = shared
        .dfcache()
        .arg("import")
        .arg(hidden.join("file"))
        .run();
    run.succeeds();
}

#[test]
fn a_socket_that_this_user_may_not_open_is_unavailable() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    set_mode(&shared.daemon.endpoint(0), 0o600);
    let run = shared.dfcache().args(["stat", "7"]).run();
    run.fails_with(5)
        .says("Permission denied")
        .says("this user may not open the socket");
}

/// The reference client panics here: its log directory belongs to root.
#[test]
fn a_user_without_rights_needs_no_log_directory() {
    let Some(shared) = Shared::new(ANOTHER, NOBODY) else {
        return;
    };
    let roots = shared.directory_of(0, "logs-of-root");
    let stat = || {
        shared
            .dfcache()
            .args(["stat", "7", "--log-dir"])
            .arg(&roots)
    };
    stat().run().fails_with(3).does_not_say("log");
    assert_eq!(names_in(&roots), [""; 0]);
    let own = shared
        .directory
        .home()
        .join(".local/state/dragonfly/dfcache");
    assert_eq!(
        names_in(&own).len(),
        1,
        "the log went to the user's own state directory"
    );
    // Not even there.
    for stat in [stat().env("HOME", "/nonexistent"), stat().without("HOME")] {
        stat.run().fails_with(3).does_not_say("log");
    }
}
