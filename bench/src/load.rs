//! Many calls on one connection, by our client library.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dfcache::{Client, ImportRequest, TaskId};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::Result;

/// One thread: one connection is driven by one anyway, and the daemon needs the other core.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// A connection to the daemon at `endpoint`.
pub(crate) async fn connect(endpoint: &std::path::Path) -> Result<Client> {
    Ok(Client::connect(endpoint).await?)
}

/// Asks for the state of a task so many times, so many at once.
pub(crate) async fn stats(
    client: &Client,
    id: &TaskId,
    calls: usize,
    at_once: usize,
) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (client, id, next) = (client.clone(), id.clone(), Arc::clone(&next));
        workers.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                let task = client.stat(&id).await?;
                if task.task_id != id {
                    return Err(format!("asked for {id}, got {}", task.task_id).into());
                }
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

/// A file to import, and what its id is to be computed from, if not from the file.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) path: PathBuf,
    pub(crate) content_for_id: Option<String>,
}

/// Imports files with one replica, so many at once. The ids come in the files' order.
pub(crate) async fn imports(
    client: &Client,
    files: Arc<Vec<Import>>,
    at_once: usize,
) -> Result<Vec<String>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (client, files, next) = (client.clone(), Arc::clone(&files), Arc::clone(&next));
        workers.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(number) else {
                    return Result::Ok(ids);
                };
                let mut request = ImportRequest::new(&file.path).persistent_replica_count(1);
                if let Some(content) = &file.content_for_id {
                    request = request.content_for_calculating_task_id(content);
                }
                let imported = client.import(request).await?;
                ids.push((number, imported.task.task_id.to_string()));
            }
        });
    }
    let mut ids = Vec::with_capacity(files.len());
    while let Some(ended) = workers.join_next().await {
        ids.extend(ended??);
    }
    ids.sort_unstable();
    Ok(ids.into_iter().map(|(_, id)| id).collect())
}
