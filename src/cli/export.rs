//! `dfcache export`: its options and help, and the requests that they make. The export itself is in `export` and `tree`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{ArgMatches, Args, ValueHint};
use tokio::sync::watch;

use super::common::{Common, Format, JOBS_OF_A_TREE, jobs};
use super::report::{Outcome, path_in_json};
use super::{allocator, excluded, is_typed, paths, progress};
use crate::client::Client;
use crate::content::stream_failed;
use crate::export::{ExportMode, ExportRequest, OnProgress, Progress};
use crate::output::{PrivateTree, Target};
use crate::tree::{DEFAULT_JOBS, ExportTree};
use crate::types::attempt::Attempt;
use crate::types::error::Result;
use crate::types::options::{Digest, StallTimeout, TaskId, Timeout};
use crate::types::remedy::Remedy;

const EXAMPLES: &str = "\
Examples:
  dfcache export <ID> -O /tmp/file.txt
  dfcache export --overwrite --digest sha256:<HEX> <ID> -O /tmp/file.txt
  dfcache export <ID> -O - | tar x

In a container:
  dfcache export --transfer-from-dfdaemon <ID> -O /tmp/file.txt
  dfcache export --recursive <ID> -O /tmp/model";

/// Export a task to a file and print the file's absolute path
///
/// By default dfdaemon makes the file: a hard link to its cache, or a copy on another file system.
/// A hard link shares its content with the cache; a file made with --transfer-from-dfdaemon does not.
/// If the export fails, the output stays as it was before.
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
    #[arg(short = 'O', long, value_name = "OUTPUT", value_parser = paths::path(), value_hint = ValueHint::FilePath, help_heading = "Output")]
    output: PathBuf,

    /// Replace the file if it exists
    ///
    /// The old file stays until the new one is complete. A file that is transferred gets the
    /// permission bits of the old one. Only the name is replaced: other hard links of the old file keep
    /// the old content, and a symbolic link is replaced, not followed. Directories, FIFOs, sockets and
    /// devices are never replaced.
    #[arg(long, help_heading = "Output")]
    overwrite: bool,

    /// Digest that the content must have
    ///
    /// sha256:HEX, sha512:HEX, or crc32: and a decimal number or 8 hex digits. dfcache
    /// checks it itself, whatever dfdaemon checks.
    #[arg(long, value_name = "DIGEST", value_parser = digest, help_heading = "Output")]
    digest: Option<Digest>,

    /// Check that the content gives the task's id again
    ///
    /// The id is a hash of the content, so it proves it without another digest. An id that was made
    /// from a text proves nothing: exit code 7.
    #[arg(long, help_heading = "Output")]
    verify: bool,

    /// Get the content over dfdaemon's socket
    ///
    /// dfdaemon then needs no access to the output's directory, for example from a container, and the
    /// output shares nothing with the cache. Otherwise dfdaemon makes the file itself.
    #[arg(long, help_heading = "Transfer")]
    transfer_from_dfdaemon: bool,

    /// Fail if the file cannot be a hard link to dfdaemon's cache
    ///
    /// Otherwise dfdaemon copies where it cannot link, for example to another file system. Ignored if
    /// the content is transferred.
    #[arg(long, help_heading = "Transfer")]
    force_hard_link: bool,

    /// Export a directory that import --recursive imported
    ///
    /// The output is a directory that does not exist yet. It appears when it is complete, or not at
    /// all. Every transferred file, and with --verify every file, is checked against the SHA-256 in the
    /// manifest.
    #[arg(long, help_heading = "Tree")]
    recursive: bool,

    /// How many files of a tree are exported at a time
    #[arg(long, allow_hyphen_values = true, value_name = "JOBS", default_value_t = DEFAULT_JOBS, value_parser = jobs, help_heading = "Tree")]
    jobs: NonZeroUsize,

    /// Application that asks, for dfdaemon's statistics and access control
    #[arg(
        long,
        value_name = "APPLICATION",
        default_value = "",
        help_heading = "Transfer"
    )]
    application: String,

    /// Tag of the export, for dfdaemon's statistics and access control
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

    /// How long dfdaemon may send nothing; 0s for ever
    ///
    /// If no byte and no piece comes for this long, the exit code is 8.
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = StallTimeout::DEFAULT, help_heading = "Connection")]
    stall_timeout: StallTimeout,

    /// Show no progress, not even on a terminal
    #[arg(long, help_heading = "Output")]
    pub(crate) no_progress: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

fn digest(raw: &str) -> std::result::Result<Digest, String> {
    let shown = "write sha256:HEX, sha512:HEX or crc32:NUMBER, such as crc32:3421780262";
    raw.parse().map_err(|error| format!("{error}; {shown}"))
}

