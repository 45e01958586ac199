//! What people read: help, tables and errors, as they are.

use crate::support::command::words;
use crate::support::{Run, World};

macro_rules! assert_wording {
    ($run:expr, @$expected:literal) => {{
        let run: Run = $run;
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]"),
            (r"\bin \d+[hms]( \d+[ms])*", "in [DURATION]"),
            (r"peer \S+ not found", "peer [PEER] not found"),
        ]}, {
            insta::assert_snapshot!(run.snapshot(), @$expected);
        });
    }};
}

#[test]
fn version_names_the_program() {
    let world = World::new();
    for option in ["--version", "-V"] {
        let run = world.dfcache().arg(option).run().succeeds();
        assert_eq!(run.line(), format!("dfcache {}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn help_has_three_names_and_goes_to_stdout() {
    let world = World::new();
    let help = |line: &str| {
        let run = world.dfcache().args(words(line)).run().succeeds();
        assert!(run.stderr().is_empty(), "{run}");
        run.stdout()
    };
    assert_eq!(help("help"), help("--help"));
    for command in ["import", "export", "stat", "ls", "id", "verify", "doctor"] {
        assert_eq!(
            help(&format!("help {command}")),
            help(&format!("{command} --help"))
        );
        let short = help(&format!("{command} -h"));
        assert!(short.len() < help(&format!("{command} --help")).len());
        assert!(help("help").contains(command));
    }
}

/// Every option of the reference document with its default.
#[test]
fn the_help_has_every_documented_option_with_its_default() {
    let world = World::new();
    let common = [
        (
            "-e, --endpoint <ENDPOINT>",
            "/var/run/dragonfly/dfdaemon.sock",
        ),
        ("-l, --log-level <LOG_LEVEL>", "info"),
        ("--log-dir <LOG_DIR>", "/var/log/dragonfly/dfcache"),
        ("--log-max-files <LOG_MAX_FILES>", "6"),
        ("--verbose", ""),
        ("-h, --help", ""),
    ];
    let import = [
        (
            "--content-for-calculating-task-id <CONTENT_FOR_CALCULATING_TASK_ID>",
            "",
        ),
        ("--persistent-replica-count <PERSISTENT_REPLICA_COUNT>", "2"),
        ("--piece-length <PIECE_LENGTH>", ""),
        ("--application <APPLICATION>", ""),
        ("--tag <TAG>", ""),
        ("--ttl <TTL>", "1h"),
        ("--timeout <TIMEOUT>", "30m"),
    ];
    let export = [
        ("--transfer-from-dfdaemon", ""),
        ("--force-hard-link", ""),
        ("--application <APPLICATION>", "\"\""),
        ("--tag <TAG>", "\"\""),
        ("-O, --output <OUTPUT>", ""),
        ("--timeout <TIMEOUT>", "2h"),
        ("--overwrite", ""),
    ];
    for (command, own) in [("import", &import[..]), ("export", &export), ("stat", &[])] {
        let help = world
            .dfcache()
            .args([command, "--help"])
            .run()
            .succeeds()
            .stdout();
        for (option, default) in own.iter().chain(&common) {
            let (_, below) = help
                .split_once(option)
                .unwrap_or_else(|| panic!("{command} --help lacks {option}"));
            let entry = below
                .split("\n  -")
                .next()
                .unwrap()
                .split("\n      --")
                .next()
                .unwrap();
            let has = entry.contains(&format!("[default: {default}]"));
            assert!(default.is_empty() || has, "{command} {option}: {entry}");
        }
    }
}

#[test]
fn no_line_of_help_is_wrapped_into_rags() {
    let world = World::new();
    for line in [
        "--help",
        "import --help",
        "export --help",
        "stat --help",
        "ls --help",
        "id --help",
        "verify --help",
        "doctor --help",
    ] {
        let help = world.dfcache().args(words(line)).run().succeeds().stdout();
        let rag = help
            .lines()
            .map(str::trim_start)
            // An example is a line of its own.
            .filter(|line| !line.starts_with("dfcache "))
            .find(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.len() < 12);
        assert_eq!(rag, None, "dfcache {line}");
    }
}

#[test]
fn a_task_is_a_table() {
    let world = World::new();
    let file = world.file("file", 5_000_000);
    let id = world.import_with(&["--tag", "nightly", "--ttl", "90m"], &file);
    world.settle();
    assert_wording!(world.dfcache().args(["stat", &id]).run(), @"
    exit code: 0
    --- stdout
    ID              359316671
    STATE           Succeeded
    PERSISTENT      2 of 2 replicas, 2 wanted
    TAG             nightly
    APPLICATION     -
    CONTENT LENGTH  4.8 MiB (5000000 B)
    PIECE LENGTH    4.0 MiB (4194304 B)
    PIECES          2
    TTL             1h 30m
    CREATED         [TIME]
    UPDATED         [TIME]
    EXPIRES         [TIME] (in [DURATION])
    ");
}

#[test]
fn tasks_of_a_host_are_a_table() {
    let world = World::new();
    world.import(&world.file("file", 5_000_000));
    world.import(&world.file("other", 0));
    assert_wording!(world.dfcache().arg("ls").run(), @"
    exit code: 0
    --- stdout
    ID             SIZE  KIND        STATE     EXPIRES
    2712911205      0 B  persistent  complete  in [DURATION]
    4055280388  4.8 MiB  persistent  complete  in [DURATION]
    ");
}

#[test]
fn a_missing_file_to_import() {
    let world = World::new();
    assert_wording!(world.dfcache().args(["import", "missing"]).run(), @"
    exit code: 4
    --- stderr
    error: cannot import missing
    caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn a_directory_to_import() {
    let world = World::new();
    assert_wording!(world.dfcache().args(["import", "."]).run(), @"
    exit code: 4
    --- stderr
    error: cannot import .
    caused by: it is a directory
    hint: --recursive imports a directory with all of its files
    ");
}

#[test]
fn a_task_that_exists() {
    let world = World::new();
    world.import(&world.file("file", 10));
    assert_wording!(world.dfcache().args(["import", "file"]).run(), @"
    exit code: 9
    --- stderr
    error: cannot import [DIR]/file
    caused by: persistent cache task 3116048757 is Succeeded cannot upload
    hint: use --skip-existing to accept an existing task
    ");
}

#[test]
fn a_task_that_does_not_exist() {
    let world = World::new();
    assert_wording!(world.dfcache().args(["stat", "7"]).run(), @"
    exit code: 3
    --- stderr
    error: cannot stat task 7
    caused by: persistent cache task 7 not found
    hint: check the id; the task may have expired
    ");
    assert_wording!(world.export(0, &[], "7", "out"), @"
    exit code: 3
    --- stderr
    error: cannot export task 7
    caused by: persistent cache task 7 not found
    hint: check the id; the task may have expired
    ");
}

#[test]
fn an_output_that_exists() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    assert_wording!(world.export(0, &[], &id, "file"), @"
    exit code: 4
    --- stderr
    error: file exists already
    hint: --overwrite replaces it
    ");
}

#[test]
fn an_output_in_no_directory() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    assert_wording!(world.export(0, &[], &id, "no/out"), @"
    exit code: 4
    --- stderr
    error: cannot write no/out
    caused by: No such file or directory (os error 2)
    hint: create the directory [DIR]/no
    ");
}

#[test]
fn content_with_another_digest() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    assert_wording!(world.export(0, &["--digest", "crc32:1"], &id, "out"), @"
    exit code: 7
    --- stderr
    error: cannot export task 3116048757
    caused by: the content's digest is crc32:3021742015, not crc32:1
    ");
    for (mode, output) in [("--transfer-from-dfdaemon", "out"), ("--no-progress", "-")] {
        let run = world.export(0, &[mode, "--digest", "crc32:1"], &id, output);
        run.exits_with(7).says("the content's digest is");
    }
    world.holds_only(&["file"]);
}

#[test]
fn content_that_no_host_holds() {
    let world = World::new();
    let file = world.file("file", 10);
    let id = world.import_with(&["--persistent-replica-count", "1"], &file);
    world.on_daemon(async |host| host.stop().await, 0);
    assert_wording!(world.export(1, &[], &id, "out"), @"
    exit code: 5
    --- stderr
    error: cannot export task 3116048757
    caused by: peer [PEER] not found
    hint: no host holds the whole content now; try again later, or import it again
    ");
}

#[test]
fn no_daemon() {
    let world = World::new();
    let command = world.at(&world.path("no.sock"));
    assert_wording!(command.args(["stat", "7"]).run(), @"
    exit code: 5
    --- stderr
    error: cannot connect to dfdaemon at [DIR]/no.sock
    caused by: No such file or directory (os error 2)
    hint: no socket is there: start dfdaemon, or name its socket with --endpoint or DFCACHE_ENDPOINT
    ");
}

#[test]
fn a_ttl_beyond_the_limits() {
    let world = World::new();
    let command = world.dfcache().args(["import", "--ttl", "8d", "file"]);
    assert_wording!(command.run(), @"
    exit code: 2
    --- stderr
    error: invalid value '8d' for '--ttl <TTL>': a ttl must be at least 1m and at most 7d

    For more information, try '--help'.
    ");
}

#[test]
fn a_limit_of_the_daemon() {
    let world = World::with(|builder| builder.max_ttl(std::time::Duration::from_secs(7200)));
    world.file("file", 10);
    let command = world.dfcache().args(["import", "--ttl", "3h", "file"]);
    assert_wording!(command.run(), @"
    exit code: 6
    --- stderr
    error: cannot import [DIR]/file
    caused by: invalid UploadPersistentCacheTaskStartedRequest.Ttl: value must be inside range [1m0s, 2h0m0s]
    hint: this dfdaemon takes a --ttl from 1m0s to 2h0m0s
    ");
}

#[test]
fn a_blocked_tag() {
    let world = World::with(|builder| {
        let builder = builder.block("import:tag=secret".parse().unwrap());
        builder.block("export:application=rogue".parse().unwrap())
    });
    let id = world.import(&world.file("file", 10));
    let command = world.dfcache().args(["import", "--tag", "secret", "file"]);
    assert_wording!(command.run(), @"
    exit code: 6
    --- stderr
    error: cannot import [DIR]/file
    caused by: upload rejected by blocklist policy
    ");
    assert_wording!(world.export(0, &["--application", "rogue"], &id, "out"), @"
    exit code: 6
    --- stderr
    error: cannot export task 3116048757
    caused by: download blocked by block list
    ");
    world.holds_only(&["file"]);
}

#[test]
fn options_that_exclude_each_other() {
    let world = World::new();
    let line = "export --overwrite --force-hard-link -O out 7";
    assert_wording!(world.dfcache().args(words(line)).run(), @"
    exit code: 2
    --- stderr
    error: the argument '--overwrite' cannot be used with '--force-hard-link'

    Usage: dfcache export [OPTIONS] --output <OUTPUT> <ID>

    For more information, try '--help'.
    ");
    let line = "export --overwrite -O - 7";
    assert_wording!(world.dfcache().args(words(line)).run(), @"
    exit code: 2
    --- stderr
    error: the argument '--output -' cannot be used with '--overwrite'

    Usage: dfcache export [OPTIONS] --output <OUTPUT> <ID>

    For more information, try '--help'.
    ");
}
