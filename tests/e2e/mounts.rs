//! dfcache in one mount namespace and dfdaemon in another, as in a container: each sees files that the
//! other does not, and both see the directory of the socket and of staged copies.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::{DFCACHE, words};
use crate::support::files::{PIECE, names_in, seeded};
use crate::support::namespace::{can_unshare, unshare};
use crate::support::process::fake_dfdaemon;
use crate::support::users::{ANOTHER, NOBODY, Programs, is_root};
use crate::support::world::Directory;
use crate::support::{DaemonProcess, Dfcache, Run};

/// Hides the directory `$1`, and becomes the rest as the user `$2`.
const HIDE: &str = r#"
    mount -t tmpfs none "$1" || exit 99
    user=$2
    shift 2
    if [ "$user" = 0 ]; then exec "$@"; fi
    exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"#;

/// Whoever the client and the daemon may be.
fn users() -> Vec<(u32, u32)> {
    if is_root() {
        vec![(0, 0), (NOBODY, 0), (NOBODY, ANOTHER)]
    } else {
        vec![(0, 0)]
    }
}

struct Mounts {
    directory: Directory,
    daemon: DaemonProcess,
    dfcache: PathBuf,
    client: u32,
}

impl Mounts {
    fn new(client: u32, daemon: u32) -> Self {
        let directory = Directory::new();
        let Programs {
            fake_dfdaemon: fake,
            dfcache,
        } = Programs::beside(&directory);
        fs::create_dir(directory.beside("state")).unwrap();
        if is_root() {
            chown(directory.beside("state"), Some(daemon), Some(daemon)).unwrap();
        }
        for name in ["shared", "shared/staging", "work", "home"] {
            let path = directory.beside(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
        }
        let mut command = Command::new("unshare");
        command.args(unshare()).args([HIDE, "hide"]);
        command.arg(directory.work()).arg(daemon.to_string());
        command
            .arg(fake)
            .args(["serve", "--hosts", "2", "--socket-mode", "0666"]);
        command
            .args(["--dfdaemon-version", "1.5", "--state-dir"])
            .arg(directory.beside("state"));
        command
            .arg("--socket")
            .arg(directory.beside("shared/dfdaemon.sock"));
        let daemon = DaemonProcess::spawn(command);
        Self {
            directory,
            daemon,
            dfcache,
            client,
        }
    }

    fn dfcache(&self, line: &str) -> Dfcache {
        let (work, home) = (self.directory.work(), self.directory.home());
        Dfcache::of(Path::new("/usr/bin/unshare"), &work, &home)
            .at(&self.directory.beside("shared/dfdaemon.sock"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(unshare())
            .args([HIDE, "hide"])
            .arg(self.directory.beside("state"))
            .arg(self.client.to_string())
            .arg(&self.dfcache)
            .args(words(line))
    }

    fn run(&self, line: &str) -> Run {
        self.dfcache(line).run()
    }

    #[track_caller]
    fn nothing_is_staged(&self) {
        let left = names_in(&self.directory.beside("shared/staging"));
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_file_that_the_daemon_cannot_see_is_imported_as_a_copy_that_both_see() {
    if !can_unshare() {
        return;
    }
    for (client, daemon) in users() {
        let mounts = Mounts::new(client, daemon);
        let content = seeded(1, PIECE + 1);
        let file = mounts.directory.path("file");
        fs::write(&file, &content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        // The namespaces are two: the daemon does not find the file.
        let run = mounts.run("import file").fails_with(4);
        run.says("No such file").says("--staging-dir");
        let staging = mounts.directory.beside("shared/staging");
        let staging = staging.display();
        let id = mounts.run(&format!("import --staging-dir {staging} file"));
        let id = id.succeeds().line();
        mounts.nothing_is_staged();
        let export = mounts.run(&format!("export -O - {id}")).succeeds();
        assert!(export.stdout_bytes() == content, "{client} {daemon}");
        let stream = mounts.dfcache(&format!("import --tag s --staging-dir {staging} -"));
        let stream = stream.stdin(fs::File::open(&file).unwrap()).run();
        stream.succeeds();
        mounts.nothing_is_staged();
        // A directory that only this side sees is no place for a copy: it hints at one that is.
        let alone = mounts.directory.path("alone");
        fs::create_dir(&alone).unwrap();
        fs::set_permissions(&alone, fs::Permissions::from_mode(0o1777)).unwrap();
        let run = mounts
            .run("import --tag t --staging-dir alone file")
            .fails_with(4);
        run.says("under the same path");
        assert!(names_in(&alone).is_empty());
        // A tree, whose manifest is staged too.
        fs::create_dir(mounts.directory.path("tree")).unwrap();
        fs::copy(&file, mounts.directory.path("tree/file")).unwrap();
        let line = format!("import --recursive --staging-dir {staging} tree");
        let tree = mounts.run(&line).succeeds().line();
        mounts.nothing_is_staged();
        let out = mounts.directory.path("out");
        let line = format!("export --recursive --transfer-from-dfdaemon -O out {tree}");
        mounts.run(&line).succeeds();
        assert!(fs::read(out.join("file")).unwrap() == content);
        drop(mounts.daemon);
    }
}

/// Imports with too little room for a copy, from a file and from a stream: exit codes and what is left.
const FULL: &str = r#"
    chmod 1777 . staging
    mount -t tmpfs -o size=1m none staging || exit 99
    chmod 1777 staging
    run() {
        if [ "$USER_ID" = 0 ]; then "$@"; else setpriv --reuid $USER_ID --regid $USER_ID --clear-groups "$@"; fi
        echo "code $?"
    }
    run ./dfcache import --staging-dir staging file
    run ./dfcache import --staging-dir staging - <file
    ls -A staging | sed 's/^/left /'
"#;

#[test]
fn too_little_room_for_a_copy_is_said_and_leaves_nothing() {
    if !can_unshare() {
        return;
    }
    for (client, _) in users() {
        let directory = Directory::new();
        fs::create_dir(directory.path("staging")).unwrap();
        let file = directory.file("file", 3 << 20);
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        let mut cp = Command::new("cp");
        let copied = cp.arg(DFCACHE).arg(directory.path("dfcache")).status();
        assert!(copied.unwrap().success());
        let mut command = Command::new("unshare");
        command.args(unshare()).arg("exec \"$0\" \"$@\"");
        command.arg(fake_dfdaemon());
        let run = [
            "run",
            "--hosts",
            "1",
            "--socket-mode",
            "0666",
            "--state-dir",
        ];
        command.args(run).arg(directory.beside("state"));
        command
            .arg("--socket")
            .arg(directory.beside("dfdaemon.sock"));
        command.args(["--", "sh", "-c", FULL]);
        command.env("USER_ID", client.to_string());
        command.env("DFCACHE_LOG_MAX_FILES", "0");
        let output = command.current_dir(directory.work()).output().unwrap();
        let (said, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(said, "code 4\ncode 4\n", "{client}: {errors}");
        assert_eq!(errors.matches("no room for a copy").count(), 2, "{errors}");
    }
}
