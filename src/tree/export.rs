//! The export of a tree: its manifest, then its files into a private directory, which then takes its
//! place as a whole.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::manifest::{Entry, Kind, Sha256Digest, directories};
use super::together::together;
use super::{Counter, DEFAULT_JOBS, OnTreeProgress, TreeFile, TreeProgress, TreeSummary, files};
use crate::client::Client;
use crate::export::{ExportMode, ExportRequest, OnProgress, Progress};
use crate::output::{PrivateTree, Target};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::first::{First, first};
use crate::types::options::TaskId;

/// The export of a tree.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model");
/// # let copy = directory.path().join("copy");
/// # std::fs::create_dir(&model)?;
/// # std::fs::write(model.join("weights.bin"), "content")?;
/// # let client = dfcache::Client::connect(daemon.endpoint()).await?;
/// use dfcache::{ExportRequest, ExportTree, ImportTree};
///
/// # let tree = client.import_tree(&ImportTree::new(&*model)).await?;
/// let request = ExportRequest::new(&tree.task.task_id).verify(true);
/// let request = ExportTree::new(request)
///     .on_progress(|progress| println!("{} files", progress.files_done));
/// let exported = client.export_tree(&request, &copy).await?;
/// let paths: Vec<_> = exported.files().map(|file| file.path).collect();
/// assert_eq!(paths, ["weights.bin"]);
/// assert_eq!(std::fs::read(copy.join("weights.bin"))?, b"content");
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ExportTree {
    request: ExportRequest,
    jobs: NonZeroUsize,
    progress: Option<OnTreeProgress>,
}

impl ExportTree {
    /// The export of the tree whose manifest is the task of `request`. Its files are exported with the
    /// other settings of `request`. A transferred file is checked against the SHA-256 that the manifest
    /// has of it; one that the daemon writes, only if the request is to be verified.
    #[must_use]
    pub fn new(request: impl Into<ExportRequest>) -> Self {
        Self {
            request: request.into(),
            jobs: DEFAULT_JOBS,
            progress: None,
        }
    }

    /// How many files are exported at a time: 4 by default.
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

/// A tree that was exported.
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
/// use dfcache::{ExportTree, ImportTree};
///
/// let tree = client.import_tree(&ImportTree::new(&*model)).await?;
/// # let copy = directory.path().join("copy");
/// let exported = client.export_tree(&ExportTree::new(&tree.task.task_id), &copy).await?;
/// assert_eq!(exported.path, copy);
/// assert_eq!(exported.summary, tree.summary);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportedTree {
    /// The absolute path of the directory that was made.
    pub path: PathBuf,
    /// What the tree is made of.
    pub summary: TreeSummary,
    entries: Vec<Entry>,
}

impl ExportedTree {
    /// The tree's files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = TreeFile<'_>> {
        files(&self.entries)
    }
}

impl Client {
    /// Exports a tree to a new directory at `path`. The directory appears when it is complete, or not
    /// at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`](crate::ErrorKind::LocalFile) if something is at `path`, [`ErrorKind::Integrity`](crate::ErrorKind::Integrity) if the
    /// task is no tree, or would write elsewhere, and the errors of an export. The error names the file.
    pub async fn export_tree(
        &self,
        tree: &ExportTree,
        path: impl AsRef<Path>,
    ) -> Result<ExportedTree> {
        let path = path.as_ref().to_owned();
        // On the heap: without optimisation, each layer around it copies it to its stack.
        let exported = Box::pin(async {
            let check = move || PrivateTree::check(&path);
            let target = self.blocking("check", check).await?;
            self.export_tree_to(tree, target).await
        });
        let attempt = Attempt::Export(tree.request.task_id.clone());
        let exported = self.bounded(tree.request.timeout, attempt, exported).await;
        exported
            .map_err(|error| error.within(format!("cannot export tree {}", tree.request.task_id)))
    }

    pub(crate) async fn export_tree_to(
        &self,
        tree: &ExportTree,
        target: Target,
    ) -> Result<ExportedTree> {
        let entries = self.manifest(&tree.request).await?;
        let summary = TreeSummary::of(&entries);
        let counter = Counter::new(tree.progress.as_ref());
        counter.begin(&summary);
        let written = target.clone();
        let user = self.daemon_user().await?;
        let create = move || {
            let cannot = |source: io::Error| written.cannot_write(source);
            let private = PrivateTree::create(target, user).map_err(cannot)?;
            let created = private.create_directories(directories(&entries));
            created.map_err(cannot)?;
            Ok((private, entries, written))
        };
        let (private, entries, written) = self.blocking("create", create).await?;
        let next = AtomicUsize::new(0);
        let all = Files {
            client: self,
            tree,
            entries: &entries,
            private: &private,
            counter: &counter,
            next: &next,
        };
        let jobs = tree.jobs.get().min(summary.file_count.max(1));
        together((0..jobs).map(|_| all.work())).await?;
        let finish = move || {
            let finished = finish(&private, &entries);
            finished.map_err(|source| written.cannot_write(source))?;
            Ok((private, entries))
        };
        let (private, entries) = self.blocking("finish", finish).await?;
        Ok(ExportedTree {
            path: private.commit()?,
            summary,
            entries,
        })
    }
}

