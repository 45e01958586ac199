//! `dfcache id`: the id that an import would get, without a daemon.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use dfdaemon_api::task_id::{Parameters, TaskIdHasher};

use crate::cli::report::Outcome;
use crate::cli::{IdArguments, Identity};
use crate::error::{Error, Result};
use crate::import::ImportRequest;
use crate::options::PieceLength;

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 1 << 20;

pub(super) async fn run(arguments: &IdArguments) -> Result<Outcome> {
    // The same checks as before an import, since it asks what an import would come to.
    let import = ImportRequest::new(&arguments.path).check()?;
    let scheme = arguments.dfdaemon_version.scheme();
    let identity = &arguments.identity;
    let task_id = match &identity.content_for_calculating_task_id {
        Some(content) => scheme.of_content(content),
        None => hashed(TaskIdHasher::new(scheme), import.path(), identity)
            .await
            .map_err(|source| {
                Error::local_file(format!("cannot read {}", arguments.path.display()))
                    .because(source)
            })?,
    };
    Ok(Outcome::Id {
        task_id,
        path: import.path().to_owned(),
    })
}

async fn hashed(mut hasher: TaskIdHasher, path: &Path, identity: &Identity) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_LENGTH];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // A signal is heard here.
        tokio::task::yield_now().await;
    }
    Ok(hasher.finish(Parameters {
        tag: identity.tag.as_deref(),
        application: identity.application.as_deref(),
        piece_length: identity.piece_length.map(PieceLength::bytes),
    }))
}
