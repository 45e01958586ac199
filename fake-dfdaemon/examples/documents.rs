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
    let mut grammar = fake_dfdaemon::program::grammar();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut grammar, "fake-dfdaemon", &mut script);
        let name = match shell {
            Shell::Zsh => "_fake-dfdaemon",
            Shell::Fish => "fake-dfdaemon.fish",
            _ => "fake-dfdaemon",
        };
        std::fs::write(directory.join(name), script)?;
    }
    // A new one: making completions has built the first one, help commands included.
    let grammar = without_help(fake_dfdaemon::program::grammar());
    clap_mangen::generate_to(grammar, &directory)?;
    Ok(())
}

/// Pages about `help` help nobody.
fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}
