//! `dfcache import`.

use crate::cli::ImportArguments;
use crate::client::Client;
use crate::error::Result;
use crate::progress;
use crate::report::Outcome;

pub(super) async fn run(arguments: &ImportArguments) -> Result<Outcome> {
    let import = arguments.request().check()?;
    let hidden = arguments.no_progress || arguments.common.logs.on_stderr();
    let imported = {
        let _spinner = progress::spinner(!hidden, import.path());
        let client = Client::connect(&arguments.common.connection.endpoint).await?;
        client.import(&import).await?
    };
    Ok(Outcome::Imported {
        path: import.path().to_owned(),
        imported,
    })
}
