//! Options that commands share, declared once.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, ValueHint};

use super::paths;
use crate::types::endpoint::{DEFAULT_ENDPOINT, Endpoint};
use crate::types::error::{self, Error};
use crate::types::options::PieceLength;

const DEFAULT_LOG_DIRECTORY: &str = "/var/log/dragonfly/dfcache";

/// What is wrong with `--jobs` for a single file.
pub(super) const JOBS_OF_A_TREE: &str = "the argument '--jobs <JOBS>' is the number of files of a tree at a time, and needs '--recursive'";

/// What every command that asks a daemon has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) logs: Logs,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Unix socket of dfdaemon's gRPC server
    ///
    /// A path, or unix:///path. In a container, mount the directory of the socket: the socket
    /// alone goes stale when dfdaemon restarts. DFCACHE_<COMMAND>_ENDPOINT works as well as the
    /// longer variable.
    #[arg(short, long, value_name = "ENDPOINT", default_value = DEFAULT_ENDPOINT, value_parser = endpoint_parser(), value_hint = ValueHint::FilePath)]
    pub(crate) endpoint: Endpoint,

    /// How often to try again after a failure that a retry may help
    ///
    /// Such failures have exit code 5: dfdaemon cannot be reached, the connection is lost, dfdaemon is
    /// overloaded, or no host has the content. The pauses are random and grow from 0.1s to 10s; the
    /// timeout includes them.
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "N",
        default_value_t = 0,
        value_parser = retries
    )]
    pub(crate) retries: u32,
}

fn retries(text: &str) -> Result<u32, &'static str> {
    text.parse()
        .map_err(|_| "the number of retries must be a whole number, such as 3")
}

fn log_files(text: &str) -> Result<usize, &'static str> {
    text.parse()
        .map_err(|_| "the number of log files must be a whole number, such as 6; 0 is for none")
}

/// How many files of a tree are moved at a time.
pub(super) fn jobs(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(
        |_| "the number of files at a time must be a whole number of at least 1, such as 4",
    )
}

fn endpoint_parser() -> impl clap::builder::TypedValueParser<Value = Endpoint> {
    use clap::builder::{PathBufValueParser, TypedValueParser as _};

    PathBufValueParser::new().try_map(|path| {
        let endpoint = Endpoint::new(path)?;
        paths::expanded(endpoint.path().as_os_str())?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(endpoint)
    })
}

/// How results and errors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line; a failure is the last line of stderr.
    Json,
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// How results and errors are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct Logs {
    /// How much is logged
    #[arg(
        short,
        long,
        value_name = "LOG_LEVEL",
        value_enum,
        ignore_case = true,
        default_value = "info"
    )]
    pub(crate) log_level: LogLevel,

    /// Directory of the log files
    ///
    /// Where it cannot be written, logs go to $XDG_STATE_HOME/dragonfly/dfcache (by default
    /// ~/.local/state/dragonfly/dfcache). A log that cannot be written at all fails no command.
    #[arg(long, value_name = "LOG_DIR", default_value = DEFAULT_LOG_DIRECTORY, value_parser = paths::path(), value_hint = ValueHint::DirPath)]
    pub(crate) log_dir: PathBuf,

    /// How many log files are kept, one a day; 0 for no log file
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "LOG_MAX_FILES",
        default_value_t = 6,
        value_parser = log_files
    )]
    pub(crate) log_max_files: usize,

    /// Print the log to stderr too
    #[arg(long)]
    pub(crate) verbose: bool,

    /// Print the log to stderr too: the later name of --verbose
    #[arg(long)]
    pub(crate) console: bool,
}

impl Logs {
    /// Whether stderr shows the log, and therefore no progress.
    pub(crate) fn on_stderr(&self) -> bool {
        self.verbose || self.console
    }
}

/// Options that decide the id of a task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Identity {
    /// Text to calculate the task's id from, instead of the file
    ///
    /// Without it, the id is a hash of the file's content, the piece length, the tag and the
    /// application, which takes time for large files. With it, the text alone decides the id, so each
    /// file needs a text of its own, such as a name with a version.
    #[arg(long, value_name = "CONTENT_FOR_CALCULATING_TASK_ID", value_parser = NonEmptyStringValueParser::new(), help_heading = "Task")]
    pub(crate) content_for_calculating_task_id: Option<String>,

    /// Length of pieces, at least 4mib
    ///
    /// Written for people: 4mib, 1gib. Without it, dfdaemon chooses one by the file's size.
    /// Different piece lengths make different tasks.
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "PIECE_LENGTH",
        help_heading = "Task"
    )]
    pub(crate) piece_length: Option<PieceLength>,

    /// Application that the task belongs to
    ///
    /// Different applications make different tasks of the same file.
    #[arg(long, value_name = "APPLICATION", help_heading = "Task")]
    pub(crate) application: Option<String>,

    /// Tag of the task
    ///
    /// Different tags make different tasks of the same file.
    #[arg(long, value_name = "TAG", help_heading = "Task")]
    pub(crate) tag: Option<String>,
}

/// Standard input without a buffer, which would be one copy more.
pub(super) fn stdin() -> error::Result<File> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    stdin
        .map(File::from)
        .map_err(|source| Error::local_file("cannot read standard input").because(source))
}
