//! `dfcache verify`: its options. How a file is held against an id is in `export/verify`.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::watch;

use super::common::{Common, Format, stdin};
use super::progress;
use super::report::{Outcome, path_in_json};
use crate::client::Client;
use crate::export::Progress;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::options::{TaskId, Timeout};

const EXAMPLES: &str = "\
Examples:
  dfcache verify <ID> /tmp/file.txt
  dfcache verify --format json <ID> /tmp/file.txt
  zstd -dc file.txt.zst | dfcache verify <ID> -";

/// Check that a file is the content that a task's id was made from
///
/// The id is a hash of the content, tag, application and piece length. dfcache asks dfdaemon for the
/// last three and reads the file itself. If the content differs, the exit code is 7. It is 7 too for
/// an id that was made from a text, which says nothing about the content. An id of dfdaemon up to
/// 1.0.14 is a CRC-32, which finds damage, but no forgery.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArguments {
    /// The id of the task, as import printed it
    #[arg(value_name = "ID")]
    id: TaskId,

    /// The file to check; - for standard input
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// How long the whole check may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_EXPORT, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    /// Show no progress, not even on a terminal
    #[arg(long, help_heading = "Output")]
    no_progress: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl VerifyArguments {
    /// Runs the command.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let path = self.shown_path()?;
        if self.common.output.format == Format::Json {
            path_in_json(&path)?;
        }
        let hidden = self.no_progress || self.common.logs.on_stderr();
        let name = progress::name(&path);
        let (bar, progress) = progress::wanted(!hidden)
            .then(|| {
                let (sender, receiver) = watch::channel(Progress::default());
                (progress::bar(name.clone(), receiver), sender)
            })
            .unzip();
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let verified = if self.is_stdin() {
            let verified = client.verify_reader_with_progress(&self.id, stdin()?, progress);
            verified.await?
        } else {
            let verified = client.verify_with_progress(&self.id, &path, progress);
            verified.await?
        };
        if let Some(bar) = bar {
            bar.done(&name, verified.task.content_length, true);
        }
        Ok(Outcome::Verified(verified))
    }

    fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    fn shown_path(&self) -> Result<PathBuf> {
        if self.is_stdin() {
            return Ok(self.path.clone());
        }
        std::path::absolute(&self.path).map_err(|source| {
            Error::local_file(format!("cannot read {}", self.path.display())).because(source)
        })
    }

    /// What fails if it does.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt::Verify(self.id.clone())
    }
}
