//! `dfcache stat`.

use std::time::Duration;

use clap::Args;

use super::common::Common;
use super::report::Outcome;
use crate::client::Client;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::options::{ReplicaCount, TaskId, Timeout};
use crate::types::task::{FAILED, Task};

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

    /// Wait until there are so many persistent replicas
    #[arg(long, allow_hyphen_values = true, value_name = "N")]
    pub(crate) wait_for_replicas: Option<ReplicaCount>,

    /// How long the answer may take, waiting included
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_QUESTION, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl StatArguments {
    /// Does what was asked.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let client = Client::connect(&self.common.connection.endpoint).await?;
        let task = match self.wait_for_replicas {
            None => client.stat(&self.id).await,
            Some(wanted) => wait(&client, &self.id, wanted).await,
        };
        task.map(Outcome::Stat)
    }

    /// What fails if it does.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt::Stat(self.id.clone())
    }
}

/// Nothing tells us of new replicas; the pauses grow, since replicas of large files take long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

async fn wait(client: &Client, id: &TaskId, wanted: ReplicaCount) -> Result<Task> {
    let mut pause = FIRST_PAUSE;
    loop {
        let task = client.stat(id).await?;
        if task.current_persistent_replica_count >= wanted.get() {
            return Ok(task);
        }
        if task.state == FAILED {
            let message = format!("task {} will get no replicas", id);
            return Err(Error::new(ErrorKind::Failure, message).because("its import failed"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
