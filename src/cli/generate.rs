//! `dfcache completions` and `dfcache man`: texts made of the grammar itself.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, grammar};
use crate::types::error::{Error, ErrorKind, Result};

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

/// Print the manual page, or that of a command
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command; dfcache itself if none is named
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl ManArguments {
    /// The page, in roff.
    pub(crate) fn page(&self) -> Result<Vec<u8>> {
        let mut grammar = grammar().disable_help_subcommand(true);
        grammar.build();
        let command = match &self.command {
            None => grammar,
            Some(name) => {
                let command = grammar.find_subcommand(name).cloned().ok_or_else(|| {
                    let message = format!("there is no command {name}");
                    Error::new(ErrorKind::Usage, message).hint("dfcache --help lists the commands")
                })?;
                let name = format!("dfcache-{name}");
                command
                    .display_name(&name)
                    .name(name)
                    .version(env!("CARGO_PKG_VERSION"))
            }
        };
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|source| {
            Error::new(ErrorKind::Failure, "cannot render the manual page").because(source)
        })?;
        Ok(page)
    }
}
