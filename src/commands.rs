//! The commands: from what was typed to what is reported.
//!
//! Each makes a request of its arguments, runs it within its deadline, and returns an outcome.
//! What is done lives in `import`, `export` and `client`, how it is written in `report`.

mod export;
mod id;
mod import;
mod ls;
mod stat;

use crate::cli::Command;
use crate::error::Result;
use crate::report::Outcome;

/// Runs a command.
pub(crate) fn run(command: Command) -> Result<Outcome> {
    match command {
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Stat(arguments) => stat::run(&arguments),
        Command::Ls(arguments) => ls::run(&arguments),
        Command::Id(arguments) => id::run(&arguments),
        Command::Completions(arguments) => Ok(Outcome::Document(arguments.script())),
        Command::Man(arguments) => arguments.page().map(Outcome::Document),
    }
}
