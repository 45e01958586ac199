//! Bad input, enumerated: ids, paths, numbers, endpoints and outputs that cannot be.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use crate::support::command::words;
use crate::support::files::{PIECE, assert_same_bytes, names_in};
use crate::support::users::{NOBODY, can_change_users, is_root};
use crate::support::world::Directory;
use crate::support::{Dfcache, World, skipped};

const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

/// The commands that ask a daemon, with what they need besides.
const COMMANDS: [&str; 5] = [
    "import file",
    "stat 7",
    "ls",
    "export -O out 7",
    "export --transfer-from-dfdaemon -O out 7",
];

#[test]
fn an_id_that_is_none_is_usage() {
    let world = World::new();
    let not_text = OsStr::from_bytes(b"\xff\xfe");
    for id in [OsStr::new(""), not_text] {
        world.dfcache().arg("stat").arg(id).run().fails_with(2);
        for mode in MODES {
            let export = world.dfcache().args(["export", "-O", "out"]).args(mode);
            export.arg(id).run().fails_with(2);
        }
    }
    world.holds_only(&[]);
}

#[test]
fn an_id_that_looks_like_something_else_is_an_unknown_task() {
    let world = World::new();
    world.file("file", 10);
    // Nearly as long as an argument can be, in characters that the wire writes as three, and in
    // ones that are escaped on the way as well.
    let long = ["x", "%", "\""].map(|text| text.repeat(120_000));
    let ids = [
        " ",
        "7 ",
        "a b",
        "a\nb",
        "\x1b[31m",
        "\u{202e}7",
        "..",
        ".",
        "/",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "%2e%2e",
        "-1",
        "--help",
        "*",
        "$(id)",
        "'; DROP TABLE tasks",
        "\u{fc}\u{1f4a9}",
    ];
    for id in ids.into_iter().chain(long.iter().map(String::as_str)) {
        world.dfcache().args(["stat", "--", id]).run().fails_with(3);
        for mode in MODES {
            let export = world.dfcache().args(["export", "-O", "out"]).args(mode);
            let run = export.args(["--", id]).run().fails_with(3);
            assert!(!run.stderr().contains('\x1b'), "{run}");
        }
    }
    world.holds_only(&["file"]);
    assert!(!world.beside("etc").exists());
}

/// What a file can be called.
fn odd_names() -> Vec<OsString> {
    let text = [
        "two words",
        " leading and trailing ",
        "a\nline",
        "tab\there",
        "quote'\"quote",
        "-",
        "-O",
        "--help",
        "$HOME",
        "*",
        "back\\slash",
        "\u{fc}\u{1f4a9}",
        "\u{202e}txt",
    ];
    text.map(OsString::from).into()
}

#[test]
fn files_with_odd_names_go_in_and_come_out() {
    let world = World::new();
    for name in odd_names() {
        let file = world.work().join(&name);
        let content = name.as_bytes().repeat(3);
        fs::write(&file, &content).unwrap();
        let import = world.dfcache().arg("import").arg("--").arg(&file);
        let id = import.run().succeeds().line();
        let named = world.dfcache().arg("id").arg("--").arg(&file).run();
        assert_eq!(named.succeeds().line(), id);
        fs::remove_file(&file).unwrap();
        for mode in MODES {
            let export = world.dfcache().arg("export").args(mode).arg(&id);
            let run = export.arg("-O").arg(&file).run().succeeds();
            let expected = [file.as_os_str().as_bytes(), b"\n"].concat();
            assert_eq!(run.stdout_bytes(), expected, "{run}");
            assert_same_bytes(&file, &content);
            fs::remove_file(&file).unwrap();
        }
        world.holds_only(&[]);
    }
}

/// The protocol has paths as text.
#[test]
fn a_path_that_is_not_text_is_refused_by_name_or_works() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let odd = world.work().join(OsString::from_vec(b"odd\xff".to_vec()));
    fs::write(&odd, "content").unwrap();
    for command in ["import", "id"] {
        let run = world.dfcache().arg(command).arg(&odd).run();
        run.fails_with(4).says("odd").says("UTF-8");
    }
    fs::remove_file(&odd).unwrap();
    let export = |options: &[&str]| {
        let command = world.dfcache().arg("export").args(options).arg(&id);
        command.arg("-O").arg(&odd).run()
    };
    let run = export(&[]).fails_with(4);
    run.says("odd").says("--transfer-from-dfdaemon");
    let run = export(&["--transfer-from-dfdaemon"]).succeeds();
    assert_eq!(
        run.stdout_bytes(),
        [odd.as_os_str().as_bytes(), b"\n"].concat()
    );
    assert_same_bytes(&odd, &fs::read(world.path("file")).unwrap());
    // JSON cannot say where the file went, so it is not written either.
    let options = [
        "--transfer-from-dfdaemon",
        "--overwrite",
        "--format",
        "json",
    ];
    fs::write(&odd, "old").unwrap();
    let error = export(&options).fails_with(4).json_error();
    assert!(error["message"].as_str().unwrap().contains("odd"));
    assert_eq!(fs::read(&odd).unwrap(), b"old");
}

