//! Places that somebody else has prepared: links and files that lie where the fake will write.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use testkit::wait::Changes;

use crate::access::ground::{Ground, NOBODY, is_root, tree};
use crate::support::client::Client;
use crate::support::process::{Process, names, refused, serve};

fn with_state(world: &Ground) -> Command {
    let mut command = serve();
    command.args(["--hosts", "1", "--state-dir", &world.text("state")]);
    command
}

#[track_caller]
fn assert_refused(command: &mut Command, path: &Path, why: &str) {
    let (code, said) = refused(command);
    assert_eq!(code, Some(4), "{said}");
    let named: std::path::PathBuf = path.components().collect();
    let named = named.to_str().unwrap();
    assert!(said.contains(named) && said.contains(why), "{said}");
}

#[test]
fn a_state_directory_that_is_a_link_is_refused_however_it_is_written() {
    let world = Ground::new();
    fs::create_dir(world.path("elsewhere")).unwrap();
    world.link("link", "elsewhere");
    for written in ["link", "link/", "link//", "link/.", "./link/"] {
        let path = world.path(written);
        let mut command = serve();
        command.arg("--state-dir").arg(&path);
        assert_refused(&mut command, &path, "symbolic link");
        assert!(names(&world.path("elsewhere")).is_empty(), "{written}");
    }
    let dangling = world.link("dangling", "nowhere");
    assert_refused(serve().arg("--state-dir").arg(&dangling), &dangling, "");
    assert!(!world.path("nowhere").exists());
}

#[test]
fn a_state_directory_that_others_write_to_is_refused() {
    let world = Ground::new();
    let state = world.path("state");
    fs::create_dir(&state).unwrap();
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        assert_refused(&mut with_state(&world), &state, "others may write");
        assert!(names(&state).is_empty());
    }
}

#[test]
fn a_state_directory_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let world = Ground::new();
    let state = world.path("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
    assert_refused(&mut with_state(&world), &state, "another user");
    assert!(names(&state).is_empty());
}

/// Of another user, and open to everybody: whose it is must make the difference, and the bit that
/// keeps what lies in it its owner's.
#[test]
fn a_state_directory_that_anybody_may_replace_is_refused() {
    if !is_root() {
        return;
    }
    let world = Ground::new();
    let open = world.path("open");
    fs::create_dir_all(open.join("own")).unwrap();
    fs::set_permissions(open.join("own"), fs::Permissions::from_mode(0o700)).unwrap();
    world.link("way", "open");
    let set = |owner, mode| {
        chown(&open, Some(owner), None).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(NOBODY, 0o777);
    for place in [
        "open/state",
        "open/a/b/state",
        "open/own/state",
        "way/state",
    ] {
        let state = world.path(place);
        let mut command = serve();
        command.arg("--state-dir").arg(&state);
        assert_refused(&mut command, &open, "belongs to another user");
        assert!(!fs::exists(&state).unwrap() && names(&open) == ["own"]);
    }
    assert_refused(serve().env("TMPDIR", &open), &open, "another user");
    assert_eq!(names(&open), ["own"]);
    for (owner, mode) in [(NOBODY, 0o1777), (NOBODY, 0o755), (0, 0o777)] {
        set(owner, mode);
        let state = world.path("open/state");
        drop(Process::start(serve().arg("--state-dir").arg(&state)));
        fs::remove_dir_all(state).unwrap();
        let started = Process::start(serve().env("TMPDIR", &open));
        assert!(started.end(rustix::process::Signal::TERM).success());
    }
}

#[test]
fn what_lies_in_the_way_of_the_state_is_named() {
    let world = Ground::new();
    drop(Process::start(&mut with_state(&world)));
    let tasks = "hosts/host-0/content/persistent-cache-tasks";
    for name in [
        "hosts/host-0/tmp/0",
        &format!("{tasks}/abc/abc1"),
        &format!("{tasks}/abc/abc1.json"),
    ] {
        let place = world.path("state").join(name);
        fs::create_dir_all(place.join("of somebody")).unwrap();
        assert_refused(&mut with_state(&world), &place, "s a directory");
        assert_eq!(names(&place), ["of somebody"]);
        fs::remove_dir_all(&place).unwrap();
    }
    for name in ["state.json", "hosts", "scheduler"] {
        let place = world.path("state").join(name);
        fs::rename(&place, world.path("away")).unwrap();
        match name {
            "state.json" => fs::create_dir(&place).unwrap(),
            _ => fs::write(&place, "").unwrap(),
        }
        assert_refused(&mut with_state(&world), &place, "");
        fs::rename(&place, world.path(name)).unwrap();
        fs::rename(world.path("away"), &place).unwrap();
    }
    // The scheduler's records hold nothing that anybody was promised.
    let record = world.path("state").join("scheduler/tasks/abc/abc1.json");
    fs::create_dir_all(record).unwrap();
    drop(Process::start(&mut with_state(&world)));
}

#[test]
fn a_journal_goes_through_no_link_and_into_nothing_but_a_file() {
    let world = Ground::new();
    let journal = |path: &Path| {
        let mut command = with_state(&world);
        command.arg("--journal").arg(path);
        command
    };
    let link = world.link("link", "victim");
    assert_refused(&mut journal(&link), &link, "symbolic link");
    let dangling = world.link("dangling", "nowhere");
    assert_refused(&mut journal(&dangling), &dangling, "symbolic link");
    assert!(!world.path("nowhere").exists());
    let fifo = world.fifo("fifo");
    assert_refused(&mut journal(&fifo), &fifo, "not a regular file");
    let socket = world.socket("socket");
    assert_refused(&mut journal(&socket), &socket, "");
    fs::create_dir(world.path("dir")).unwrap();
    assert_refused(&mut journal(&world.path("dir")), &world.path("dir"), "");
    // A file that holds something else, which calls would be appended to.
    for text in [
        "#!/bin/sh\n",
        "{\"event\":\"ready\"}\n",
        "\0",
        " ",
        "{\"calls\":[]}",
    ] {
        fs::write(world.path("notes"), text).unwrap();
        assert_refused(
            &mut journal(&world.path("notes")),
            &world.path("notes"),
            "not a call of a journal",
        );
        assert_eq!(fs::read_to_string(world.path("notes")).unwrap(), text);
    }
    // One that a full disk cut short is a journal.
    for text in ["", "{\"ca", "{\"call\":7", "{\"c\n"] {
        fs::write(world.path("notes"), text).unwrap();
        drop(Process::start(&mut journal(&world.path("notes"))));
    }
    world.victim_is_unharmed();
    // What is nobody's.
    drop(Process::start(&mut journal(Path::new("/dev/null"))));
}

#[test]
fn a_journal_that_another_user_put_there_is_refused() {
    if !is_root() {
        return;
    }
    let world = Ground::new();
    let theirs = world.path("theirs");
    fs::write(&theirs, "").unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o666)).unwrap();
    chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = with_state(&world);
    command.arg("--journal").arg(&theirs);
    assert_refused(&mut command, &theirs, "another user");
    assert_eq!(fs::read_to_string(theirs).unwrap(), "");
}

