//! `dfcache stat`: its options. The wait for replicas is in `client`.

use clap::Args;

use super::common::Common;
use super::report::Outcome;
use crate::client::Client;
use crate::types::attempt::{Attempt, ReplicasSeen};
use crate::types::error::Result;
use crate::types::options::{ReplicaCount, TaskId, Timeout};

const EXAMPLES: &str = "\
Examples:
  dfcache stat <ID>
  dfcache stat --format json <ID> | jq .state
  dfcache stat --wait-for-replicas 2 --timeout 5m <ID>";

/// Show the state of a task
///
/// As the scheduler sees it: replicas, lengths, tag and application, and when it expires.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatArguments {
    /// The id of the task, as import printed it
    #[arg(value_name = "ID")]
    pub(crate) id: TaskId,

    /// Wait until the task has this many persistent replicas
    #[arg(long, allow_hyphen_values = true, value_name = "N")]
    pub(crate) wait_for_replicas: Option<ReplicaCount>,

    /// How long the answer may take, waiting included
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_STAT, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,

    /// What the error says if the time is over.
    #[arg(skip)]
    seen: ReplicasSeen,
}

impl StatArguments {
    /// Runs the command.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let task = match self.wait_for_replicas {
            None => client.stat(&self.id).await,
            Some(count) => {
                let seen = self.seen.clone();
                client.wait_for_replicas_noting(&self.id, count, seen).await
            }
        };
        task.map(Outcome::Stat)
    }

    /// What fails if it does.
    pub(super) fn attempt(&self) -> Attempt {
        match self.wait_for_replicas {
            None => Attempt::Stat(self.id.clone()),
            Some(count) => {
                Attempt::WaitForReplicas(self.id.clone(), count.get(), self.seen.clone())
            }
        }
    }
}
