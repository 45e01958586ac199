//! `dfcache import`: its options and help, and the requests that they make. The import itself is in `import` and `tree`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgMatches, Args, ValueHint};
use humantime::format_duration;

use super::common::{Common, Format, Identity, JOBS_OF_A_TREE, jobs, stdin};
use super::report::{Outcome, path_in_json};
use super::{excluded, is_typed, paths, progress};
use crate::client::Client;
use crate::import::{ImportRequest, Imported, Staged};
use crate::tree::{DEFAULT_JOBS, ExpiresEarly, ImportTree};
use crate::types::attempt::Attempt;
use crate::types::error::Result;
use crate::types::options::{ReplicaCount, Timeout, Ttl};

const EXAMPLES: &str = "\
Examples:
  dfcache import /tmp/file.txt
  dfcache import --persistent-replica-count 3 --ttl 2h /tmp/file.txt
  dfcache import --content-for-calculating-task-id release-1.2/file.txt \\
      /tmp/file.txt
  id=$(dfcache import --skip-existing /tmp/file.txt)
  dfcache import --recursive /tmp/model
  tar c model | dfcache import --staging-dir /var/run/dragonfly -";

/// Import a file into the P2P cache and print the id of its task
///
/// dfdaemon reads the file and keeps it in its cache; other hosts then get replicas of it. stdout
/// gets the id of the task and nothing else.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArguments {
    /// The file to import, or the directory with --recursive; - for standard input
    ///
    /// A regular file, or a symbolic link to one. dfdaemon reads it: it must exist in dfdaemon's file
    /// system, and dfdaemon's user must be able to read it. Standard input is imported when it ends
    /// (--staging-dir is required).
    #[arg(value_name = "PATH")]
    path: PathBuf,

    #[command(flatten)]
    identity: Identity,

    /// Number of persistent replicas, at least 1
    #[arg(long, allow_hyphen_values = true, value_name = "PERSISTENT_REPLICA_COUNT", default_value = ReplicaCount::DEFAULT, help_heading = "Task")]
    persistent_replica_count: ReplicaCount,

    /// How long the task lives, from 1m to 7d
    ///
    /// Written for people: 90m, 2h 30m. A dfdaemon may have narrower limits of its own.
    #[arg(long, allow_hyphen_values = true, value_name = "TTL", default_value = Ttl::DEFAULT, help_heading = "Task")]
    ttl: Ttl,

    /// Succeed if the task already exists
    ///
    /// The task must be complete and as long as the file. Its id is printed as usual. stderr reports a
    /// TTL or a replica count that differs from what was asked for.
    #[arg(long, help_heading = "Task")]
    skip_existing: bool,

    /// Import a directory: each of its files, and a manifest whose id is that of the tree
    ///
    /// Every regular file is a task of its own. Tasks that already exist are kept, so that a second run
    /// imports only the missing files. Links to places inside the directory stay links; other links are
    /// followed. FIFOs, sockets and devices are refused before the first import. The same tree has the
    /// same id; export --recursive makes the directory again.
    #[arg(long, help_heading = "Tree")]
    recursive: bool,

    /// Import a copy, made in a private directory below this one
    ///
    /// For a dfdaemon that cannot see the file or must not hard-link it. Both must see the directory
    /// under the same path; in Kubernetes it is the mounted directory of the socket, or a hostPath of
    /// dfdaemon's storage. The copy is removed afterwards, whatever happens. Blocks are shared where the
    /// file system can.
    #[arg(long, value_name = "DIR", value_parser = paths::path(), value_hint = ValueHint::DirPath, help_heading = "Task")]
    staging_dir: Option<PathBuf>,

    /// How many files of a tree are imported at a time
    #[arg(long, allow_hyphen_values = true, value_name = "JOBS", default_value_t = DEFAULT_JOBS, value_parser = jobs, help_heading = "Tree")]
    jobs: NonZeroUsize,

    /// How long the whole import may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_IMPORT, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    /// Show no progress, not even on a terminal
    #[arg(long, help_heading = "Output")]
    pub(crate) no_progress: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl ImportArguments {
    /// Runs the command.
    ///
    /// A task that exists in a further run is that of an earlier one, whose answer was lost. `staged` is
    /// what earlier runs made of stdin, which is read once.
    pub(super) async fn run(
        &self,
        runs_before: u32,
        staged: &mut Option<Staged>,
    ) -> Result<Outcome> {
        if self.recursive {
            return self.run_tree().await;
        }
        let request = ImportRequest {
            skip_existing: self.skip_existing || runs_before > 0,
            ..self.request()
        };
        let hidden = self.no_progress || self.common.logs.on_stderr();
        let (path, imported, spinner) = match &self.staging_dir {
            None => {
                let import = request.check()?;
                let spinner = progress::spinner(!hidden, import.path());
                let client = Client::connect(&self.common.connection.endpoint).await?;
                let imported = client.import_checked(&import).await?;
                (import.path().to_owned(), imported, spinner)
            }
            Some(staging) => {
                let path = self.shown_path();
                let spinner = progress::spinner(!hidden, &path);
                let client = Client::connect(&self.common.connection.endpoint).await?;
                let imported = if self.is_stdin() {
                    let copy = match staged.take() {
                        Some(copy) => copy,
                        None => client.stage_reader(request, stdin()?, staging).await?,
                    };
                    let copy = staged.insert(copy);
                    copy.skip_existing(self.skip_existing || runs_before > 0);
                    client.import_copy_of(copy).await?
                } else {
                    client.import_staged(request, staging).await?
                };
                (path, imported, spinner)
            }
        };
        if let Some(spinner) = spinner {
            let length = imported.task.content_length;
            spinner.done(&progress::name(&path), length, !imported.existed);
        }
        let imported = Imported {
            existed: imported.existed && self.skip_existing,
            ..imported
        };
        Ok(Outcome::Imported {
            path,
            warning: differences(&imported, &self.request()),
            imported,
        })
    }

    async fn run_tree(&self) -> Result<Outcome> {
        if self.common.output.format == Format::Json {
            path_in_json(&self.path)?;
        }
        let mut tree = ImportTree::new(self.request()).jobs(self.jobs);
        if let Some(staging) = &self.staging_dir {
            tree = tree.staging(staging);
        }
        let hidden = self.no_progress || self.common.logs.on_stderr();
        let (bar, tree) = match progress::tree(!hidden) {
            Some((bar, report)) => (Some(bar), tree.on_progress(report)),
            None => (None, tree),
        };
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let tree = client.import_tree(&tree).await?;
        if let Some(bar) = bar {
            let files = progress::files(tree.summary.file_count);
            let what = match tree.existing_count {
                0 => files,
                count => format!("{files}, {count} of them there already"),
            };
            bar.done(&what, tree.summary.content_length, tree.existing_count == 0);
        }
        Ok(Outcome::ImportedTree {
            warning: tree.expires_early.map(early),
            with_files: self.common.logs.verbose,
            tree,
        })
    }

    fn shown_path(&self) -> PathBuf {
        if self.is_stdin() {
            return self.path.clone();
        }
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    pub(super) fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Why the arguments do not go together.
    pub(super) fn contradiction(&self, matches: &ArgMatches) -> Option<String> {
        let text = self.identity.content_for_calculating_task_id.is_some();
        let text = (text, "--content-for-calculating-task-id");
        if self.is_stdin() && self.staging_dir.is_none() && !self.recursive {
            let missing = "standard input can only be imported with '--staging-dir <DIR>'";
            return Some(missing.to_owned());
        }
        if !self.recursive && is_typed(matches, "jobs") {
            return Some(JOBS_OF_A_TREE.to_owned());
        }
        excluded(self.is_stdin(), "-", &[(self.recursive, "--recursive")])
            .or_else(|| excluded(self.recursive, "--recursive", &[text]))
    }

    /// How many files may be on their way at a time.
    pub(super) fn jobs(&self) -> usize {
        if self.recursive { self.jobs.get() } else { 1 }
    }

    /// What fails if it does. The file system is not asked: it may hang.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt::Import(self.shown_path())
    }

    pub(crate) fn request(&self) -> ImportRequest {
        ImportRequest {
            path: self.path.clone(),
            content_for_calculating_task_id: self.identity.content_for_calculating_task_id.clone(),
            persistent_replica_count: self.persistent_replica_count,
            piece_length: self.identity.piece_length,
            tag: self.identity.tag.clone(),
            application: self.identity.application.clone(),
            ttl: self.ttl,
            timeout: Some(self.timeout),
            skip_existing: self.skip_existing,
            invalid: None,
        }
    }
}

fn early(early: ExpiresEarly) -> String {
    let (tasks, exist, expire) = match early.count {
        1 => ("1 task".to_owned(), "exists", "expires"),
        count => (format!("{count} tasks"), "exist", "expire"),
    };
    format!(
        "{tasks} of the tree {exist} already and {expire} before the TTL that was asked for, the first at {}",
        early.first
    )
}

/// What an existing task has otherwise than it was asked for.
fn differences(imported: &Imported, request: &ImportRequest) -> Option<String> {
    if !imported.existed {
        return None;
    }
    let task = &imported.task;
    let mut differences = Vec::new();
    if let Some(ttl) = task.ttl.filter(|ttl| *ttl != request.ttl.duration()) {
        let (has, asked) = (
            format_duration(ttl),
            format_duration(request.ttl.duration()),
        );
        differences.push(format!("its TTL is {has}, not {asked}"));
    }
    let (has, asked) = (
        task.persistent_replica_count,
        request.persistent_replica_count.get(),
    );
    if has != asked {
        differences.push(format!(
            "its persistent replica count is {has}, not {asked}"
        ));
    }
    let id = &task.task_id;
    (!differences.is_empty())
        .then(|| format!("task {id} exists already: {}", differences.join("; ")))
}
