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
    grammar().debug_assert();
}

#[test]
fn every_option_has_a_variable_of_its_command() {
    let grammar = grammar();
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
