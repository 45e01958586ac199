//! Whether a directory is what the manifest of a tree says. Its names and lengths are in `differences`, the
//! content of its files here.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::differences::Differences;
use super::manifest::{Entry, Kind, Sha256Digest};
use super::together::together;
use super::walk::walk;
use super::{Counter, DEFAULT_JOBS, OnTreeProgress, TreeFile, TreeProgress, TreeSummary, files};
use crate::client::Client;
use crate::content::ContentCheck;
use crate::content::thread::{finished, on_thread};
use crate::export::ExportRequest;
use crate::export::verify::{hash_file, open};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::mutex::Mutex;
use crate::types::options::TaskId;

/// The check of a directory against a tree.
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
/// use dfcache::{ErrorKind, ImportTree, VerifyTree};
///
/// let tree = client.import_tree(&ImportTree::new(&*model)).await?;
/// let check = VerifyTree::new(&tree.task.task_id);
/// client.verify_tree(&check, &model).await?;
/// std::fs::write(model.join("weights.bin"), "CONTENT")?;
/// let error = client.verify_tree(&check, &model).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Integrity);
/// assert_eq!(error.causes()[1], "weights.bin has other content");
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VerifyTree {
    task_id: TaskId,
    jobs: NonZeroUsize,
    progress: Option<OnTreeProgress>,
}

impl VerifyTree {
    /// The check against the tree whose manifest is this task.
    #[must_use]
    pub fn new(task_id: impl Into<TaskId>) -> Self {
        Self {
            task_id: task_id.into(),
            jobs: DEFAULT_JOBS,
            progress: None,
        }
    }

    /// How many files are read at a time: 4 by default.
    #[must_use]
    pub fn jobs(self, jobs: NonZeroUsize) -> Self {
        Self { jobs, ..self }
    }

    /// Calls `report` with the progress of the tree whenever it changes. `report` must not block.
    #[must_use]
    pub fn on_progress(self, report: impl Fn(TreeProgress) + Send + Sync + 'static) -> Self {
        Self {
            progress: Some(OnTreeProgress(Arc::new(report))),
            ..self
        }
    }
}

/// A directory that is what a tree's manifest says.
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
/// use dfcache::{ImportTree, VerifyTree};
///
/// let tree = client.import_tree(&ImportTree::new(&*model)).await?;
/// let check = VerifyTree::new(&tree.task.task_id);
/// let verified = client.verify_tree(&check, &model).await?;
/// assert_eq!(verified.path, model);
/// assert_eq!(verified.summary, tree.summary);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifiedTree {
    /// The directory's absolute path.
    pub path: PathBuf,
    /// What the tree is made of.
    pub summary: TreeSummary,
    entries: Vec<Entry>,
}

impl VerifiedTree {
    /// The tree's files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = TreeFile<'_>> {
        files(&self.entries)
    }
}

impl Client {
    /// Checks that the directory at `path` is what an import of a directory imported: every file with
    /// its content, every directory and link, and nothing else. Permissions are not compared, since files
    /// that the daemon links have those of its cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is not, with the differences as causes, or if the task is no
    /// tree; [`ErrorKind::LocalFile`] if the directory or something in it cannot be read; and the errors
    /// of an export.
    pub async fn verify_tree(
        &self,
        tree: &VerifyTree,
        path: impl AsRef<Path>,
    ) -> Result<VerifiedTree> {
        let path = path.as_ref();
        let attempt = Attempt::Verify(tree.task_id.clone());
        // On the heap: without optimisation, each layer around it copies it to its stack.
        let verified = Box::pin(async {
            let verified = self.verify_tree_at(tree, path).await;
            verified.map_err(|error| error.within(attempt.clone()))
        });
        self.bounded(None, attempt.clone(), verified).await
    }

    async fn verify_tree_at(&self, tree: &VerifyTree, path: &Path) -> Result<VerifiedTree> {
        let path = std::path::absolute(path).map_err(|source| {
            Error::local_file(format!("cannot read {}", path.display())).because(source)
        })?;
        // Without a slash at its end.
        let path: PathBuf = path.components().collect();
        let root = path.clone();
        let walked = on_thread("walk", move || {
            let mut odd = Vec::new();
            let found = walk(&root, &mut |one| {
                odd.push(one);
                Ok(())
            })?;
            Ok((found, odd))
        })?;
        let (found, odd) = finished(walked).await?;
        let entries = self.manifest(&ExportRequest::new(&tree.task_id)).await?;
        let summary = TreeSummary::of(&entries);
        let counter = Arc::new(Counter::new(tree.progress.as_ref()));
        counter.begin(&summary);
        let all = Files {
            root: &path,
            entries: &entries,
            differences: Mutex::new(Differences::between(&entries, &found, odd)),
            counter,
            next: AtomicUsize::new(0),
            wanted: Arc::new(()),
        };
        let jobs = tree.jobs.get().min(summary.file_count.max(1));
        together((0..jobs).map(|_| all.work())).await?;
        all.differences.into_inner().into_result(&path)?;
        Ok(VerifiedTree {
            path,
            summary,
            entries,
        })
    }
}

/// The files of a tree, read one after the other.
struct Files<'a> {
    root: &'a Path,
    entries: &'a [Entry],
    differences: Mutex<Differences>,
    counter: Arc<Counter>,
    /// The first entry that nobody has taken.
    next: AtomicUsize,
    /// Dropped with the call: then no thread reads on.
    wanted: Arc<()>,
}

impl Files<'_> {
    async fn work(&self) -> Result<()> {
        while let Some(entry) = self.entries.get(self.next.fetch_add(1, Ordering::SeqCst)) {
            let path = &entry.path;
            let Kind::File { length, sha256, .. } = entry.kind else {
                continue;
            };
            if self.differences.lock().cover(path) {
                continue;
            }
            self.counter.begin_file(path);
            if !self
                .is_content(self.root.join(path), sha256, length)
                .await?
            {
                let difference = "has other content".to_owned();
                self.differences.lock().note(path, difference);
            }
            self.counter.change(|progress| progress.files_done += 1);
        }
        Ok(())
    }

    /// Whether the file's content has this digest.
    async fn is_content(&self, path: PathBuf, sha256: Sha256Digest, length: u64) -> Result<bool> {
        let check = ContentCheck::of_digest(sha256.digest()?);
        let counter = Arc::clone(&self.counter);
        let wanted = Arc::downgrade(&self.wanted);
        let counted = AtomicU64::new(0);
        let goes_on = move |read: u64| {
            let more = read.min(length) - counted.swap(read.min(length), Ordering::Relaxed);
            counter.change(|progress| progress.bytes_done += more);
            wanted.strong_count() > 0
        };
        let hashed = on_thread("hash", move || {
            let (file, _) = open(&path)?;
            match hash_file(&file, check, &path, &goes_on) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::Integrity => Ok(false),
                Err(error) => Err(error),
            }
        })?;
        finished(hashed).await
    }
}
