//! What a task's id depends on besides the file, and `dfcache id`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use dfdaemon_api::task_id::Scheme;

use super::common::Output;
use crate::options::PieceLength;

/// Options that decide the id of a task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Identity {
    /// Text to calculate the task's id from, instead of the file
    ///
    /// Without it, the id is a hash of the file's content, the piece length, the tag and the
    /// application, which takes time for large files. With it, the text alone decides: it must be
    /// as unique as the file is, as a file name may be.
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

const EXAMPLES: &str = "\
Examples:
  dfcache id /tmp/file.txt
  dfcache id --dfdaemon-version 1.5 --tag nightly /tmp/file.txt
  dfcache stat $(dfcache id /tmp/file.txt)";

/// Print the id that an import of a file would get
///
/// Calculated here, without asking a dfdaemon: the file is read as it is now. Give it the options
/// that the import gets.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IdArguments {
    /// The file to import
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    #[command(flatten)]
    pub(crate) identity: Identity,

    /// Release of the dfdaemon that would import it
    #[arg(
        long,
        value_name = "VERSION",
        value_enum,
        default_value_t,
        help_heading = "Task"
    )]
    pub(crate) dfdaemon_version: DfdaemonVersion,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// A release of dfdaemon, for how it calculates ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DfdaemonVersion {
    /// 0.2.28 to 1.0.14: a CRC-32 in decimal.
    #[default]
    #[value(name = "0.2")]
    V0_2,
    /// 1.0.15 and later: a SHA-256 in hex.
    #[value(name = "1.5")]
    V1_5,
}

impl DfdaemonVersion {
    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::V0_2 => Scheme::Crc32,
            Self::V1_5 => Scheme::Sha256,
        }
    }
}