#[test]
fn paths_that_no_file_can_have_are_refused() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let long = "d/".repeat(2500);
    let name = "n".repeat(256);
    for path in ["missing", "file/below", &long, &name, "/dev/null", ".", "/"] {
        world.dfcache().args(["import", path]).run().fails_with(4);
        world.dfcache().args(["id", path]).run().fails_with(4);
    }
    for mode in MODES {
        for path in [
            "missing/out",
            "file/below",
            &long,
            &name,
            "/dev/null",
            ".",
            "..",
            "/",
            "file/",
            "/proc/out",
        ] {
            world.export(0, mode, &id, path).fails_with(4);
        }
    }
    for line in [
        vec!["import", ""],
        vec!["id", ""],
        vec!["export", "-O", "", "7"],
    ] {
        world.dfcache().args(line).run().fails_with(2);
    }
    world.holds_only(&["file"]);
}

#[test]
fn numbers_that_do_not_fit_are_usage() {
    let world = World::new();
    world.file("file", 10);
    let durations = [
        "",
        "0",
        "soon",
        "1",
        "NaN",
        "inf",
        "1e30s",
        "99999999999999999999d",
        "18446744073709551616s",
        "18446744073709551615s",
        "18446744073709551615y",
        "600000000000y",
        "1d1",
        "0x10s",
    ];
    for duration in durations {
        for line in [
            "import --ttl",
            "import --timeout",
            "stat --timeout",
            "ls --timeout",
        ] {
            let command = world.dfcache().args(words(line)).arg(duration);
            let rest = if line.starts_with("ls") { "" } else { "file" };
            let run = command.args(words(rest)).run().fails_with(2);
            run.says(words(line)[1].to_str().unwrap());
        }
    }
    let sizes = [
        "",
        "0",
        "1",
        "4194303",
        "NaN",
        "inf",
        "1e30",
        "16eib",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999gib",
        "4 mib mib",
    ];
    for size in sizes {
        let command = world
            .dfcache()
            .args(["import", "--piece-length", size, "file"]);
        command.run().fails_with(2).says("--piece-length");
    }
    for count in ["", "0", "18446744073709551616", "1.5", "two"] {
        for line in [
            "import --persistent-replica-count",
            "stat --wait-for-replicas",
        ] {
            let command = world.dfcache().args(words(line)).arg(count).arg("file");
            command.run().fails_with(2);
        }
    }
    for count in ["", "18446744073709551616", "1.5", "six"] {
        let command = world
            .dfcache()
            .args(["stat", "--log-max-files", count, "7"]);
        command.run().fails_with(2).says("--log-max-files");
    }
    // Negative ones look like options.
    for line in [
        "import --ttl -1h file",
        "import --piece-length -4mib file",
        "ls --timeout -1s",
    ] {
        world.dfcache().args(words(line)).run().fails_with(2);
    }
}

#[test]
fn the_largest_numbers_that_fit_are_taken() {
    let world = World::new();
    let file = world.file("file", 10);
    for (number, options) in [
        "--piece-length 18446744073709551614",
        "--piece-length 9223372036854775808",
        "--piece-length 15eib",
        "--persistent-replica-count 18446744073709551615",
        "--timeout 10000y",
        "--log-max-files 18446744073709551615",
        "--ttl 7d",
    ]
    .into_iter()
    .enumerate()
    {
        let tag = number.to_string();
        let command = world.dfcache().args(["import", "--tag", &tag]);
        let id = command
            .args(words(options))
            .arg(&file)
            .run()
            .succeeds()
            .line();
        world.export(0, &["--overwrite"], &id, "out").succeeds();
        world.assert_same(&file, "out");
    }
}

