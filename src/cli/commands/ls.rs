//! `dfcache ls`.

use crate::cli::LsArguments;
use crate::cli::report::Outcome;
use crate::client::Client;
use crate::error::Result;

pub(super) async fn run(arguments: &LsArguments) -> Result<Outcome> {
    let client = Client::connect(&arguments.common.connection.endpoint).await?;
    client.list().await.map(Outcome::Listed)
}
