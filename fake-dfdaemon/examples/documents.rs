//! Writes the manual pages and completions that packages carry into a directory.
//!
//! An example and not a command: users of the fake get them with their package.

use std::error::Error;
use std::path::PathBuf;

use clap_complete::Shell;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1);
    let directory = PathBuf::from(directory.ok_or("name the directory to write to")?);
    std::fs::create_dir_all(&directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = completions(shell)?;
        let name = match shell {
            Shell::Zsh => "_fake-dfdaemon",
            Shell::Fish => "fake-dfdaemon.fish",
            _ => "fake-dfdaemon",
        };
        std::fs::write(directory.join(name), script)?;
    }
    let grammar = without_help(fake_dfdaemon::program::grammar());
    clap_mangen::generate_to(grammar, &directory)?;
    Ok(())
}

/// What a shell completes the program's command lines by.
pub fn completions(shell: Shell) -> Result<String, std::string::FromUtf8Error> {
    let mut grammar = fake_dfdaemon::program::grammar();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut grammar, "fake-dfdaemon", &mut script);
    let script = String::from_utf8(script)?;
    Ok(match shell {
        // clap_complete takes the hyphen in the name for one word's end where it looks a word up,
        // and not where it goes on from it: below the first word nothing would be found.
        Shell::Bash => script.replace("fake__subcmd__dfdaemon", "fake__dfdaemon"),
        _ => script,
    })
}

/// Pages about `help` help nobody.
fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}
