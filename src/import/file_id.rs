//! The id that a file's content gives, read without a daemon.

use std::fs::File;
use std::io;
use std::path::Path;

use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};

use super::ImportRequest;
use crate::content::ContentReader;
use crate::content::thread::{finished, on_thread};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::options::{PieceLength, TaskId};

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 1 << 20;

/// Reads the file at `path` to its end. Blocks.
///
/// # Errors
///
/// Those of opening and reading it.
pub(crate) fn file_id(
    path: &Path,
    scheme: TaskIdScheme,
    parameters: Parameters<'_>,
) -> io::Result<String> {
    let mut hasher = TaskIdHasher::new(scheme);
    let file = File::open(path)?;
    let mut content = ContentReader::new(&file, READ_LENGTH);
    while let Some(bytes) = content.next_part()? {
        hasher.update(bytes);
    }
    Ok(hasher.finish(parameters))
}

/// The id that an import would get from a daemon of some release; no daemon is asked. The file is
/// read as it is now.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # std::fs::write(&model, "content")?;
/// use dfcache::{Client, ImportRequest, TaskIdScheme};
///
/// let request = ImportRequest::new(&model).tag("nightly");
/// let id = dfcache::task_id(&request, TaskIdScheme::Crc32).await?;
/// let client = Client::connect(daemon.endpoint()).await?;
/// assert_eq!(client.import(request).await?.task.task_id, id);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ErrorKind::LocalFile`](crate::ErrorKind::LocalFile) if the file cannot be imported or read.
pub async fn task_id(request: impl Into<ImportRequest>, scheme: TaskIdScheme) -> Result<TaskId> {
    let request = request.into();
    finished(on_thread("id", move || id_of(request, scheme))?).await
}

/// The same. Blocks.
pub(crate) fn id_of(request: ImportRequest, scheme: TaskIdScheme) -> Result<TaskId> {
    let named = request.path.clone();
    let id = request.checked().and_then(|import| {
        let request = &import.request;
        if let Some(content) = &request.content_for_calculating_task_id {
            return Ok(scheme.of_content(content));
        }
        let parameters = Parameters {
            tag: request.tag.as_deref(),
            application: request.application.as_deref(),
            piece_length: request.piece_length.map(PieceLength::bytes),
        };
        file_id(&import.path, scheme, parameters).map_err(|source| {
            Error::local_file(format!("cannot read {}", named.display())).because(source)
        })
    });
    id.map(TaskId::unchecked)
        .map_err(|error| error.within(Attempt::CalculateId(named.clone())))
}
