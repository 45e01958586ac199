//! `dfcache id`: the id that an import would get, without a daemon.

use dfdaemon_api::task_id::Parameters;

use crate::cli::IdArguments;
use crate::cli::report::Outcome;
use crate::error::{Error, Result};
use crate::import::{ImportRequest, file_id};
use crate::options::PieceLength;
use crate::thread::{finished, on_thread};

pub(super) async fn run(arguments: &IdArguments) -> Result<Outcome> {
    // The same checks as before an import, since it asks what an import would come to.
    let import = ImportRequest::new(&arguments.path).check()?;
    let scheme = arguments.dfdaemon_version.scheme();
    let identity = arguments.identity.clone();
    let task_id = match &identity.content_for_calculating_task_id {
        Some(content) => scheme.of_content(content),
        None => {
            let (path, named) = (import.path().to_owned(), arguments.path.clone());
            let hashed = on_thread("id", move || {
                let parameters = Parameters {
                    tag: identity.tag.as_deref(),
                    application: identity.application.as_deref(),
                    piece_length: identity.piece_length.map(PieceLength::bytes),
                };
                file_id(&path, scheme, parameters).map_err(|source| {
                    Error::local_file(format!("cannot read {}", named.display())).because(source)
                })
            })?;
            // A signal is heard meanwhile.
            finished(hashed).await?
        }
    };
    Ok(Outcome::Id {
        task_id,
        path: import.path().to_owned(),
    })
}
