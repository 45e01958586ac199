//! The program `dfcache`: its command line, and what its commands do. A user of the library.
//!
//! A command is one file: its options, its help, and how it makes an outcome of them. What several
//! commands have lives in `common`; how an outcome is written, in `report`. Nothing outside this room
//! prints. All of a command runs within its deadline, on a thread that may block (`deadline`).
//!
//! Numbers, sizes and durations may begin with a hyphen, so that `--ttl -1h` is a bad TTL and no
//! unknown option `-1`.

mod allocator;
mod common;
mod deadline;
mod descriptors;
mod doctor;
mod environment;
mod exit;
mod export;
mod generate;
mod grammar;
mod id;
mod import;
mod log_lines;
mod logging;
mod ls;
mod manual;
mod offered;
mod paths;
mod progress;
mod remedy;
mod report;
mod signals;
mod stat;
mod verify;

use std::ffi::OsString;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _, Parser, Subcommand};

pub use exit::exit_code;

use common::{Common, Format, Logs};
use deadline::Bounds;
use doctor::DoctorArguments;
use export::ExportArguments;
use generate::{CompletionsArguments, ManArguments};
use id::IdArguments;
use import::ImportArguments;
use ls::LsArguments;
use report::Outcome;
use stat::StatArguments;
use verify::VerifyArguments;

use crate::client::retry::{is_retryable, retry_if};
use crate::import::Staged;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  dfcache import /tmp/file.txt
  dfcache stat <ID>
  dfcache export <ID> -O /tmp/copy.txt

Every option can be set in the environment: as DFCACHE_<COMMAND>_<OPTION>, and as
DFCACHE_<OPTION> for all commands that have it. The command line wins. Options that
several commands have may stand before the command. The last of several options of
one name wins; a flag takes =true or =false.

Exit codes: 0 done, 1 failure, 2 usage, 3 no such task, 4 a file on this side,
5 dfdaemon or content unavailable, 6 refused by dfdaemon, 7 damaged content,
8 timeout, 9 exists already, 128 + n ended by signal n.";

/// Import files into Dragonfly's P2P cache, export them again, and show their state.
///
/// dfcache talks to the dfdaemon of this host over a Unix socket. A file that was imported is a
/// task: it has an id, replicas on several hosts, and a time to live.
#[derive(Debug, Parser)]
#[command(name = "dfcache", version, after_help = EXAMPLES, disable_help_subcommand = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(Box<ImportArguments>),
    Export(Box<ExportArguments>),
    Stat(StatArguments),
    Ls(LsArguments),
    Id(IdArguments),
    Verify(Box<VerifyArguments>),
    Doctor(Box<DoctorArguments>),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

/// What cannot be done twice, of earlier runs of a command.
#[derive(Default)]
struct Earlier {
    /// How much stdout got.
    printed: Arc<AtomicU64>,
    /// What stdin gave.
    staged: Option<Staged>,
}

impl Command {
    fn common(&self) -> Option<&Common> {
        match self {
            Self::Import(arguments) => Some(&arguments.common),
            Self::Export(arguments) => Some(&arguments.common),
            Self::Stat(arguments) => Some(&arguments.common),
            Self::Ls(arguments) => Some(&arguments.common),
            Self::Verify(arguments) => Some(&arguments.common),
            Self::Doctor(arguments) => Some(&arguments.common),
            Self::Id(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }

    /// How results and errors are written.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Id(arguments) => arguments.output.format,
            command => command
                .common()
                .map_or(Format::Text, |common| common.output.format),
        }
    }

    /// Where logs go; none for commands that have nothing to log.
    pub(crate) fn logs(&self) -> Option<Logs> {
        let logs = self.common().map(|common| common.logs.clone());
        match self {
            // It finds out whether there can be a file, also where opening one hangs.
            Self::Doctor(_) => logs.map(|logs| Logs {
                log_max_files: 0,
                ..logs
            }),
            _ => logs,
        }
    }

    /// Runs the command, and retries it as often as was asked.
    async fn run(self) -> Result<Outcome> {
        let retries = self.common().map_or(0, |common| common.connection.retries);
        let again = |runs_before: u32, error: &Error| {
            // An import whose connection was lost may still go on at dfdaemon.
            let goes_on = error.kind() == ErrorKind::AlreadyExists && runs_before > 0;
            is_retryable(error) || goes_on
        };
        let mut earlier = Earlier::default();
        let run = async |runs_before| self.run_once(runs_before, &mut earlier).await;
        retry_if(retries, again, run).await
    }

