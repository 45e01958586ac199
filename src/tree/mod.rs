//! Trees: a directory as one task, whose content is a manifest of the tasks of its files.

mod differences;
mod export;
mod hashed;
mod import;
mod imported;
mod manifest;
mod received;
mod sha256;
mod together;
mod verify;
mod walk;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

pub use export::{ExportTree, ExportedTree};
pub use import::ImportTree;
pub use imported::{ExpiresEarly, ImportedTree};
pub use verify::{VerifiedTree, VerifyTree};

use manifest::{Entry, Kind};

use crate::types::error::{Error, Result};
use crate::types::mutex::Mutex;

/// How many files of a tree are on their way at a time by default.
pub(crate) const DEFAULT_JOBS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The progress of an import or export of a tree. Lengths are in bytes.
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
/// use std::sync::{Arc, Mutex};
///
/// use dfcache::{ImportTree, TreeProgress};
///
/// let last = Arc::new(Mutex::new(TreeProgress::default()));
/// let seen = Arc::clone(&last);
/// let tree = ImportTree::new(&*model).on_progress(move |now| *seen.lock().unwrap() = now);
/// client.import_tree(&tree).await?;
/// let last = last.lock().unwrap().clone();
/// assert_eq!((last.files_done, last.bytes_done), (1, 7));
/// assert_eq!(last.file_count, Some(1));
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeProgress {
    /// How many files the tree has, once that is known.
    pub file_count: Option<usize>,
    /// How many are done.
    pub files_done: usize,
    /// The length of all files together.
    pub content_length: u64,
    /// How many bytes are done.
    pub bytes_done: u64,
    /// The path of the file that began last.
    pub current_file: Option<Arc<str>>,
}

/// A file of a tree.
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
/// use dfcache::{ImportTree, TreeFile};
///
/// let tree = client.import_tree(&ImportTree::new(&*model)).await?;
/// let file: TreeFile = tree.files().next().unwrap();
/// assert_eq!((file.path, file.content_length), ("weights.bin", 7));
/// assert_eq!(client.stat(file.task_id).await?.content_length, 7);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeFile<'a> {
    /// Its path below the tree's directory.
    pub path: &'a str,
    /// The id of its task.
    pub task_id: &'a str,
    /// Its length, in bytes.
    pub content_length: u64,
}

/// What a tree is made of.
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
/// std::fs::create_dir(model.join("below"))?;
/// let tree = client.import_tree(&ImportTree::new(&*model)).await?;
/// let summary = tree.summary;
/// assert_eq!((summary.file_count, summary.directory_count), (1, 1));
/// assert_eq!(summary.content_length, 7);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeSummary {
    /// How many files.
    pub file_count: usize,
    /// How many directories, without the tree's own.
    pub directory_count: usize,
    /// How many links.
    pub link_count: usize,
    /// The length of all files together, in bytes.
    pub content_length: u64,
}

impl TreeSummary {
    /// The summary of a manifest, which is the content of a tree's task. It is checked as before an
    /// export: every path is there once and stays below the tree's directory, also by way of links.
    ///
    /// ```
    /// use dfcache::{ErrorKind, TreeSummary};
    ///
    /// let manifest = |path: &str| {
    ///     let entry = format!(r#"{{"path":"{path}","kind":"directory","mode":493}}"#);
    ///     format!(r#"{{"format":"dfcache.manifest/1","entries":[{entry}]}}"#)
    /// };
    /// let summary = TreeSummary::of_manifest(manifest("models").as_bytes())?;
    /// assert_eq!(summary.directory_count, 1);
    /// let hostile = TreeSummary::of_manifest(manifest("../models").as_bytes());
    /// assert_eq!(hostile.unwrap_err().kind(), ErrorKind::Integrity);
    /// # Ok::<(), dfcache::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`](crate::ErrorKind::Integrity) if it is not a manifest, or a hostile one.
    pub fn of_manifest(manifest: &[u8]) -> Result<Self> {
        if !manifest.starts_with(manifest::PREFIX) {
            return Err(Error::integrity("it is not the manifest of a tree"));
        }
        manifest::read(manifest).map(|entries| Self::of(&entries))
    }

    fn of(entries: &[Entry]) -> Self {
        let mut summary = Self::default();
        for entry in entries {
            match &entry.kind {
                Kind::Directory { .. } => summary.directory_count += 1,
                Kind::Link { .. } => summary.link_count += 1,
                Kind::File { length, .. } => {
                    summary.file_count += 1;
                    summary.content_length = summary.content_length.saturating_add(*length);
                }
            }
        }
        summary
    }
}

fn files(entries: &[Entry]) -> impl Iterator<Item = TreeFile<'_>> {
    entries.iter().filter_map(|entry| match &entry.kind {
        Kind::File {
            length, task_id, ..
        } => Some(TreeFile {
            path: &entry.path,
            task_id,
            content_length: *length,
        }),
        _ => None,
    })
}

/// Where progress is reported.
#[derive(Clone)]
struct OnTreeProgress(Arc<dyn Fn(TreeProgress) + Send + Sync>);

impl fmt::Debug for OnTreeProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnTreeProgress")
    }
}

/// Where progress is counted and reported.
#[derive(Debug)]
struct Counter {
    now: Mutex<TreeProgress>,
    report: Option<OnTreeProgress>,
}

impl Counter {
    fn new(report: Option<&OnTreeProgress>) -> Self {
        Self {
            now: Mutex::default(),
            report: report.cloned(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut TreeProgress)) {
        if let Some(OnTreeProgress(report)) = &self.report {
            // Held until it is reported, so that reports come in order.
            let mut now = self.now.lock();
            change(&mut now);
            report(now.clone());
        }
    }

    fn begin_file(&self, path: &str) {
        self.change(|progress| progress.current_file = Some(path.into()));
    }

    fn begin(&self, summary: &TreeSummary) {
        self.change(|progress| {
            progress.file_count = Some(summary.file_count);
            progress.content_length = summary.content_length;
        });
    }
}

#[cfg(test)]
mod tests;
