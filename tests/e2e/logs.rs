//! Logs: where they go, how many stay, and that they never fail a command.

use std::fs;
use std::path::Path;

use crate::support::World;
use crate::support::files::names_in;

#[test]
fn a_command_logs_into_the_log_directory() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let logs = world.beside("logs");
    let run = world
        .dfcache()
        .args(["stat", &id, "--log-dir"])
        .arg(&logs)
        .run();
    assert_eq!(run.succeeds().stderr(), "");
    let names = names_in(&logs);
    assert!(
        names.len() == 1 && names[0].starts_with("dfcache."),
        "{names:?}"
    );
    let log = fs::read_to_string(logs.join(&names[0])).unwrap();
    assert!(log.contains("INFO") && !log.contains('\x1b'), "{log}");
}

#[test]
fn log_level_decides_how_much() {
    let world = World::new();
    world.file("file", 10);
    let id = world.import(&world.path("file"));
    let log = |level: &str, option: &str| {
        let _ = fs::remove_file(world.path("out"));
        let command = ["export", option, level, "--verbose", "-O", "out", &id];
        world.dfcache().args(command).run().succeeds().stderr()
    };
    assert_eq!(log("error", "--log-level"), "");
    assert!(log("info", "-l").contains("INFO"));
    assert!(!log("info", "-l").contains("DEBUG"));
    assert!(log("debug", "-l").contains("DEBUG"));
    assert!(!log("warn", "-l").contains("INFO"));
    assert!(log("trace", "-l").contains("DEBUG"));
}

#[test]
fn verbose_and_console_print_the_log_to_stderr() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    for option in ["--verbose", "--console"] {
        let run = world.dfcache().args(["stat", option, &id]).run().succeeds();
        assert!(run.stderr().contains("INFO"), "{run}");
        assert!(run.stdout().starts_with("ID"), "{run}");
    }
}

/// A command that fails, with its log in that directory.
fn logged_failure(world: &World, logs: &Path) {
    let command = world.dfcache().args(["stat", "7", "--log-dir"]);
    command.arg(logs).run().fails_with(3);
}

#[test]
fn log_max_files_is_how_many_stay() {
    let world = World::new();
    let logs = world.beside("logs");
    let stat = |max: &str| {
        let command = world
            .dfcache()
            .args(["stat", "7", "--log-max-files", max, "--log-dir"]);
        command.arg(&logs).run().fails_with(3);
        names_in(&logs)
    };
    let prepare = || {
        fs::create_dir_all(&logs).unwrap();
        for day in 1..=9 {
            fs::write(logs.join(format!("dfcache.2020-01-0{day}.log")), "").unwrap();
        }
        fs::write(logs.join("notes.txt"), "mine").unwrap();
    };
    for (max, left) in [("1", 1), ("3", 3), ("6", 6)] {
        prepare();
        let names = stat(max);
        assert_eq!(names.len(), left + 1, "{names:?}");
        assert!(names.contains(&"notes.txt".to_owned()), "{names:?}");
    }
    // The default is 6.
    prepare();
    logged_failure(&world, &logs);
    assert_eq!(names_in(&logs).len(), 7);
}

#[test]
fn no_log_file_is_a_choice() {
    let world = World::new();
    let logs = world.beside("logs");
    let command = world
        .dfcache()
        .args(["stat", "7", "--log-max-files", "0", "--log-dir"]);
    command.arg(&logs).run().fails_with(3);
    assert!(!logs.exists());
}

/// Not even for root: a file is in the way.
#[test]
fn a_log_directory_that_cannot_be_fails_no_command() {
    let world = World::new();
    let file = world.file("file", 10);
    for command in [
        &["import", "file"][..],
        &["ls"],
        &["id", "--dfdaemon-version", "0.2", "file"],
    ] {
        let directory = file.join("logs");
        let mut run = world.dfcache().args(command);
        if command[0] != "id" {
            run = run.arg("--log-dir").arg(&directory);
        }
        assert_eq!(run.run().succeeds().stderr(), "");
    }
    let own = world.home().join(".local/state/dragonfly/dfcache");
    assert_eq!(names_in(&own).len(), 1);
    let state = world.beside("xdg");
    let run = world
        .dfcache()
        .env("XDG_STATE_HOME", &state)
        .args(["ls", "--log-dir", "file/logs"]);
    run.run().succeeds();
    assert_eq!(names_in(&state.join("dragonfly/dfcache")).len(), 1);
    let nowhere = world
        .dfcache()
        .env("HOME", "/dev/null")
        .args(["ls", "--log-dir", "file/logs"]);
    assert_eq!(nowhere.run().succeeds().stderr(), "");
}

#[test]
fn a_failure_is_in_the_log_too() {
    let world = World::new();
    let logs = world.beside("logs");
    logged_failure(&world, &logs);
    let log = fs::read_to_string(logs.join(&names_in(&logs)[0])).unwrap();
    assert!(
        log.contains("ERROR") && log.contains("cannot stat task 7"),
        "{log}"
    );
}

/// A day's log can be foretold by its name, and so be waited for where others may write.
#[test]
fn a_log_goes_into_nothing_that_somebody_else_prepared() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    let world = World::new();
    let logs = world.beside("logs");
    let own = world.home().join(".local/state/dragonfly/dfcache");
    let stat = || {
        let command = world.dfcache().args(["stat", "7", "--log-dir"]);
        command.arg(&logs).run().fails_with(3).does_not_say("log");
    };
    stat();
    let log = logs.join(&names_in(&logs)[0]);
    let modes = [&logs, &log].map(|path| fs::metadata(path).unwrap().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o600]);
    let victim = world.file("victim", 10);
    let before = fs::read(&victim).unwrap();
    let nowhere = world.path("nowhere");
    let fifo = |path: &std::path::Path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    };
    let prepare: [(&str, &dyn Fn()); 4] = [
        ("a link", &|| symlink(&victim, &log).unwrap()),
        ("a dangling link", &|| symlink(&nowhere, &log).unwrap()),
        ("another name of a file", &|| {
            fs::hard_link(&victim, &log).unwrap()
        }),
        ("a FIFO", &|| fifo(&log)),
    ];
    for (what, prepare) in prepare {
        let _ = fs::remove_dir_all(&own);
        fs::remove_file(&log).unwrap();
        fs::set_permissions(&logs, fs::Permissions::from_mode(0o1777)).unwrap();
        prepare();
        stat();
        assert_eq!(fs::read(&victim).unwrap(), before, "{what}");
        assert!(!nowhere.exists(), "{what}");
        assert_eq!(names_in(&own).len(), 1, "{what}: the user's own directory");
    }
}
