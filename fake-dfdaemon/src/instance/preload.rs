//! Files that are imported before the daemon is ready.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::error::StartError;
use crate::call::StoreFaults;
use crate::cluster::{Cluster, Error, ImportRequest, RequestedTtl};
use crate::dfdaemon::HostNumber;
use crate::store::CancelFlag;

/// Persistent replicas of a preloaded file, as an importer asks for by default.
const PERSISTENT_REPLICAS: u64 = 2;

/// A file that was imported at the start.
///
/// ```
/// use fake_dfdaemon::FakeDfdaemon;
///
/// let models = tempfile::tempdir()?;
/// std::fs::write(models.path().join("model.bin"), "content")?;
/// let daemon = FakeDfdaemon::builder().preload(models.path()).start_blocking()?;
/// assert!(daemon.preloaded()[0].path.ends_with("model.bin"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preloaded {
    /// The file.
    pub path: PathBuf,
    /// Its task.
    pub task_id: String,
}

/// Whether every file below `dir` is there and can be read. Blocks on the disk.
pub(crate) fn look(dir: &Path, cancel: &CancelFlag) -> Result<(), StartError> {
    let files = files_below(dir, cancel).map_err(|(path, error)| failed(&path, error.into()))?;
    for path in files {
        fs::File::open(&path).map_err(|error| failed(&path, error.into()))?;
    }
    Ok(())
}

fn failed(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> StartError {
    StartError::Preload {
        path: path.to_owned(),
        source,
    }
}

/// Imports every regular file below `dir` on the first host, ordered by path. Blocks on the disk.
pub(crate) fn preload(
    cluster: &Arc<Cluster>,
    dir: &Path,
    ttl: Duration,
    cancel: &CancelFlag,
) -> Result<Vec<Preloaded>, StartError> {
    let files = files_below(dir, cancel).map_err(|(path, error)| failed(&path, error.into()))?;
    let mut preloaded = Vec::new();
    for path in files {
        cancel
            .check()
            .map_err(|error| failed(&path, error.into()))?;
        let request = ImportRequest {
            path: path.clone(),
            content_for_id: None,
            persistent_replica_count: PERSISTENT_REPLICAS,
            tag: None,
            application: None,
            piece_length: None,
            ttl: RequestedTtl::Given(ttl),
        };
        let task_id =
            match cluster.import(HostNumber::FIRST, &request, &StoreFaults::default(), cancel) {
                Ok(view) => view.task.task_id.to_string(),
                // From an earlier start on the same state, or the same content under another name.
                Err(Error::TaskExists { id, .. }) => id,
                Err(error) => return Err(failed(&path, error.into())),
            };
        preloaded.push(Preloaded { path, task_id });
    }
    Ok(preloaded)
}

/// Every regular file below `dir`, or what cannot be looked at and why.
fn files_below(dir: &Path, cancel: &CancelFlag) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |error| (path, error)
    };
    let mut files = Vec::new();
    let mut dirs = vec![std::path::absolute(dir).map_err(at(dir))?];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            cancel.check().map_err(at(&dir))?;
            let path = entry.map_err(at(&dir))?.path();
            let metadata = fs::metadata(&path).map_err(at(&path))?;
            if fs::symlink_metadata(&path).map_err(at(&path))?.is_dir() {
                dirs.push(path);
            } else if metadata.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
