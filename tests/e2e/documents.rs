//! What dfcache writes about itself: completions, and manual pages.

use std::process::Command;

use crate::support::command::DFCACHE;

fn written(arguments: &[&str]) -> String {
    let output = Command::new(DFCACHE).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = written(&["completions", "bash"]);
    let complete = r#"
        eval "$SCRIPT"
        [[ "$(complete -p dfcache)" =~ -F\ ([^ ]+) ]] || exit 9
        COMP_WORDS=(dfcache "$@")
        COMP_CWORD=$#
        "${BASH_REMATCH[1]}" dfcache "${@: -1}" "${@: -2:1}"
        echo "${COMPREPLY[@]}""#;
    for (words, expected) in [
        (&["exp"][..], "export"),
        (&["export", "--transfer"], "--transfer-from-dfdaemon"),
        (&["stat", "--format", "js"], "json"),
        (&["completions", "fi"], "fish"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", complete, "bash"]).args(words);
        let output = bash.env("SCRIPT", &script).output().unwrap();
        let completed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(completed.trim(), expected, "{words:?}");
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
        for section in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "EXAMPLES",
            "\"EXIT STATUS\"",
            "FILES",
        ] {
            assert!(
                page.lines().any(|line| line == format!(".SH {section}")),
                "{command:?} has no {section}: {page}"
            );
        }
        let environment = page.split(".SH ENVIRONMENT").nth(1).unwrap_or_default();
        let variable = variable.to_owned();
        assert!(environment.contains(&variable), "{command:?}: {page}");
    }
}

#[test]
fn the_manual_pages_of_all_commands_are_written_into_a_directory() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("made/man1");
    let said = written(&["man", "--directory", directory.to_str().unwrap()]);
    assert_eq!(said, "");
    for command in ["", "-import", "-export", "-stat", "-ls", "-id", "-man"] {
        let page = directory.join(format!("dfcache{command}.1"));
        assert!(std::fs::read_to_string(page).unwrap().contains(".SH NAME"));
    }
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
