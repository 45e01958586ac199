//! `dfcache verify`: its options. How a file is held against an id is in `export/verify`, and how a
//! directory is held against a tree in `tree/verify`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgMatches, Args};
use tokio::sync::watch;

use super::common::{Common, Format, JOBS_OF_A_TREE, jobs, stdin};
use super::report::{Outcome, path_in_json};
use super::{excluded, is_typed, progress};
use crate::client::Client;
use crate::export::Progress;
use crate::tree::{DEFAULT_JOBS, VerifyTree};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::options::{TaskId, Timeout};

const EXAMPLES: &str = "\
Examples:
  dfcache verify <ID> /tmp/file.txt
  dfcache verify --format json <ID> /tmp/file.txt
  zstd -dc file.txt.zst | dfcache verify <ID> -
  dfcache verify --recursive <ID> /tmp/model";

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

    /// The file to check, or the directory with --recursive; - for standard input
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Check a directory against what import --recursive imported
    ///
    /// Every file must have the length and the SHA-256 that the manifest has of it, and every directory
    /// and link must be there, and nothing else. Permissions are not compared. If the directory
    /// differs, the exit code is 7, and the error names up to 20 differences.
    #[arg(long, help_heading = "Tree")]
    recursive: bool,

    /// How many files of a tree are read at a time
    #[arg(long, allow_hyphen_values = true, value_name = "JOBS", default_value_t = DEFAULT_JOBS, value_parser = jobs, help_heading = "Tree")]
    jobs: NonZeroUsize,

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
        if self.recursive {
            return self.run_tree().await;
        }
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

    async fn run_tree(&self) -> Result<Outcome> {
        if self.common.output.format == Format::Json {
            path_in_json(&self.path)?;
        }
        let tree = VerifyTree::new(&self.id).jobs(self.jobs);
        let hidden = self.no_progress || self.common.logs.on_stderr();
        let (bar, tree) = match progress::tree(!hidden) {
            Some((bar, report)) => (Some(bar), tree.on_progress(report)),
            None => (None, tree),
        };
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let tree = client.verify_tree(&tree, &self.path).await?;
        if let Some(bar) = bar {
            let files = progress::files(tree.summary.file_count);
            bar.done(&files, tree.summary.content_length, true);
        }
        Ok(Outcome::VerifiedTree {
            task_id: self.id.clone(),
            tree,
            with_files: self.common.logs.verbose,
        })
    }

    /// Why the arguments do not go together.
    pub(super) fn contradiction(&self, matches: &ArgMatches) -> Option<String> {
        if !self.recursive && is_typed(matches, "jobs") {
            return Some(JOBS_OF_A_TREE.to_owned());
        }
        excluded(self.is_stdin(), "-", &[(self.recursive, "--recursive")])
    }

    /// How many files may be read at a time.
    pub(super) fn jobs(&self) -> usize {
        if self.recursive { self.jobs.get() } else { 1 }
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