#[test]
fn a_journal_that_is_something_else_of_the_state_is_refused() {
    let world = Ground::new();
    let process = Process::start(&mut with_state(&world));
    assert!(process.end(rustix::process::Signal::TERM).success());
    let before = tree(&world.path("state"));
    world.link("link", "state");
    for place in [
        "state/state.json",
        "link/state.json",
        "state/../state/hosts/host-0/journal",
        "state/scheduler/journal",
        "state/snapshots",
        "state/host-0.sock",
    ] {
        let path = world.path(place);
        let mut command = with_state(&world);
        let (code, said) = refused(command.arg("--journal").arg(&path));
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("another of its files"), "{said}");
        assert_eq!(tree(&world.path("state")), before, "{place}");
    }
    let own = world.path("state/journal.jsonl");
    Process::start(with_state(&world).arg("--journal").arg(own));
}

#[test]
fn a_journal_that_another_daemon_writes_is_refused() {
    let world = Ground::new();
    let path = world.path("journal");
    let process = Process::start(with_state(&world).arg("--journal").arg(&path));
    assert_refused(serve().arg("--journal").arg(&path), &path, "running fake");
    process.kill();
    Process::start(serve().arg("--journal").arg(&path));
}

#[tokio::test]
async fn a_journal_that_is_replaced_is_still_the_one_that_was_opened() {
    let world = Ground::new();
    let path = world.path("journal");
    let builder = fake_dfdaemon::FakeDfdaemon::builder().hosts(1);
    let daemon = builder.journal(&path).start().await.unwrap();
    let client = Client::connect(daemon.endpoint()).await;
    client.stat("7").await.unwrap_err();
    fs::remove_file(&path).unwrap();
    world.link("journal", "victim");
    client.stat("8").await.unwrap_err();
    let calls = daemon.journal().calls(fake_dfdaemon::Rpc::Stat);
    assert_eq!(calls.len(), 2);
    daemon.journal().clear().unwrap();
    world.victim_is_unharmed();
}