    async fn run_once(&self, runs_before: u32, earlier: &mut Earlier) -> Result<Outcome> {
        match self {
            Self::Import(arguments) => {
                boxed(|| arguments.run(runs_before, &mut earlier.staged)).await
            }
            Self::Export(arguments) => boxed(|| arguments.run(&earlier.printed)).await,
            Self::Stat(arguments) => boxed(|| arguments.run()).await,
            Self::Ls(arguments) => boxed(|| arguments.run()).await,
            Self::Id(arguments) => boxed(|| arguments.run()).await,
            Self::Verify(arguments) => boxed(|| arguments.run()).await,
            Self::Doctor(arguments) => boxed(|| arguments.run()).await,
            Self::Completions(arguments) => Ok(Outcome::Document(arguments.script())),
            Self::Man(arguments) => arguments.page().map(Outcome::Document),
        }
    }

    /// Why the arguments do not go together.
    fn contradiction(&self, matches: &ArgMatches) -> Option<String> {
        match self {
            Self::Import(arguments) => arguments.contradiction(matches),
            Self::Export(arguments) => arguments.contradiction(matches),
            Self::Verify(arguments) => arguments.contradiction(matches),
            _ => None,
        }
    }

    /// How long it may take.
    fn bounds(&self) -> Option<Bounds> {
        let jobs = match self {
            Self::Import(arguments) => arguments.jobs(),
            Self::Export(arguments) => arguments.jobs(),
            Self::Verify(arguments) => arguments.jobs(),
            _ => 1,
        };
        let (attempt, timeout) = match self {
            Self::Import(arguments) => (arguments.attempt(), arguments.timeout),
            Self::Export(arguments) => (arguments.attempt(), arguments.timeout),
            Self::Stat(arguments) => (arguments.attempt(), arguments.timeout),
            Self::Ls(arguments) => (Attempt::List, arguments.timeout),
            Self::Verify(arguments) => (arguments.attempt(), arguments.timeout),
            Self::Doctor(arguments) => (Attempt::Diagnose, arguments.timeout),
            // Nothing is asked of anybody else.
            Self::Id(_) | Self::Completions(_) | Self::Man(_) => return None,
        };
        let streams = matches!(self, Self::Export(arguments) if arguments.to_stdout());
        Some(Bounds {
            attempt,
            timeout,
            jobs,
            streams,
        })
    }
}

/// A command's future, on the heap from the start. Made in a function of its own, and polled in one: in one for all
/// commands, the largest of them would have its place on the stack of each, whose pages are slow to come by.
#[inline(never)]
fn boxed<'a, F: Future<Output = Result<Outcome>> + 'a>(
    make: impl FnOnce() -> F,
) -> Pin<Box<dyn Future<Output = Result<Outcome>> + 'a>> {
    Box::pin(make())
}

/// Below it, texts beside the names of options would be columns of single words.
const COMFORTABLE_WIDTH: usize = 80;

/// The width of help, if it is known.
fn terminal_width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok();
    columns
        .and_then(|columns| columns.parse().ok())
        .or_else(|| {
            let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
            Some(usize::from(size.ws_col)).filter(|width| *width > 0)
        })
}

/// Parses arguments, the first of which is the program's name.
pub(crate) fn parse(arguments: &[OsString]) -> std::result::Result<Cli, clap::Error> {
    let arguments = grammar::command_first(arguments);
    if let Some(cli) = parse_alone(&arguments) {
        return Ok(cli);
    }
    let is_typed = |word: &str| arguments.iter().any(|argument| argument == word);
    // Long help names the variable of each option, the short one stays short.
    let short = is_typed("-h");
    let mut documented = grammar::documented(!short)
        .next_line_help(terminal_width().is_some_and(|width| width < COMFORTABLE_WIDTH));
    let mut accepting = grammar::accepting(documented.clone());
    if short || is_typed("--help") || is_typed("help") {
        accepting = grammar::with_helps(accepting, &documented, short);
    }
    let matches = accepting
        .try_get_matches_from_mut(&arguments)
        .map_err(|error| {
            let error = environment::blamed(error, &documented, &arguments);
            with_whole_usage(error, &mut documented, &arguments)
        })?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut accepting))?;
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(cli);
    };
    if let Command::Id(arguments) = &mut cli.command {
        arguments.note_source(matches);
    }
    let Some(message) = cli.command.contradiction(matches) else {
        return Ok(cli);
    };
    documented.build();
    let kind = clap::error::ErrorKind::ArgumentConflict;
    Err(match documented.find_subcommand_mut(name) {
        Some(command) => command.error(kind, message),
        None => clap::Error::raw(kind, message),
    })
}

