//! What shells complete, by the scripts that packages carry.

use std::process::Command;

use clap_complete::Shell;

#[path = "../../examples/documents.rs"]
#[allow(dead_code, unreachable_pub)]
mod documents;

#[test]
fn bash_completes_below_the_first_word() {
    let script = documents::completions(Shell::Bash).unwrap();
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
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", complete, "bash"]).args(words);
        let output = bash.env("SCRIPT", &script).output().unwrap();
        let completed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(completed.trim(), expected, "{words:?}");
    }
}
