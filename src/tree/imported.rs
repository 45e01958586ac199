//! The result of importing a directory. The import itself is in `tree/import`.

use std::path::PathBuf;

use jiff::Timestamp;

use super::manifest::Entry;
use super::{TreeFile, TreeSummary, files};
use crate::types::task::Task;

/// A tree that was imported.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model");
/// # std::fs::create_dir(&model)?;
/// # std::fs::write(model.join("weights.bin"), "content")?;
/// # let client = dfcache::Client::connect(daemon.endpoint()).await?;
/// use dfcache::ImportTree;
///
/// let first = client.import_tree(&ImportTree::new(&*model)).await?;
/// assert!(!first.existed);
/// let again = client.import_tree(&ImportTree::new(&*model)).await?;
/// assert!(again.existed && again.task.task_id == first.task.task_id);
/// assert_eq!(again.existing_count, 1);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportedTree {
    /// The directory's absolute path.
    pub path: PathBuf,
    /// The task of the manifest: its id is that of the tree.
    pub task: Task,
    /// Whether the task of the manifest existed already.
    pub existed: bool,
    /// What the tree is made of.
    pub summary: TreeSummary,
    /// How many tasks of files existed already. Files of the same content share one.
    pub existing_count: usize,
    /// The existing tasks that expire before the requested TTL ends, if there are any.
    pub expires_early: Option<ExpiresEarly>,
    pub(super) entries: Vec<Entry>,
}

impl ImportedTree {
    /// The tree's files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = TreeFile<'_>> {
        files(&self.entries)
    }
}

/// Existing tasks that expire before the requested TTL ends.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model");
/// # std::fs::create_dir(&model)?;
/// # std::fs::write(model.join("weights.bin"), "content")?;
/// # let client = dfcache::Client::connect(daemon.endpoint()).await?;
/// use dfcache::{ImportRequest, ImportTree, Ttl};
///
/// let importing = |ttl| ImportTree::new(ImportRequest::new(&*model).ttl(ttl));
/// client.import_tree(&importing(Ttl::from_hours(1))).await?;
/// let again = client.import_tree(&importing(Ttl::from_hours(2))).await?;
/// // The file's task and the manifest's.
/// assert_eq!(again.expires_early.unwrap().count, 2);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpiresEarly {
    /// How many there are.
    pub count: usize,
    /// When the first expires.
    pub first: Timestamp,
}
