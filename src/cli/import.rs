//! `dfcache import`.

use std::path::PathBuf;

use clap::Args;
use humantime::format_duration;

use super::common::{Common, Identity};
use super::progress;
use super::report::Outcome;
use crate::client::Client;
use crate::import::{ImportRequest, Imported};
use crate::types::attempt::Attempt;
use crate::types::error::Result;
use crate::types::options::{ReplicaCount, Timeout, Ttl};

const EXAMPLES: &str = "\
Examples:
  dfcache import /tmp/file.txt
  dfcache import --persistent-replica-count 3 --ttl 2h /tmp/file.txt
  dfcache import --content-for-calculating-task-id release-1.2/file.txt \\
      /tmp/file.txt
  id=$(dfcache import --skip-existing /tmp/file.txt)";

/// Import a file into the P2P cache and print the id of its task
///
/// dfdaemon reads the file and keeps it in its cache; other hosts then get replicas of it. stdout
/// gets the id of the task and nothing else.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArguments {
    /// The file to import
    ///
    /// A regular file, or a symbolic link to one. dfdaemon reads it, so it must exist in
    /// dfdaemon's file system and be readable for dfdaemon's user.
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

    /// Take a task that is there already for a success
    ///
    /// If it is complete and as long as the file; its id is printed as usual. Another TTL or replica
    /// count than was asked for is said on stderr.
    #[arg(long, help_heading = "Task")]
    skip_existing: bool,

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
    /// Does what was asked.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let import = self.request().check()?;
        let hidden = self.no_progress || self.common.logs.on_stderr();
        let imported = {
            let _spinner = progress::spinner(!hidden, import.path());
            let client = Client::connect(&self.common.connection.endpoint).await?;
            client.import_checked(&import).await?
        };
        Ok(Outcome::Imported {
            path: import.path().to_owned(),
            warning: differences(&imported, &self.request()),
            imported,
        })
    }

    /// What fails if it does. The file system is not asked: it may hang.
    pub(crate) fn attempt(&self) -> Attempt {
        let path = std::path::absolute(&self.path);
        Attempt::Import(path.unwrap_or_else(|_| self.path.clone()))
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
