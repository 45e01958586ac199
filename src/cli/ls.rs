//! `dfcache ls`.

use clap::Args;

use super::common::Common;
use super::report::Outcome;
use crate::client::Client;
use crate::types::error::Result;
use crate::types::options::Timeout;

const EXAMPLES: &str = "\
Examples:
  dfcache ls
  dfcache ls --format json | jq -r 'select(.persistent) | .task_id'";

/// List the tasks of this host
///
/// What this host's dfdaemon has in its own cache: tasks imported here, and replicas of others.
/// A dfdaemon of release 0.2 cannot tell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LsArguments {
    /// How long the answer may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_QUESTION, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl LsArguments {
    /// Does what was asked.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let client = Client::connect(&self.common.connection.endpoint).await?;
        client.list().await.map(Outcome::Listed)
    }
}
