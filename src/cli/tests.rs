use super::*;
use crate::export::ExportMode;

fn arguments(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn parsed(line: &str) -> Command {
    parse(&arguments(line)).unwrap().command
}

fn refused(line: &str) -> String {
    let error = parse(&arguments(line)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn the_grammar_is_sound() {
    grammar::documented(true).debug_assert();
    grammar::accepting(grammar::documented(true)).debug_assert();
}

#[test]
fn every_option_has_a_variable_of_its_command() {
    let grammar = grammar::documented(true);
    let mut count = 0;
    for command in grammar.get_subcommands() {
        let prefix = format!("DFCACHE_{}_", command.get_name().to_uppercase());
        let options = command.get_arguments().filter(|argument| {
            argument.get_long().is_some()
                && !["help", "version"].contains(&argument.get_id().as_str())
        });
        for option in options {
            let variable = option.get_env().unwrap().to_str().unwrap();
            assert!(variable.starts_with(&prefix), "{variable}");
            count += 1;
        }
    }
    assert!(count > 30, "{count} options");
}

#[test]
fn the_examples_of_the_reference_document_parse() {
    for line in [
        "dfcache import /tmp/file.txt",
        "dfcache import --persistent-replica-count 3 --ttl 2h /tmp/file.txt",
        "dfcache import --content-for-calculating-task-id file.txt /tmp/file.txt",
        "dfcache export 7 -O /tmp/file.txt",
        "dfcache export --transfer-from-dfdaemon 7 -O /tmp/file.txt",
        "dfcache stat 7",
        "dfcache stat -e unix:///run/dfdaemon.sock -l debug --log-dir /tmp --log-max-files 2 --verbose 7",
    ] {
        parsed(line);
    }
}

#[test]
fn contradictions_are_refused() {
    for line in [
        "dfcache export 7 -O x stray",
        "dfcache export 7",
        "dfcache export --overwrite --force-hard-link 7 -O x",
        "dfcache export --overwrite 7 -O -",
        "dfcache export --force-hard-link 7 -O -",
        "dfcache export --format json 7 -O -",
        "dfcache import --persistent-replica-count 0 x",
        "dfcache import --piece-length 4095kib x",
        "dfcache import --ttl 59s x",
        "dfcache import --timeout 0s x",
        "dfcache export --digest md5:00 7 -O x",
        "dfcache stat -e http://127.0.0.1:65000 7",
        "dfcache import",
        "dfcache import x y",
        "dfcache import --overwrite x",
        "dfcache import -O y x",
        "dfcache stat",
        "dfcache stat 1 2",
    ] {
        refused(line);
    }
    for line in [
        "dfcache import --ttl -1h x",
        "dfcache import --persistent-replica-count -1 x",
        "dfcache import --piece-length -4mib x",
        "dfcache import --log-max-files -1 x",
        "dfcache export --timeout -1s 7 -O x",
        "dfcache stat --timeout -1s 7",
        "dfcache stat --wait-for-replicas -1 7",
        "dfcache ls --timeout -1s",
    ] {
        let option = line.split(' ').find(|word| word.starts_with("--")).unwrap();
        assert!(refused(line).contains(&format!("'{option} <")), "{line}");
    }
    assert!(refused("dfcache exprot 7 -O x").contains("'export'"));
    assert!(refused("dfcache export --outptu x 7").contains("'--output'"));
}

#[test]
fn odd_values_are_refused_by_the_options_name() {
    let durations = &[
        "",
        "0",
        "0s",
        "-1s",
        "30",
        "soon",
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
    ][..];
    let counts = &["", "0", "-1", "1.5", "two", "18446744073709551616"][..];
    for (options, values) in [
        (
            "import --ttl, import --timeout, export --timeout, stat --timeout, ls --timeout",
            durations,
        ),
        ("import --ttl", &["59s", "59999ms", "7d 1s", "8d"]),
        (
            "import --piece-length",
            &[
                "",
                "0",
                "1",
                "4194303",
                "4mb",
                "1kib",
                "NaN",
                "inf",
                "1e30",
                "16eib",
                "18446744073709551615",
                "18446744073709551616",
                "99999999999999999999gib",
                "4 mib mib",
            ],
        ),
        (
            "import --persistent-replica-count, stat --wait-for-replicas",
            counts,
        ),
        (
            "import --log-max-files",
            &["", "-1", "1.5", "many", "18446744073709551616"],
        ),
        ("import --log-level", &["", "loud", "INFORMATION"]),
        ("import --format", &["", "yaml"]),
        (
            "import --endpoint",
            &["", "tcp://127.0.0.1:1", "http://localhost"],
        ),
        ("import --content-for-calculating-task-id", &[""]),
        (
            "export --digest",
            &[
                "",
                "nonsense",
                "sha256",
                "sha256:",
                "sha256:12",
                "sha256:xyz",
                "md5:12",
                "crc32:",
                "crc32:xyz",
                "sha1:00",
            ],
        ),
    ] {
        for (option, value) in options
            .split(", ")
            .flat_map(|it| values.iter().map(move |v| (it, v)))
        {
            let (command, option) = option.split_once(' ').unwrap();
            let typed = format!("{option}={value}");
            let error = parse(&["dfcache", command, &typed].map(OsString::from)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{typed}");
            assert!(error.to_string().contains(option), "{typed}: {error}");
        }
    }
}

/// Whatever the option takes: the error names it and the value, and shows a right one in plain words.
#[test]
fn a_wrong_value_is_refused_beside_a_right_one() {
    use clap::error::ErrorKind::{InvalidValue, ValueValidation};

    let shows = [
        "such as",
        "possible values",
        "true|false",
        "at least",
        "at most",
        "a value is required",
    ];
    let grammar = grammar::documented(false);
    let mut count = 0;
    for command in grammar.get_subcommands() {
        for long in command.get_arguments().filter_map(clap::Arg::get_long) {
            for value in ["x", "", "-1", "5", "1.5.5", "5 parsecs", "99999999999999d"] {
                let typed = format!("--{long}={value}");
                let line = ["dfcache", command.get_name(), &typed].map(OsString::from);
                let error = match parse(&line) {
                    Err(error) if [InvalidValue, ValueValidation].contains(&error.kind()) => error,
                    _ => continue,
                };
                let text = error.to_string();
                assert!(
                    text.contains(&format!("--{long}")) && text.contains(value),
                    "{text}"
                );
                assert!(shows.iter().any(|shown| text.contains(shown)), "{text}");
                let of_parsers = ["invalid digit", "expected ", " at 0", "u64"];
                assert!(!of_parsers.iter().any(|it| text.contains(it)), "{text}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count} values were refused");
}

#[test]
fn the_last_of_several_options_wins_and_a_flag_can_be_taken_back() {
    let Command::Import(import) = parsed(
        "dfcache import --ttl 2h --tag a --no-progress --ttl=3h --recursive --recursive=false --tag b x",
    ) else {
        panic!();
    };
    let request = import.request();
    assert_eq!(request.ttl, crate::types::options::Ttl::from_hours(3));
    assert_eq!(request.tag.as_deref(), Some("b"));
    assert!(import.no_progress);
    assert_eq!(import.jobs(), 1);
    let is_on = |value: &str| match parsed(&format!("dfcache ls --verbose={value}")) {
        Command::Ls(ls) => ls.common.logs.verbose,
        _ => panic!(),
    };
    assert_eq!(["true", "1", "yes", "on"].map(is_on), [true; 4]);
    assert_eq!(["false", "0", "no", "off"].map(is_on), [false; 4]);
    assert!(refused("dfcache ls --verbose=maybe").contains("--verbose"));
    // An argument that follows is no value of it.
    assert!(refused("dfcache ls --verbose false").contains("'false'"));
    // What is taken back contradicts nothing.
    parsed("dfcache export --overwrite=false --force-hard-link 7 -O x");
    parsed("dfcache export --overwrite --overwrite=false --recursive 7 -O x");
}

#[test]
fn what_commands_share_may_stand_before_the_command() {
    for line in [
        "dfcache -e /s ls",
        "dfcache -e/s ls",
        "dfcache --endpoint=/s ls",
        "dfcache -e /x ls -e /s",
        "dfcache --verbose -l debug -e /s --timeout 3s ls",
        "dfcache --verbose=false --endpoint /s ls --verbose",
    ] {
        let Command::Ls(ls) = parsed(line) else {
            panic!();
        };
        assert_eq!(ls.common.connection.endpoint.path(), "/s", "{line}");
        assert_eq!(ls.common.logs.verbose, line.contains("verbose"), "{line}");
    }
    // Its value may be the name of a command.
    assert!(matches!(
        parsed("dfcache -e import --tag ls export 7 -O x"),
        Command::Export(_)
    ));
    assert!(refused("dfcache -e /s man").contains("'-e'"));
    assert!(refused("dfcache --bogus -e /s ls").contains("'--bogus'"));
    assert!(refused("dfcache -e /s --bogus ls").contains("'--bogus'"));
    assert!(refused("dfcache -e /s lss").contains("'ls'"));
    refused("dfcache -e /s");
    refused("dfcache -e");
    assert!(wants_json(&arguments("dfcache --format json ls --bogus")));
}

#[test]
fn jobs_without_a_tree_are_refused_unless_a_variable_sets_them() {
    for line in [
        "import --jobs 2 x",
        "export --jobs 2 7 -O x",
        "--jobs 2 import x",
    ] {
        let why = refused(&format!("dfcache {line}"));
        assert!(why.contains("needs '--recursive'"), "{why}");
    }
    parsed("dfcache import --jobs 2 --recursive x");
}

#[test]
fn a_home_directory_that_the_shell_did_not_expand_is_refused() {
    for line in [
        "ls --log-dir=~/x",
        "-e ~/s ls",
        "--endpoint=unix://~/s ls",
        "export --output=~/x 7",
        "import --staging-dir=~/x y",
        "doctor --staging-dir=~/x",
        "man --directory=~/x",
    ] {
        let why = refused(&format!("dfcache {line}"));
        assert!(why.contains("write $HOME/"), "{line}: {why}");
    }
}

#[test]
fn near_values_are_suggested_and_others_shown_how() {
    for (line, tip) in [
        ("ls --format jsn", "'json'"),
        ("ls -l wran", "'warn'"),
        ("id --dfdaemon-version 1.4 x", "'1.5'"),
        ("man exprot", "'export'"),
        ("completions bsah", "'bash'"),
        ("import --ttl 90 x", "1h30m"),
        ("import --ttl soon x", "2d"),
        ("import --piece-length 4,5mib x", "1.5gib"),
        ("import --recursive --jobs 0 x", "at least 1"),
        ("export --recursive --jobs -1 7 -O x", "at least 1"),
        ("stat --retries many 7", "such as 3"),
        ("export --digest sha25:00 7 -O x", "sha256:"),
    ] {
        let why = refused(&format!("dfcache {line}"));
        assert!(why.contains(tip), "{line}: {why}");
    }
}

#[test]
fn a_dash_is_stdout_and_a_path_may_look_like_one() {
    let Command::Export(export) = parsed("dfcache export 7 -O -") else {
        panic!();
    };
    assert!(export.to_stdout());
    assert_eq!(export.request().mode, ExportMode::ByTransfer);
    let Command::Export(export) = parsed("dfcache export 7 -O ./- --transfer-from-dfdaemon") else {
        panic!();
    };
    assert!(!export.to_stdout());
    assert_eq!(export.request().mode, ExportMode::ByTransfer);
}

#[test]
fn json_is_known_to_be_wanted_before_anything_is_parsed() {
    assert!(wants_json(&arguments("dfcache stat --format json --bogus")));
    assert!(wants_json(&arguments("dfcache --format=json")));
    assert!(!wants_json(&arguments("dfcache import json --format text")));
    assert!(!wants_json(&arguments(
        "dfcache ls --format=json --format text"
    )));
    assert!(wants_json(&arguments(
        "dfcache ls --format=text --format json"
    )));
    assert!(!wants_json(&arguments("dfcache import -- --format json")));
}

#[test]
fn help_names_the_limits_that_are_checked() {
    let help = |line: &str| parse(&arguments(line)).unwrap_err().to_string();
    let long = help("dfcache import --help");
    for limit in [
        "from 1m to 7d",
        "at least 4mib",
        "at least 1",
        "DFCACHE_IMPORT_TTL",
    ] {
        assert!(long.contains(limit), "{limit}");
    }
    assert!(!help("dfcache import -h").contains("DFCACHE_IMPORT_TTL"));
}

/// It is on the heap: whatever passes it on would have a copy of it on its stack.
#[test]
fn the_future_of_a_command_is_small() {
    let run = parsed("dfcache stat 7").run();
    let size = size_of_val(&run);
    assert!(size < 2048, "{size}");
}