#[track_caller]
fn assert_unavailable(directory: &Directory, endpoint: &Path, why: &str) {
    for line in COMMANDS {
        let run = directory.dfcache().at(endpoint).args(words(line)).run();
        let run = run.fails_with(5).says(why);
        let names_it = run.stderr().contains(endpoint.to_str().unwrap());
        // Once connected, the error names what was to be done.
        let names_what = run.stderr().contains("cannot ");
        assert!(names_it || names_what, "{run}");
        assert!(run.stderr().contains("hint: "), "{run}");
    }
    directory.holds_only(&["file"]);
}

#[test]
fn an_endpoint_that_is_no_listening_socket_is_unavailable() {
    let directory = Directory::new();
    directory.file("file", 10);
    let plain = directory.beside("plain");
    fs::write(&plain, "").unwrap();
    let stale = directory.beside("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let datagram = directory.beside("datagram.sock");
    let _datagram = UnixDatagram::bind(&datagram).unwrap();
    let dangling = directory.beside("dangling.sock");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    for (endpoint, why) in [
        (plain.clone(), "not a socket"),
        (plain.join("below"), "not a socket"),
        (directory.work(), "not a socket"),
        (PathBuf::from("/dev/null"), "not a socket"),
        (directory.beside("missing.sock"), "no socket is there"),
        (dangling, "no socket is there"),
        (
            directory.beside("missing").join("x.sock"),
            "no socket is there",
        ),
        (stale, "nobody listens there"),
        (datagram, "hint: "),
    ] {
        assert_unavailable(&directory, &endpoint, why);
    }
}

#[test]
fn an_endpoint_that_cannot_be_one_is_usage() {
    let directory = Directory::new();
    let long = format!("/{}", "x".repeat(107));
    for endpoint in ["tcp://127.0.0.1:65000", "http://localhost", "unix:", &long] {
        let run = directory
            .dfcache()
            .args(["stat", "-e", endpoint, "7"])
            .run();
        run.fails_with(2).says("--endpoint");
    }
}

/// The first words of a client: HTTP/2's preface, and an empty SETTINGS frame of a server.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A server that treats each connection in its own odd way. It ends with the test binary.
fn odd_server(
    directory: &Directory,
    name: &str,
    treat: fn(UnixStream),
) -> (PathBuf, JoinHandle<()>) {
    let endpoint = directory.beside(name);
    let listener = UnixListener::bind(&endpoint).unwrap();
    let thread = std::thread::spawn(move || {
        for connection in listener.incoming().take(COMMANDS.len()) {
            treat(connection.unwrap());
        }
    });
    (endpoint, thread)
}

fn read_preface(connection: &mut UnixStream) {
    let mut preface = [0; PREFACE.len()];
    connection.read_exact(&mut preface).unwrap();
    assert_eq!(preface, PREFACE);
}

/// Reads until the client goes: a server that closes with bytes unread resets the connection.
fn drain(mut connection: UnixStream) {
    let _ = std::io::copy(&mut connection, &mut std::io::sink());
}

#[test]
fn a_server_that_is_no_dfdaemon_is_unavailable() {
    type Treatment = (&'static str, fn(UnixStream));
    let treatments: [Treatment; 7] = [
        ("hangs up at once", drop),
        ("hangs up after the preface", |mut connection| {
            read_preface(&mut connection);
        }),
        ("hangs up after its settings", |mut connection| {
            connection.write_all(SETTINGS).unwrap();
            read_preface(&mut connection);
        }),
        ("speaks HTTP/1", |mut connection| {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            let _ = connection.shutdown(std::net::Shutdown::Write);
            drain(connection);
        }),
        ("greets as a mail server", |mut connection| {
            let _ = connection.write_all(b"220 mail.example.org ESMTP\r\n");
            let _ = connection.shutdown(std::net::Shutdown::Write);
            drain(connection);
        }),
        ("sends noise after the settings", |mut connection| {
            let _ = connection.write_all(&[SETTINGS, &[0xa5; 4096]].concat());
            let _ = connection.shutdown(std::net::Shutdown::Write);
            drain(connection);
        }),
        ("echoes", |mut connection| {
            let mut copy = connection.try_clone().unwrap();
            let _ = std::io::copy(&mut connection, &mut copy);
        }),
    ];
    for (number, (what, treat)) in treatments.into_iter().enumerate() {
        let directory = Directory::new();
        directory.file("file", 10);
        let name = format!("odd-{number}.sock");
        let (endpoint, thread) = odd_server(&directory, &name, treat);
        eprintln!("a server that {what}");
        assert_unavailable(&directory, &endpoint, "cannot ");
        thread.join().unwrap();
    }
}

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
