//! `dfcache ls`: its options, and the order of the list.

use std::cmp::Ordering;

use clap::{Args, ValueEnum};

use super::common::Common;
use super::report::Outcome;
use crate::client::Client;
use crate::types::error::Result;
use crate::types::options::Timeout;

const EXAMPLES: &str = "\
Examples:
  dfcache ls
  dfcache ls --sort expiry
  dfcache ls --format json | jq -r 'select(.persistent) | .task_id'";

/// List the tasks of this host
///
/// What this host's dfdaemon has in its own cache: tasks imported here, and replicas of others.
/// dfdaemon 0.2 does not know this call.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LsArguments {
    /// What the tasks are sorted by
    #[arg(
        long,
        value_name = "BY",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    sort: Sort,

    /// How long the answer may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_STAT, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What tasks are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By their ids.
    #[default]
    Id,
    /// The task that expires first comes first, tasks that never expire last.
    Expiry,
    /// The largest comes first.
    Size,
}

impl LsArguments {
    /// Runs the command.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let mut tasks = client.list().await?;
        tasks.sort_by(|a, b| {
            let by = match self.sort {
                Sort::Id => Ordering::Equal,
                Sort::Expiry => (a.expires_at.is_none(), a.expires_at)
                    .cmp(&(b.expires_at.is_none(), b.expires_at)),
                Sort::Size => b.content_length.cmp(&a.content_length),
            };
            by.then_with(|| a.task_id.cmp(&b.task_id))
        });
        Ok(Outcome::Listed(tasks))
    }
}
