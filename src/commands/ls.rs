//! `dfcache ls`.

use crate::cli::LsArguments;
use crate::client::Client;
use crate::error::Result;
use crate::operation;
use crate::report::Outcome;

pub(super) fn run(arguments: &LsArguments) -> Result<Outcome> {
    let failure = "cannot list the tasks of this host";
    let tasks = operation::run(failure, arguments.timeout, async {
        let client = Client::connect(&arguments.common.connection.endpoint).await?;
        client.list().await
    })?;
    Ok(Outcome::Listed(tasks))
}
