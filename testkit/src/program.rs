//! What tests of both programs ask: of the machine that they run on, and of what a program writes about itself.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Set where CI runs on a machine that cannot do all that tests need.
const MAY_SKIP: &str = "DFCACHE_TEST_MAY_SKIP";

/// Says that the test of this thread, or part of it, cannot run here; past the harness, which would swallow it.
/// In CI nobody reads that, so there it is a failure unless it was allowed.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    assert!(
        !is_set("CI") || is_set(MAY_SKIP),
        "skipped in CI: {why}; {MAY_SKIP}=1 lets tests be skipped"
    );
}

/// Checks that a manual page has the sections that people look for, and describes a variable.
pub fn is_manual_page(command: &[&str], page: &str, variable: &str) {
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
    assert!(environment.contains(variable), "{command:?}: {page}");
}

/// What a program writes of itself.
pub fn written(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash completes the last of the words behind a program's name with.
pub fn bash_completes(program: &Path, words: &[&str]) -> String {
    let complete = r#"
        eval "$SCRIPT"
        [[ "$(complete -p $NAME)" =~ -F\ ([^ ]+) ]] || exit 9
        COMP_WORDS=($NAME "$@")
        COMP_CWORD=$#
        "${BASH_REMATCH[1]}" $NAME "${@: -1}" "${@: -2:1}"
        echo "${COMPREPLY[@]}""#;
    let programs = program.parent().unwrap().display();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", complete, "bash"]).args(words);
    bash.env("PATH", format!("{programs}:/usr/bin:/bin"));
    bash.env("NAME", program.file_name().unwrap());
    bash.env("SCRIPT", written(program, &["completions", "bash"]));
    let output = bash.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    let completed = String::from_utf8(output.stdout).unwrap();
    completed.trim().to_owned()
}

/// Checks that a program writes the manual pages of these commands into a directory, which is made, and none of `help`.
pub fn writes_manual_pages(program: &Path, commands: &[&str]) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("made/man1");
    let said = written(
        program,
        &["man", "--directory", directory.to_str().unwrap()],
    );
    assert_eq!(said, "");
    let name = program.file_name().unwrap().display();
    for command in commands {
        let page = directory.join(format!("{name}{command}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(".SH NAME"), "{command}: {page}");
    }
    for page in std::fs::read_dir(&directory).unwrap() {
        let page = page.unwrap().file_name().into_string().unwrap();
        assert!(!page.ends_with("-help.1"), "{page}");
    }
}
