//! Mount namespaces of their own, in which anybody may mount.

use std::process::{Command, Stdio};

use super::command::DFCACHE;
use super::process::fake_dfdaemon;
use super::skipped;
use super::users::is_root;
use super::world::Directory;

/// `unshare` with a shell in such a namespace, which takes a script.
pub fn unshare() -> Vec<&'static str> {
    let own_root = ["--user", "--map-root-user"];
    let mut arguments = if is_root() { vec![] } else { own_root.to_vec() };
    arguments.extend(["--mount", "--propagation", "private", "sh", "-c"]);
    arguments
}

/// Whether one can be made here; says so if not.
pub fn can_unshare() -> bool {
    let mut command = Command::new("unshare");
    let command = command.args(unshare()).arg("mount -t tmpfs none /tmp");
    let status = command.stderr(Stdio::null()).status();
    let can = status.is_ok_and(|status| status.success());
    if !can {
        skipped("no mount namespaces can be made here");
    }
    can
}

/// What a script says in one, with the programs as `$dfcache` and `$fake` and these variables; none where there is none.
pub fn in_a_namespace(
    directory: &Directory,
    script: &str,
    variables: &[(&str, &str)],
) -> Option<String> {
    if !can_unshare() {
        return None;
    }
    let output = Command::new("unshare")
        .args(unshare())
        .arg(script)
        .env("dfcache", DFCACHE)
        .env("fake", fake_dfdaemon())
        .env("HOME", directory.home())
        .env("TMPDIR", directory.beside(""))
        .envs(variables.iter().copied())
        .current_dir(directory.work())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}