/// Shows how the command is used, whatever is set: clap would show what was given, also by variables.
fn with_whole_usage(
    mut error: clap::Error,
    documented: &mut clap::Command,
    arguments: &[OsString],
) -> clap::Error {
    documented.build();
    let name = arguments.get(1).and_then(|name| name.to_str());
    let command = name.and_then(|name| documented.find_subcommand_mut(name));
    if let (Some(command), Some(_)) = (command, error.get(ContextKind::Usage)) {
        let usage = ContextValue::StyledStr(command.render_usage());
        error.insert(ContextKind::Usage, usage);
    }
    error
}

/// The same by the grammar of the one command that is asked for, unless anything is wrong or help is
/// wanted: a moment that counts in scripts that call `dfcache stat` a thousand times.
fn parse_alone(arguments: &[OsString]) -> Option<Cli> {
    let grammar = grammar::accepting_alone(arguments.get(1)?.to_str()?)?;
    let matches = grammar.try_get_matches_from(arguments).ok()?;
    let mut cli = Cli::from_arg_matches(&matches).ok()?;
    let (_, matches) = matches.subcommand()?;
    if let Command::Id(arguments) = &mut cli.command {
        arguments.note_source(matches);
    }
    let goes_together = cli.command.contradiction(matches).is_none();
    goes_together.then_some(cli)
}

/// Whether an option was typed, and is no default or variable.
fn is_typed(matches: &ArgMatches, option: &str) -> bool {
    matches.value_source(option) == Some(ValueSource::CommandLine)
}

/// What is wrong if two of these are given.
fn excluded(given: bool, option: &str, others: &[(bool, &str)]) -> Option<String> {
    let (_, other) = others.iter().find(|(other, _)| given && *other)?;
    Some(format!(
        "the argument '{option}' cannot be used with '{other}'"
    ))
}

/// The program `dfcache`: parses `arguments` (the first is the program's name), does what they
/// say and reports it. Nothing is done if stdout was not open when the process began: its result
/// would be lost.
pub fn run(arguments: impl IntoIterator<Item = OsString>, stdout_is_open: bool) -> ExitCode {
    allocator::share_heap();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let [_, command, words @ ..] = &*arguments
        && command == offered::COMMAND
    {
        let ids = Outcome::Document(offered::ids(words));
        return report::report(Ok(ids), Format::Text);
    }
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() || stdout_is_open => {
            return report::command_line(&error, wants_json(&arguments));
        }
        Err(_) => return report::report(Err(report::stdout_is_closed()), Format::Text),
    };
    let command = cli.command;
    let format = command.format();
    if !stdout_is_open {
        return report::report(Err(report::stdout_is_closed()), format);
    }
    let bounds = command.bounds();
    let operation = async move || {
        if let Some(logs) = command.logs() {
            logging::start(&logs);
        }
        command.run().await
    };
    deadline::run(bounds, operation, move |result| {
        report::report(result, format)
    })
}

/// What [`run`] would say of a command line instead of doing what it says: why it is refused, or
/// the help or version that it asks for.
///
/// # Errors
///
/// That text.
pub fn check_command_line(arguments: &[OsString]) -> std::result::Result<(), String> {
    parse(arguments).map_or_else(|error| Err(error.to_string()), |_| Ok(()))
}

/// Whether JSON was asked for by a command line that cannot be parsed. What was typed last
/// decides, and the variable if nothing was.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    let end = arguments.iter().position(|argument| argument == "--");
    let options = &arguments[..end.unwrap_or(arguments.len())];
    let mut typed = options.iter().enumerate().filter_map(|(at, argument)| {
        if argument == "--format" {
            return options.get(at + 1)?.to_str();
        }
        argument.to_str()?.strip_prefix("--format=")
    });
    if let Some(format) = typed.next_back() {
        return format == "json";
    }
    let arguments = grammar::command_first(arguments);
    let command = arguments.get(1).and_then(|command| command.to_str());
    let variable = command.and_then(|command| environment::value(command, "format"));
    variable.is_some_and(|format| format == "json")
}

#[cfg(test)]
mod tests;
