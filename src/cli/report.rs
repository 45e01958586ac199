//! The only printer: results to stdout, errors to stderr, and the exit code.
//!
//! What an outcome looks like as text or JSON lives in `text`, `table` and `json`.

mod json;
mod table;
mod text;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use json::text as path_in_json;

use crate::cli::common::Format;
use crate::cli::exit::exit_code;
use crate::client::doctor::Check;
use crate::export::{Exported, Verified};
use crate::import::Imported;
use crate::tree::{ExportedTree, ImportedTree, VerifiedTree};
use crate::types::error::{Error, ErrorKind, Interruption, Result};
use crate::types::local_task::LocalTask;
use crate::types::options::{Digest, TaskId};
use crate::types::task::Task;

/// What a command came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Imported {
        path: PathBuf,
        imported: Imported,
        /// What the user should know of it.
        warning: Option<String>,
    },
    Exported {
        task_id: TaskId,
        exported: Exported,
        digest: Option<Digest>,
    },
    ImportedTree {
        tree: ImportedTree,
        /// What the user should know of it.
        warning: Option<String>,
        /// Whether each file is shown too, where that is asked for.
        with_files: bool,
    },
    ExportedTree {
        task_id: TaskId,
        tree: ExportedTree,
        transferred: bool,
        with_files: bool,
    },
    Diagnosed(Vec<Check>),
    Stat(Task),
    Verified(Verified),
    VerifiedTree {
        task_id: TaskId,
        tree: VerifiedTree,
        with_files: bool,
    },
    Listed(Vec<LocalTask>),
    Id {
        task_id: TaskId,
        path: PathBuf,
        /// What the user should know of it.
        warning: Option<String>,
    },
    /// A text that is what it is in any format.
    Document(Vec<u8>),
}

/// Reports the result of a command, and decides the exit code.
pub(crate) fn report(result: Result<Outcome>, format: Format) -> ExitCode {
    let printed = result.and_then(|outcome| {
        if let Outcome::Imported {
            warning: Some(warning),
            ..
        }
        | Outcome::ImportedTree {
            warning: Some(warning),
            ..
        }
        | Outcome::Id {
            warning: Some(warning),
            ..
        } = &outcome
        {
            let line = text::warning(warning, coloured(&io::stderr()));
            // Nowhere is left to report a closed stderr.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
        let bytes = match format {
            Format::Text => text::outcome(&outcome),
            Format::Json => json::outcome(&outcome)?,
        };
        print(&bytes)?;
        Ok(match &outcome {
            Outcome::Diagnosed(checks) if checks.iter().any(|check| check.result.is_err()) => {
                ExitCode::from(exit_code(ErrorKind::Failure))
            }
            _ => ExitCode::SUCCESS,
        })
    });
    match printed {
        Ok(code) => code,
        Err(error) => failure(&error, format),
    }
}

/// Reports a command line that was not understood, or the help that it asked for.
pub(crate) fn command_line(error: &clap::Error, as_json: bool) -> ExitCode {
    if !error.use_stderr() {
        // Help, or the version.
        let text = rendered(error, coloured(&io::stdout()));
        return match print(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error, Format::Text),
        };
    }
    if as_json {
        let rendered = error.render().to_string();
        let paragraph = rendered.lines().take_while(|line| !line.trim().is_empty());
        let message = paragraph.map(str::trim).collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let error = Error::new(ErrorKind::Usage, message).hint("--help shows what there is");
        return failure(&error, Format::Json);
    }
    let text = rendered(error, coloured(&io::stderr()));
    // Nowhere is left to report a closed stderr.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(exit_code(ErrorKind::Usage))
}

/// What clap has to say. Left to print it, it would read the conventions of colour in its own way.
fn rendered(error: &clap::Error, coloured: bool) -> String {
    let text = error.render();
    if coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

/// Past `std::io::Stdout`: for it a write to a stdout that is open for reading alone is a success.
fn print(bytes: &[u8]) -> Result<()> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    stdout
        .and_then(|mut stdout| stdout.write_all(bytes))
        .map_err(stdout_failed)
}

/// The error of a command whose result has nowhere to go.
pub(crate) fn stdout_is_closed() -> Error {
    Error::local_file("cannot write the result to stdout")
        .because("stdout is closed")
        .hint("redirect it to /dev/null if the result is of no use")
}

fn stdout_failed(source: io::Error) -> Error {
    let kind = match source.kind() {
        io::ErrorKind::BrokenPipe => ErrorKind::Interrupted(Interruption::ReaderGone),
        _ => ErrorKind::LocalFile,
    };
    Error::new(kind, "cannot write the result to stdout").because(source)
}

fn failure(error: &Error, format: Format) -> ExitCode {
    let kind = error.kind();
    // The reader that closed the pipe knows.
    if kind != ErrorKind::Interrupted(Interruption::ReaderGone) {
        let lines = match format {
            Format::Text => text::error(error, coloured(&io::stderr())),
            Format::Json => json::error(error),
        };
        // Nowhere is left to report a closed stderr.
        let _ = io::stderr().lock().write_all(lines.as_bytes());
    }
    ExitCode::from(exit_code(kind))
}

/// Whether to colour, by the conventions of `NO_COLOR` and `CLICOLOR_FORCE`.
fn coloured(stream: &impl io::IsTerminal) -> bool {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if variable("NO_COLOR").is_some() {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    stream.is_terminal() && variable("TERM").is_none_or(|terminal| terminal != "dumb")
}

#[cfg(test)]
mod tests;