impl ExportArguments {
    /// Runs the command.
    ///
    /// `printed` counts what stdout got in earlier runs, which it is not to get again.
    pub(super) async fn run(&self, printed: &Arc<AtomicU64>) -> Result<Outcome> {
        if self.recursive {
            return self.run_tree().await;
        }
        let exported = self.run_file(printed).await;
        exported.map_err(|error| {
            if self.force_hard_link && error.remedy() == Some(&Remedy::Overwrite) {
                return error.hint("name another file: a hard link replaces nothing");
            }
            error
        })
    }

    async fn run_file(&self, printed: &Arc<AtomicU64>) -> Result<Outcome> {
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
        let hides_content = self.to_stdout() && io::stdout().is_terminal();
        let hidden = self.no_progress || self.common.logs.on_stderr() || hides_content;
        if request.mode == ExportMode::ByTransfer {
            allocator::retain_freed_buffers();
        }
        let name = match &target {
            Some(target) => progress::name(target.path()),
            None => format!("task {}", self.id),
        };
        let exported = {
            let bar = progress::wanted(!hidden).then(|| {
                let (sender, receiver) = watch::channel(Progress::default());
                request.progress = Some(OnProgress::new(move |progress| {
                    sender.send_replace(progress);
                }));
                progress::bar(name.clone(), receiver)
            });
            let client = Client::connect(&self.common.connection.endpoint).await?;
            let client = client.writing_inline();
            let exported = match target {
                None => {
                    let writer = Stdout::after(printed)?;
                    client.export_to_blocking_writer(&request, writer).await
                }
                Some(target) => client.export(&request, target).await,
            }?;
            if let Some(bar) = bar {
                bar.done(&name, exported.content_length, exported.transferred);
            }
            exported
        };
        Ok(Outcome::Exported {
            task_id: self.id.clone(),
            exported,
            digest: self.digest.clone(),
        })
    }

    async fn run_tree(&self) -> Result<Outcome> {
        let mode = self.mode();
        let target = PrivateTree::check(&self.output)?;
        if self.common.output.format == Format::Json {
            path_in_json(target.path())?;
        }
        let tree = ExportTree::new(self.request()).jobs(self.jobs);
        let hidden = self.no_progress || self.common.logs.on_stderr();
        let (bar, tree) = match progress::tree(!hidden) {
            Some((bar, report)) => (Some(bar), tree.on_progress(report)),
            None => (None, tree),
        };
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let exported = client.export_tree_to(&tree, target).await;
        let tree = exported.map_err(|error| error.within(self.attempt()))?;
        let transferred = mode == ExportMode::ByTransfer;
        if let Some(bar) = bar {
            let files = progress::files(tree.summary.file_count);
            bar.done(&files, tree.summary.content_length, transferred);
        }
        Ok(Outcome::ExportedTree {
            task_id: self.id.clone(),
            tree,
            transferred,
            with_files: self.common.logs.verbose,
        })
    }

    /// How many files may be on their way at a time.
    pub(super) fn jobs(&self) -> usize {
        if self.recursive { self.jobs.get() } else { 1 }
    }

    pub(crate) fn request(&self) -> ExportRequest {
        let request = ExportRequest::new(&self.id)
            .mode(self.mode())
            .overwrite(self.overwrite)
            .verify(self.verify)
            .stall_timeout(self.stall_timeout.duration().unwrap_or_default())
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

    /// Why the arguments do not go together.
    pub(super) fn contradiction(&self, matches: &ArgMatches) -> Option<String> {
        if !self.recursive && is_typed(matches, "jobs") {
            return Some(JOBS_OF_A_TREE.to_owned());
        }
        let overwrite = (self.overwrite, "--overwrite");
        let recursive = (self.recursive, "--recursive");
        let force_hard_link = (self.force_hard_link, "--force-hard-link");
        let digest = (self.digest.is_some(), "--digest <DIGEST>");
        let is_json = self.common.output.format == Format::Json;
        let json = (is_json, "--format json");
        let of_stdout = [overwrite, recursive, force_hard_link, json];
        excluded(self.to_stdout(), "--output -", &of_stdout)
            .or_else(|| excluded(self.overwrite, "--overwrite", &[force_hard_link]))
            .or_else(|| excluded(self.recursive, "--recursive", &[overwrite, digest]))
    }
}

/// Standard output without the line buffer of `std::io::Stdout`, which would cut pieces in two.
#[derive(Debug)]
struct Stdout {
    file: File,
    /// What it got in earlier runs, and is to come once more.
    repeated: u64,
    printed: Arc<AtomicU64>,
}

impl Stdout {
    fn after(printed: &Arc<AtomicU64>) -> Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        Ok(Self {
            file: File::from(stdout.map_err(stream_failed)?),
            repeated: printed.load(Ordering::SeqCst),
            printed: Arc::clone(printed),
        })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.repeated > 0 {
            let repeated =
                usize::try_from(self.repeated).map_or(bytes.len(), |n| n.min(bytes.len()));
            self.repeated -= repeated as u64;
            return Ok(repeated);
        }
        let written = self.file.write(bytes)?;
        self.printed.fetch_add(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
