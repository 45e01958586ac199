//! The commands: from what was typed to what is reported.
//!
//! Each makes a request of its arguments, runs it, and returns an outcome. All of it runs within
//! the command's deadline, on a thread that may block: `operation` sees to both.
//! What is done lives in `import`, `export` and `client`, how it is written in `report`.

mod export;
mod id;
mod import;
mod ls;
mod stat;

use crate::cli::Command;
use crate::cli::deadline::Bounds;
use crate::cli::report::Outcome;
use crate::error::Result;

/// Runs a command.
pub(crate) async fn run(command: Command) -> Result<Outcome> {
    match command {
        Command::Import(arguments) => import::run(&arguments).await,
        Command::Export(arguments) => export::run(&arguments).await,
        Command::Stat(arguments) => stat::run(&arguments).await,
        Command::Ls(arguments) => ls::run(&arguments).await,
        Command::Id(arguments) => id::run(&arguments).await,
        Command::Completions(arguments) => Ok(Outcome::Document(arguments.script())),
        Command::Man(arguments) => arguments.page().map(Outcome::Document),
    }
}

/// How long a command may take.
pub(crate) fn bounds(command: &Command) -> Bounds {
    let (failure, timeout) = match command {
        Command::Import(arguments) => (arguments.failure(), Some(arguments.timeout)),
        Command::Export(arguments) => (arguments.failure(), Some(arguments.timeout)),
        Command::Stat(arguments) => (
            format!("cannot stat task {}", arguments.id),
            Some(arguments.timeout),
        ),
        Command::Ls(arguments) => (
            "cannot list the tasks of this host".to_owned(),
            Some(arguments.timeout),
        ),
        // Nothing is asked of anybody else.
        Command::Id(_) | Command::Completions(_) | Command::Man(_) => (String::new(), None),
    };
    Bounds { failure, timeout }
}
