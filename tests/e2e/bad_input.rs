//! Bad input, enumerated: ids, paths and numbers that cannot be.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::support::World;
use crate::support::command::words;
use crate::support::files::assert_same_bytes;

pub(crate) const MODES: [&[&str]; 2] = [&[], &["--transfer-from-dfdaemon"]];

/// The commands that ask a daemon, with what they need besides.
pub(crate) const COMMANDS: [&str; 5] = [
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
        "0",
        "-",
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
            let run = export.args(["--", id]).run().fails_with(3).says("hint:");
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
        // Not alone: `-` is stdin.
        let named = Path::new(".").join(&name);
        let import = world.dfcache().arg("import").arg("--").arg(&named);
        let id = import.run().succeeds().line();
        let named = world.dfcache().arg("id").arg("--").arg(&named).run();
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
        run.fails_with(4).says("odd").says("UTF-8").says("hint:");
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
fn the_usage_shows_the_whole_command_whatever_variables_are_set() {
    let world = World::new();
    let missing = world.dfcache().args(["export", "7"]).run().fails_with(2);
    missing.says("Usage: dfcache export [OPTIONS] --output <OUTPUT> <ID>\n");
    let unknown = world.dfcache().args(["stat", "--formt", "json"]).run();
    unknown
        .fails_with(2)
        .says("Usage: dfcache stat [OPTIONS] <ID>\n");
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
