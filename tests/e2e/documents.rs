//! What dfcache writes about itself: completions, and manual pages.

use std::path::Path;
use std::process::Command;

use fake_dfdaemon::{Fault, Rpc};
use testkit::program;

use crate::support::World;
use crate::support::command::DFCACHE;

fn written(arguments: &[&str]) -> String {
    program::written(Path::new(DFCACHE), arguments)
}

fn bash_completes(words: &[&str]) -> String {
    program::bash_completes(Path::new(DFCACHE), words)
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (words, expected) in [
        (&["exp"][..], "export"),
        (&["-e", "/s", "exp"], "export"),
        (&["--for"], "--format"),
        (&["export", "--transfer"], "--transfer-from-dfdaemon"),
        (&["stat", "--format", "js"], "json"),
        (&["completions", "fi"], "fish"),
    ] {
        assert_eq!(bash_completes(words), expected, "{words:?}");
    }
}

#[test]
fn ids_are_offered_of_the_daemon_that_the_line_names() {
    let world = World::new();
    let endpoint = world.endpoint(0);
    let endpoint = endpoint.to_str().unwrap();
    let id = world.import(&world.file("file", 10));
    let start = &id[..2];
    for words in [
        &["stat", "-e", endpoint, start][..],
        &["stat", "-e", endpoint, ""],
        &["-e", endpoint, "verify", ""],
        &[
            "export",
            "--overwrite",
            "--endpoint",
            "=",
            endpoint,
            "-O",
            "out",
            "",
        ],
    ] {
        assert_eq!(bash_completes(words), id, "{words:?}");
    }
    for words in [
        &["stat", "-e", endpoint, "no such id"][..],
        &["stat", "-e", endpoint, "-"],
        &["stat", "-e", endpoint, "--timeout", ""],
        &["verify", "-e", endpoint, &id, ""],
        &["ls", "-e", endpoint, ""],
        // Nobody listens there.
        &["stat", "-e", "/nowhere.sock", ""],
    ] {
        assert!(!bash_completes(words).contains(&id), "{words:?}");
    }
    // Nothing is said, and nothing waits, if the daemon hangs.
    let _fault = world.daemon().fault(Fault::on(Rpc::List).stall());
    assert_eq!(written(&["__ids", "stat", "-e", endpoint]), "");
}

#[test]
fn scripts_of_other_shells_ask_for_ids_too() {
    for (shell, count) in [("zsh", 4), ("fish", 1)] {
        let script = written(&["completions", shell]);
        let asks = if shell == "zsh" {
            "_dfcache_ids"
        } else {
            "dfcache __ids"
        };
        assert_eq!(script.matches(asks).count(), count, "{shell}");
    }
}

#[test]
fn a_manual_page_has_the_sections_that_people_look_for() {
    for (command, variable) in [
        (&[][..], "DFCACHE_ENDPOINT"),
        (&["import"], "DFCACHE_IMPORT_TTL"),
        (&["export"], "DFCACHE_EXPORT_OUTPUT"),
        (&["stat"], "DFCACHE_STAT_TIMEOUT"),
        (&["ls"], "DFCACHE_LS_TIMEOUT"),
    ] {
        let page = written(&[&["man"], command].concat());
        program::is_manual_page(command, &page, variable);
    }
}

#[test]
fn the_manual_pages_of_all_commands_are_written_into_a_directory() {
    let commands = ["", "-import", "-export", "-stat", "-ls", "-id", "-man"];
    program::writes_manual_pages(Path::new(DFCACHE), &commands);
}

#[test]
fn a_directory_that_takes_no_manual_pages_is_named() {
    let mut man = Command::new(DFCACHE);
    let output = man.args(["man", "--directory", "/proc/none"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/proc/none"), "{said}");
}