/// Makes what needs all files to be there: links, which may lead anywhere in the tree, and permissions,
/// which may forbid to write.
fn finish(private: &PrivateTree, entries: &[Entry]) -> io::Result<()> {
    for entry in entries {
        if let Kind::Link { target } = &entry.kind {
            private.create_link(&entry.path, target)?;
        }
    }
    let known = |entry: &&Entry| matches!(entry.kind, Kind::Directory { .. });
    let known: std::collections::HashMap<&str, u32> = entries
        .iter()
        .filter(known)
        .filter_map(|entry| match entry.kind {
            Kind::Directory { mode } => Some((entry.path.as_str(), mode)),
            _ => None,
        })
        .collect();
    // The deepest first: behind a closed door nothing can be changed.
    for path in directories(entries).into_iter().rev() {
        let mode = known.get(path).copied();
        private.set_directory_mode(path, mode.unwrap_or(private.ordinary_mode()))?;
    }
    Ok(())
}

/// The files of a tree on their way.
struct Files<'a> {
    client: &'a Client,
    tree: &'a ExportTree,
    entries: &'a [Entry],
    private: &'a PrivateTree,
    counter: &'a Counter,
    /// The first entry that nobody has taken.
    next: &'a AtomicUsize,
}

impl Files<'_> {
    /// Exports one file after the other, until none is left.
    async fn work(&self) -> Result<()> {
        let client = self.client.for_transfers().await?;
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(entry) = self.entries.get(number) else {
                return Ok(());
            };
            let Kind::File {
                mode,
                length,
                task_id,
                sha256,
            } = &entry.kind
            else {
                continue;
            };
            let path = &entry.path;
            self.counter.begin_file(path);
            let file = Wanted {
                path,
                mode: *mode,
                length: *length,
                task_id,
                sha256: *sha256,
            };
            self.export(&client, &file)
                .await
                .map_err(|error| error.within(format!("cannot export its file {path}")))?;
            self.counter.change(|progress| progress.files_done += 1);
        }
    }

    async fn export(&self, client: &Client, file: &Wanted<'_>) -> Result<()> {
        let task_id: TaskId = file.task_id.parse()?;
        let checked = self.tree.request.verify || self.tree.request.mode == ExportMode::ByTransfer;
        let digest = checked.then(|| file.sha256.digest());
        let (sender, mut receiver) = watch::channel(Progress::default());
        let report = move |progress| {
            sender.send_replace(progress);
        };
        let request = ExportRequest {
            task_id,
            digest: digest.transpose()?,
            // The manifest, which its own id proves, says more than an id.
            verify: false,
            progress: Some(OnProgress::new(report)),
            overwrite: false,
            ..self.tree.request.clone()
        };
        let target = self.private.target(file.path);
        let target =
            target.map_err(|source| Error::local_file("cannot write it").because(source))?;
        let written = target.clone();
        let mut counted = 0;
        let mut count = |received: u64| {
            let more = received.saturating_sub(counted);
            counted += more;
            self.counter.change(|progress| progress.bytes_done += more);
        };
        let exported = {
            let mut export = pin!(client.export(&request, target));
            loop {
                match first(&mut export, receiver.changed()).await {
                    First::Left(exported) => break exported,
                    First::Right(Ok(())) => {
                        let received = receiver.borrow_and_update().received;
                        count(received.min(file.length));
                    }
                    // It tells no more of its progress.
                    First::Right(Err(_)) => break export.await,
                }
            }
        }?;
        if exported.content_length != file.length {
            return Err(Error::integrity(format!(
                "it has {} bytes, but {} in the manifest",
                exported.content_length, file.length
            )));
        }
        count(file.length);
        self.private
            .set_file_mode(file.path, file.mode)
            .map_err(|source| written.cannot_write(source))
    }
}

/// A file as the manifest says it is.
struct Wanted<'a> {
    path: &'a str,
    mode: u32,
    length: u64,
    task_id: &'a str,
    sha256: Sha256Digest,
}
