//! `dfcache completions` and `dfcache man`: texts made of the grammar itself.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, CommandFactory as _, ValueHint};
use clap_complete::Shell;

use super::{Cli, grammar, manual, paths};
use crate::types::error::{Error, ErrorKind, Result};

/// The commands that have a page.
const COMMANDS: [&str; 9] = [
    "import",
    "export",
    "stat",
    "ls",
    "id",
    "verify",
    "doctor",
    "completions",
    "man",
];

/// Print the completions of a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl CompletionsArguments {
    /// The script for the shell.
    pub(crate) fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "dfcache", &mut script);
        script
    }
}

/// Print the manual page, or that of a command; or write them all
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command; dfcache itself if none is named
    #[arg(value_name = "COMMAND", value_parser = COMMANDS, hide_possible_values = true, conflicts_with = "directory")]
    command: Option<String>,

    /// Write the pages of all commands into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR", value_parser = paths::path(), value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

impl ManArguments {
    /// The page, in roff; nothing where all are written.
    pub(crate) fn page(&self) -> Result<Vec<u8>> {
        let mut grammar = grammar::documented(true).disable_help_subcommand(true);
        grammar.build();
        if let Some(directory) = &self.directory {
            let failed = |source: io::Error| {
                let message = format!("cannot write manual pages to {}", directory.display());
                Error::new(ErrorKind::LocalFile, message).because(source)
            };
            write_all(&grammar, directory).map_err(failed)?;
            return Ok(Vec::new());
        }
        let page = match &self.command {
            None => manual::page(&grammar, "dfcache"),
            Some(name) => {
                let command = grammar.find_subcommand(name).ok_or_else(|| {
                    Error::new(ErrorKind::Usage, format!("there is no command {name}"))
                })?;
                manual::page(command, &format!("dfcache-{name}"))
            }
        };
        page.map_err(|source| {
            Error::new(ErrorKind::Failure, "cannot render the manual page").because(source)
        })
    }
}

fn write_all(grammar: &clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let write = |command, name: &str| {
        let page = manual::page(command, name)?;
        fs::write(directory.join(format!("{name}.1")), page)
    };
    write(grammar, "dfcache")?;
    grammar
        .get_subcommands()
        .try_for_each(|command| write(command, &format!("dfcache-{}", command.get_name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let grammar = Cli::command();
        let commands: Vec<_> = grammar
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(commands, COMMANDS);
    }
}
