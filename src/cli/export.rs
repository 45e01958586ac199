//! `dfcache export`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::watch;

use super::common::{Common, Format};
use super::report::{Outcome, path_in_json};
use super::{allocator, progress};
use crate::client::Client;
use crate::content::stream_failed;
use crate::export::{ExportMode, ExportRequest, OnProgress, Progress};
use crate::output::Target;
use crate::types::attempt::Attempt;
use crate::types::error::Result;
use crate::types::options::{Digest, TaskId, Timeout};

const EXAMPLES: &str = "\
Examples:
  dfcache export <ID> -O /tmp/file.txt
  dfcache export --overwrite --digest sha256:<HEX> <ID> -O /tmp/file.txt
  dfcache export <ID> -O - | tar x

In a container:
  dfcache export --transfer-from-dfdaemon <ID> -O /tmp/file.txt";

/// Export a task to a file and print the file's absolute path
///
/// By default dfdaemon makes the file: a hard link to its cache, or a copy on another file system.
/// A hard link shares its content with the cache; --transfer-from-dfdaemon makes a file of one's
/// own. After a failure the output is as it was before.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArguments {
    /// The id of the task, as import printed it
    #[arg(value_name = "ID")]
    id: TaskId,

    /// Where the file goes; - for stdout
    ///
    /// A file that exists is not replaced without --overwrite. With -, stdout gets the content
    /// itself, in order, and --transfer-from-dfdaemon is implied.
    #[arg(short = 'O', long, value_name = "OUTPUT", help_heading = "Output")]
    output: PathBuf,

    /// Replace the file if it exists
    ///
    /// The old file stays whole until the new one is, and hands on its permission bits if the
    /// content is transferred. The name is replaced: other hard links of the old file keep the
    /// old content, and a symbolic link is replaced itself, not followed. Directories, FIFOs,
    /// sockets and devices are never replaced.
    #[arg(long, help_heading = "Output", conflicts_with = "force_hard_link")]
    overwrite: bool,

    /// Digest that the content must have
    ///
    /// sha256:HEX, sha512:HEX, or crc32: and a decimal number or 8 hex digits. Checked here,
    /// whatever dfdaemon checks.
    #[arg(long, value_name = "DIGEST", help_heading = "Output")]
    digest: Option<Digest>,

    /// Check that the content gives the task's id again
    ///
    /// The id is a hash of the content, so it proves it without another digest. An id that was made
    /// from a text proves nothing: exit code 7.
    #[arg(long, help_heading = "Output")]
    verify: bool,

    /// Get the content over dfdaemon's socket
    ///
    /// dfdaemon then needs no access to the output's directory, as from within a container, and
    /// the output is a file of one's own. Otherwise dfdaemon makes the file itself.
    #[arg(long, help_heading = "Transfer")]
    transfer_from_dfdaemon: bool,

    /// Fail if the file cannot be a hard link to dfdaemon's cache
    ///
    /// Otherwise dfdaemon copies where it cannot link, as to another file system. Says nothing if
    /// the content is transferred.
    #[arg(long, help_heading = "Transfer")]
    force_hard_link: bool,

    /// Application that asks, for dfdaemon's statistics and access control
    #[arg(
        long,
        value_name = "APPLICATION",
        default_value = "",
        help_heading = "Transfer"
    )]
    application: String,

    /// Tag that the export is accounted to
    #[arg(
        long,
        value_name = "TAG",
        default_value = "",
        help_heading = "Transfer"
    )]
    tag: String,

    /// How long the whole export may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_EXPORT, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    /// Show no progress, not even on a terminal
    #[arg(long, help_heading = "Output")]
    pub(crate) no_progress: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl ExportArguments {
    /// Does what was asked.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let mut request = self.request();
        // Checked before there is a connection.
        let target = if self.to_stdout() {
            None
        } else {
            let target = Target::check(&self.output, self.overwrite)?;
            if self.common.output.format == Format::Json {
                // Said afterwards, it would be a failure that has replaced the file.
                path_in_json(target.path())?;
            }
            Some(target)
        };
        let hidden = self.no_progress || self.common.logs.on_stderr();
        if request.mode == ExportMode::ByTransfer {
            allocator::keep_for_content();
        }
        let exported = {
            let _bar = progress::wanted(!hidden).then(|| {
                let (sender, receiver) = watch::channel(Progress::default());
                request.progress = Some(OnProgress::new(move |progress| {
                    sender.send_replace(progress);
                }));
                progress::bar(receiver)
            });
            let client = Client::connect(&self.common.connection.endpoint).await?;
            let client = client.that_may_block();
            match target {
                None => client.export_to_blocking_writer(&request, stdout()?).await,
                Some(target) => client.export(&request, target).await,
            }?
        };
        Ok(Outcome::Exported {
            task_id: self.id.clone(),
            exported,
            digest: self.digest.clone(),
        })
    }

    pub(crate) fn request(&self) -> ExportRequest {
        let request = ExportRequest::new(&self.id)
            .mode(self.mode())
            .overwrite(self.overwrite)
            .verify(self.verify)
            .tag(&self.tag)
            .application(&self.application)
            .timeout(self.timeout);
        match &self.digest {
            Some(digest) => request.digest(digest.clone()),
            None => request,
        }
    }

    fn mode(&self) -> ExportMode {
        if self.to_stdout() || self.transfer_from_dfdaemon {
            ExportMode::ByTransfer
        } else if self.force_hard_link {
            ExportMode::ByHardLink
        } else {
            ExportMode::ByPath
        }
    }

    /// What fails if it does.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt::Export(self.id.clone())
    }

    pub(super) fn to_stdout(&self) -> bool {
        self.output.as_os_str() == "-"
    }

    /// What `-O -` excludes; the grammar cannot say it of a value.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        if !self.to_stdout() {
            return None;
        }
        let excluded = [
            (self.overwrite, "--overwrite"),
            (self.force_hard_link, "--force-hard-link"),
            (self.common.output.format == Format::Json, "--format json"),
        ];
        let (_, option) = excluded.into_iter().find(|(given, _)| *given)?;
        Some(option)
    }
}

/// Standard output without the line buffer of `std::io::Stdout`, which would cut pieces in two.
fn stdout() -> Result<File> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    Ok(File::from(stdout.map_err(stream_failed)?))
}
