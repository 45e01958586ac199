//! What the program writes about itself: completions, and manual pages.

use std::process::Command;

use testkit::program::is_manual_page;

use crate::run::sandbox::PROGRAM;

fn written(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_below_the_first_word() {
    let script = written(&["completions", "bash"]);
    let complete = r#"
        eval "$SCRIPT"
        [[ "$(complete -p fake-dfdaemon)" =~ -F\ ([^ ]+) ]] || exit 9
        COMP_WORDS=(fake-dfdaemon "$@")
        COMP_CWORD=$#
        "${BASH_REMATCH[1]}" fake-dfdaemon "${@: -1}" "${@: -2:1}"
        echo "${COMPREPLY[@]}""#;
    for (words, expected) in [
        (&["ser"][..], "serve"),
        (&["ctl", "sna"], "snapshots"),
        (&["ctl", "clock", "adv"], "advance"),
        (&["serve", "--ready"], "--ready-file"),
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
        (&[][..], "FAKE_DFDAEMON_ENDPOINTS"),
        (&["serve"], ""),
        (&["run"], "FAKE_DFDAEMON_STATE_DIR"),
        (&["ctl", "hosts", "stop"], "FAKE_DFDAEMON_CONTROL"),
    ] {
        let page = written(&[&["man"], command].concat());
        is_manual_page(command, &page, variable);
        let is_short = |heading: &str| heading.split(' ').count() < 3;
        let mut headings = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        assert!(headings.all(is_short), "{command:?}: {page}");
    }
}

#[test]
fn the_manual_pages_of_all_commands_are_written_into_a_directory() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("made/man1");
    let said = written(&["man", "--directory", directory.to_str().unwrap()]);
    assert_eq!(said, "");
    for command in ["", "-serve", "-ctl", "-ctl-hosts-stop", "-man"] {
        let page = directory.join(format!("fake-dfdaemon{command}.1"));
        assert!(std::fs::read_to_string(page).unwrap().contains(".SH NAME"));
    }
    let help = |name: &str| name.ends_with("-help.1");
    let names = std::fs::read_dir(&directory).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| help(&name)));
}

#[test]
fn a_page_of_a_command_that_does_not_exist_is_a_mistake_of_usage() {
    let mut man = Command::new(PROGRAM);
    let output = man.args(["man", "ctl", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\"ctl nothing\""), "{said}");
}