#[test]
fn a_ready_file_replaces_a_link_and_writes_through_none() {
    let world = Ground::new();
    let link = world.link("ready", "victim");
    let mut command = with_state(&world);
    let process = Process::start(command.arg("--ready-file").arg(&link));
    world.victim_is_unharmed();
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    let ended = process.end(rustix::process::Signal::TERM);
    assert!(ended.success());
    assert!(!link.exists());
    world.victim_is_unharmed();
}

#[test]
fn a_ready_file_that_is_no_stale_one_is_left_alone() {
    let world = Ground::new();
    let path = world.path("ready");
    let mut command = with_state(&world);
    let process = Process::start(command.arg("--ready-file").arg(&path));
    let mut second = serve();
    second.arg("--ready-file").arg(&path);
    assert_refused(&mut second, &path, "a running daemon's");
    let written = fs::read(&path).unwrap();
    // Of another one that came after a clean-up, and does not lock it.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &written).unwrap();
    assert!(process.end(rustix::process::Signal::TERM).success());
    assert_eq!(fs::read(&path).unwrap(), written, "it was not its own");
    // Stale, it is gone also when the start fails.
    let mut failing = serve();
    failing.args(["--preload", "nowhere", "--ready-file"]);
    assert_eq!(refused(failing.arg(&path)).0, Some(1));
    assert!(!path.exists(), "a stale one passes for the daemon's");
    let victim = world.path("victim");
    let mut over = serve();
    over.arg("--ready-file").arg(&victim);
    assert_refused(&mut over, &victim, "not that of a ready file");
    world.victim_is_unharmed();
}

#[test]
fn a_ready_file_that_is_no_file_is_written_into_and_stays() {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::FileTypeExt as _;

    let world = Ground::new();
    let pipe = world.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    world.link("link", "pipe");
    for name in ["pipe", "link"] {
        let path = world.path(name);
        // Without a reader, and with one that comes late.
        for is_read in [false, true] {
            let mut command = with_state(&world);
            let process = Process::start(command.arg("--ready-file").arg(&path));
            if is_read {
                let mut line = String::new();
                let mut reader = BufReader::new(fs::File::open(&path).unwrap());
                reader.read_line(&mut line).unwrap();
                let read: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(read, process.ready);
            }
            assert!(process.end(rustix::process::Signal::TERM).success());
            assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
            let is_link = fs::symlink_metadata(&path).unwrap().is_symlink();
            assert_eq!(is_link, name == "link");
        }
    }
    // The system's own link to whatever is open, here a regular file.
    let link = world.link("stdout", "/proc/self/fd/1");
    let output = fs::File::create(world.path("output")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"));
    command
        .args(["run", "--hosts", "1", "--ready-file"])
        .arg(&link);
    command.args(["--", "true"]).stdout(output);
    assert!(command.status().unwrap().success());
    let said = fs::read_to_string(world.path("output")).unwrap();
    assert!(said.contains("\"event\":\"ready\""), "{said}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_socket_is_bound_over_no_link_and_no_file() {
    let world = Ground::new();
    for option in ["--socket", "--control"] {
        for place in [
            world.path("victim"),
            world.link(&format!("link{option}"), "victim"),
        ] {
            let mut command = with_state(&world);
            command.arg(option).arg(&place);
            assert_refused(&mut command, &place, "is not a socket");
            world.victim_is_unharmed();
        }
    }
}

#[tokio::test]
async fn temporary_directories_of_others_are_not_swept() {
    let world = Ground::new();
    let tmp = world.path("tmp");
    fs::create_dir_all(tmp.join("fake-dfdaemon-theirs")).unwrap();
    fs::write(tmp.join("fake-dfdaemon-theirs/state.json"), "{}").unwrap();
    fs::create_dir(world.path("mine")).unwrap();
    fs::write(world.path("mine/state.json"), "{}").unwrap();
    world.link("tmp/fake-dfdaemon-link", "mine");
    let others = is_root();
    if others {
        chown(tmp.join("fake-dfdaemon-theirs"), Some(NOBODY), None).unwrap();
    } else {
        fs::remove_dir_all(tmp.join("fake-dfdaemon-theirs")).unwrap();
    }
    let before = tree(&tmp) + &tree(&world.path("mine"));
    let left = tmp.join("fake-dfdaemon-left");
    fs::create_dir(&left).unwrap();
    fs::write(left.join(".fake-dfdaemon-temporary"), "").unwrap();
    let process = Process::start(serve().env("TMPDIR", &tmp));
    let changes = Changes::at(left.parent().unwrap());
    changes
        .until("the sweep is at work", || !left.exists())
        .await;
    assert!(process.end(rustix::process::Signal::TERM).success());
    assert_eq!(tree(&tmp) + &tree(&world.path("mine")), before);
}
