//! What others may do with what the fake leaves on the disk: nothing, whatever the umask.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::access::ground::{Ground, tree};
use crate::support::client::Client;
use crate::support::control::Address;
use crate::support::process::Process;
use crate::support::requests::{import, transfer};

/// `fake-dfdaemon serve` under a umask.
fn serve_under(umask: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("umask {umask}; exec \"$0\" serve \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_fake-dfdaemon")]);
    command
}

/// Has every kind of file made that there is.
async fn use_it(world: &Ground, process: &Process) {
    let (on_first, on_last) = (
        Client::connect(&process.endpoint(0)).await,
        Client::connect(&process.endpoint(2)).await,
    );
    let api = Address::socket(&process.path("control"));
    let ask = async |path: &str, body: &str| {
        let answer = api.send("POST", path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    };
    let task = on_first
        .import(import(&world.path("victim"), 2, 3600))
        .await
        .unwrap();
    on_last.export(transfer(&task.id)).await.ok();
    fs::write(world.path("broken"), "broken").unwrap();
    ask(
        "/faults",
        r#"{"on":"import","call":1,"do":{"disk_error":true}}"#,
    )
    .await;
    let broken = on_first
        .import(import(&world.path("broken"), 2, 3600))
        .await;
    assert!(broken.is_err());
    ask("/snapshots/kept", "").await;
    ask("/snapshots/kept/restore", "").await;
    ask("/settle", "").await;
    ask("/hosts/host-1/stop", "").await;
    ask("/hosts/host-1/start", "").await;
}

/// Lines of a tree that others could do something with, content aside.
fn exposed(dir: &Path) -> Vec<String> {
    let lines = tree(dir);
    let is_private = |line: &&str| {
        let (path, kind_and_mode) = line.split_once(' ').unwrap();
        // Below directories that are the owner's alone; exported, it is for others too.
        let is_content = (path.contains("/persistent-cache-tasks/")
            || path.contains("/snapshots/"))
            && Path::new(path).extension().is_none();
        match kind_and_mode.split(' ').collect::<Vec<_>>()[..] {
            ["directory", mode, _] => mode == "0700",
            ["file", mode, _] => mode == "0600" || is_content && mode == "0644",
            ["socket", mode, _] => mode == "0600",
            _ => false,
        }
    };
    let exposed = lines.lines().filter(|line| !is_private(line));
    exposed.map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_the_owners_alone_under_any_umask() {
    for umask in ["0", "022", "077"] {
        let world = Ground::new();
        fs::create_dir(world.path("tmp")).unwrap();
        let given = world.text("state");
        for state in [&["--state-dir", &given][..], &[]] {
            let (ready, journal) = (world.text("ready"), world.text("own.jsonl"));
            let mut command = serve_under(umask);
            command.args(state).args(["--ready-file", &ready]);
            command.env("TMPDIR", world.path("tmp"));
            if state.is_empty() {
                command.args(["--journal", &journal]);
            }
            let process = Process::start(&mut command);
            use_it(&world, &process).await;
            let state_dir = process.path("state_dir");
            let own = fs::metadata(&state_dir).unwrap().permissions().mode();
            assert_eq!(own & 0o777, 0o700, "{}", state_dir.display());
            assert_eq!(exposed(&state_dir), [""; 0], "umask {umask}");
            for file in [ready, journal] {
                if let Ok(metadata) = fs::metadata(&file) {
                    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
                }
            }
            assert_eq!(
                fs::exists(world.path("own.jsonl")).unwrap(),
                state.is_empty()
            );
        }
    }
}

#[test]
fn a_socket_mode_is_what_was_asked_for_under_any_umask() {
    for (umask, mode) in [("077", "0666"), ("0", "0600"), ("0777", "0660")] {
        let world = Ground::new();
        let state = world.path("state");
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = serve_under(umask);
        command.arg("--state-dir").arg(&state);
        command.args(["--hosts", "1", "--socket-mode", mode]);
        let started = Process::start(&mut command);
        let lines = tree(&state);
        let sockets = lines.lines().filter(|line| line.contains(" socket "));
        let wrong = sockets.filter(|line| !line.contains(&format!(" socket {mode} ")));
        assert_eq!(wrong.collect::<Vec<_>>(), [""; 0], "umask {umask}");
        drop(started);
    }
}
