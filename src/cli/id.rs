//! `dfcache id`: the id that an import would get, without a daemon.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dfdaemon_api::task_id::{Parameters, Scheme};

use super::common::{Identity, Output};
use super::report::Outcome;
use crate::content::thread::{finished, on_thread};
use crate::import::{ImportRequest, file_id};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::options::PieceLength;

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

impl IdArguments {
    /// Does what was asked.
    pub(super) async fn run(&self) -> Result<Outcome> {
        // The same checks as before an import, since it asks what an import would come to.
        let import = ImportRequest::new(&self.path).checked();
        let attempt = Attempt::CalculateId(self.path.clone());
        let import = import.map_err(|error| error.within(attempt))?;
        let scheme = self.dfdaemon_version.scheme();
        let identity = self.identity.clone();
        let task_id = match &identity.content_for_calculating_task_id {
            Some(content) => scheme.of_content(content),
            None => {
                let (path, named) = (import.path().to_owned(), self.path.clone());
                let hashed = on_thread("id", move || {
                    let parameters = Parameters {
                        tag: identity.tag.as_deref(),
                        application: identity.application.as_deref(),
                        piece_length: identity.piece_length.map(PieceLength::bytes),
                    };
                    file_id(&path, scheme, parameters).map_err(|source| {
                        Error::local_file(format!("cannot read {}", named.display()))
                            .because(source)
                    })
                })?;
                // A signal is heard meanwhile.
                finished(hashed).await?
            }
        };
        Ok(Outcome::Id {
            task_id,
            path: import.path().to_owned(),
        })
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
    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::V0_2 => Scheme::Crc32,
            Self::V1_5 => Scheme::Sha256,
        }
    }
}
