//! `dfcache stat`.

use std::time::Duration;

use crate::cli::StatArguments;
use crate::cli::report::Outcome;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::options::ReplicaCount;
use crate::task::{FAILED, Task};

pub(super) async fn run(arguments: &StatArguments) -> Result<Outcome> {
    let client = Client::connect(&arguments.common.connection.endpoint).await?;
    let task = match arguments.wait_for_replicas {
        None => client.stat(&arguments.id).await,
        Some(wanted) => wait(&client, arguments, wanted).await,
    };
    task.map(Outcome::Stat)
}

/// Nothing tells us of new replicas; the pauses grow, since replicas of large files take long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

async fn wait(client: &Client, arguments: &StatArguments, wanted: ReplicaCount) -> Result<Task> {
    let mut pause = FIRST_PAUSE;
    loop {
        let task = client.stat(&arguments.id).await?;
        if task.current_persistent_replica_count >= wanted.get() {
            return Ok(task);
        }
        if task.state == FAILED {
            let message = format!("task {} will get no replicas", arguments.id);
            return Err(Error::new(ErrorKind::Failure, message).because("its import failed"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
