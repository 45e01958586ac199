//! `dfcache import`.

use humantime::format_duration;

use crate::cli::ImportArguments;
use crate::cli::progress;
use crate::cli::report::Outcome;
use crate::client::Client;
use crate::error::Result;
use crate::import::{ImportRequest, Imported};

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
        warning: differences(&imported, &arguments.request()),
        imported,
    })
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
