//! `dfcache stat` and `dfcache ls`: commands that only ask.

use clap::Args;

use super::Common;
use crate::options::{ReplicaCount, TaskId, Timeout};

const STAT_EXAMPLES: &str = "\
Examples:
  dfcache stat <ID>
  dfcache stat --format json <ID> | jq .state
  dfcache stat --wait-for-replicas 2 --timeout 5m <ID>";

/// Show the state of a task
///
/// As the scheduler sees it: replicas, lengths, tag and application, and when it expires.
#[derive(Debug, Args)]
#[command(after_help = STAT_EXAMPLES)]
pub(crate) struct StatArguments {
    /// The id of the task, as import printed it
    #[arg(value_name = "ID")]
    pub(crate) id: TaskId,

    /// Wait until there are so many persistent replicas
    #[arg(long, allow_hyphen_values = true, value_name = "N")]
    pub(crate) wait_for_replicas: Option<ReplicaCount>,

    /// How long the answer may take, waiting included
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_QUESTION, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,
}

const LS_EXAMPLES: &str = "\
Examples:
  dfcache ls
  dfcache ls --format json | jq -r 'select(.persistent) | .task_id'";

/// List the tasks of this host
///
/// What this host's dfdaemon has in its own cache: tasks imported here, and replicas of others.
/// A dfdaemon of release 0.2 cannot tell.
#[derive(Debug, Args)]
#[command(after_help = LS_EXAMPLES)]
pub(crate) struct LsArguments {
    /// How long the answer may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_QUESTION, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,
}
