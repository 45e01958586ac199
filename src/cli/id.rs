//! `dfcache id`: the id that an import would get, without a daemon.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};

use super::common::{Identity, Output};
use super::report::Outcome;
use crate::import::{ImportRequest, TaskIdScheme, task_id};
use crate::types::error::Result;

const EXAMPLES: &str = "\
Examples:
  dfcache id /tmp/file.txt
  dfcache id --dfdaemon-version 1.5 --tag nightly /tmp/file.txt
  dfcache stat $(dfcache id /tmp/file.txt)";

/// The same file has another id with other releases, and the id does not show which it is of.
const ASSUMED: &str = "this is the id of dfdaemon 0.2 to 1.0.14 (CRC-32); 1.0.15 and later have \
                       another one (SHA-256): name the release with --dfdaemon-version or \
                       DFCACHE_ID_DFDAEMON_VERSION";

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

    /// Whether the release is the default one, which nobody named.
    #[arg(skip)]
    pub(super) is_assumed: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

impl IdArguments {
    /// Runs the command.
    pub(super) async fn run(&self) -> Result<Outcome> {
        // The same checks as before an import, since it asks what an import would come to.
        let task_id = task_id(self.request(), self.dfdaemon_version.scheme()).await?;
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let warning = self.is_assumed.then(|| ASSUMED.to_owned());
        Ok(Outcome::Id {
            task_id,
            path,
            warning,
        })
    }

    /// Notes whether the release was named.
    pub(super) fn note_source(&mut self, matches: &ArgMatches) {
        let source = matches.value_source("dfdaemon_version");
        self.is_assumed = source == Some(ValueSource::DefaultValue);
    }

    fn request(&self) -> ImportRequest {
        let identity = self.identity.clone();
        ImportRequest {
            content_for_calculating_task_id: identity.content_for_calculating_task_id,
            tag: identity.tag,
            application: identity.application,
            piece_length: identity.piece_length,
            ..ImportRequest::new(&self.path)
        }
    }
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
    pub(crate) fn scheme(self) -> TaskIdScheme {
        match self {
            Self::V0_2 => TaskIdScheme::Crc32,
            Self::V1_5 => TaskIdScheme::Sha256,
        }
    }
}
