//! What the program writes about itself: completions, and manual pages.

use std::path::Path;
use std::process::Command;

use testkit::program;

use crate::run::sandbox::PROGRAM;

#[test]
fn bash_completes_below_the_first_word() {
    for (words, expected) in [
        (&["ser"][..], "serve"),
        (&["ctl", "sna"], "snapshots"),
        (&["ctl", "clock", "adv"], "advance"),
        (&["serve", "--ready"], "--ready-file"),
        (&["completions", "fi"], "fish"),
    ] {
        let completed = program::bash_completes(Path::new(PROGRAM), words);
        assert_eq!(completed, expected, "{words:?}");
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
        let page = program::written(Path::new(PROGRAM), &[&["man"], command].concat());
        program::is_manual_page(command, &page, variable);
        let is_short = |heading: &str| heading.split(' ').count() < 3;
        let mut headings = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        assert!(headings.all(is_short), "{command:?}: {page}");
    }
}

#[test]
fn the_manual_pages_of_all_commands_are_written_into_a_directory() {
    let commands = ["", "-serve", "-ctl", "-ctl-hosts-stop", "-man"];
    program::writes_manual_pages(Path::new(PROGRAM), &commands);
}

#[test]
fn a_page_of_a_command_that_does_not_exist_is_a_mistake_of_usage() {
    let mut man = Command::new(PROGRAM);
    let output = man.args(["man", "ctl", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\"ctl nothing\""), "{said}");
}
