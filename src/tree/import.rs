//! The import of a directory: its files, each a task of its own, and a manifest of them.

use std::collections::HashMap;
use std::collections::hash_map;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dfdaemon_api::task_id::TaskIdScheme;
use jiff::{SignedDuration, Timestamp};

use super::hashed::Hashed;
use super::imported::{ExpiresEarly, ImportedTree};
use super::manifest::{self, Entry, Kind, Sha256Digest};
use super::together::together;
use super::walk::walk;
use super::{Counter, DEFAULT_JOBS, OnTreeProgress, TreeProgress, TreeSummary};
use crate::client::Client;
use crate::content::thread::{finished, on_thread};
use crate::import::{ImportRequest, Imported};
use crate::output::PrivateFile;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::mutex::Mutex;
use crate::types::options::TaskId;
use crate::types::task::Task;
use crate::types::task_state::TaskState;

/// A task that expires so little before the time that was asked for is no surprise.
const EARLY: SignedDuration = SignedDuration::from_mins(1);

/// The import of a directory.
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
/// use dfcache::{ExportTree, ImportRequest, ImportTree, Ttl};
///
/// let request = ImportRequest::new(&model).ttl(Ttl::from_hours(2));
/// let tree = client.import_tree(&ImportTree::new(request)).await?;
/// assert_eq!(tree.summary.file_count, 1);
/// client.export_tree(&ExportTree::new(&tree.task.task_id), &copy).await?;
/// assert_eq!(std::fs::read(copy.join("weights.bin"))?, b"content");
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImportTree {
    request: ImportRequest,
    jobs: NonZeroUsize,
    staging: Option<PathBuf>,
    progress: Option<OnTreeProgress>,
}

impl ImportTree {
    /// The import of the directory that `request` names as its path. Each file becomes a task with the
    /// other settings of `request`; tasks that already exist are kept.
    #[must_use]
    pub fn new(request: impl Into<ImportRequest>) -> Self {
        Self {
            request: request.into(),
            jobs: DEFAULT_JOBS,
            staging: None,
            progress: None,
        }
    }

    /// How many files are imported at a time: 4 by default.
    #[must_use]
    pub fn jobs(self, jobs: NonZeroUsize) -> Self {
        Self { jobs, ..self }
    }

    /// Imports copies of the files, as [`Client::import_staged`] does; the manifest lies there too.
    #[must_use]
    pub fn staging(self, directory: impl Into<PathBuf>) -> Self {
        Self {
            staging: Some(directory.into()),
            ..self
        }
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

impl Client {
    /// Imports the files of a directory and a manifest of them. The task of the manifest is that of the
    /// tree: [`Client::export_tree`] makes the same directory of it. A directory with the same content
    /// gives the same id, and what of it exists already is not imported again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`], before anything is imported, if there is something in the directory
    /// that is no file, link or directory; and whatever an import can do. The error names the file.
    pub async fn import_tree(&self, tree: &ImportTree) -> Result<ImportedTree> {
        let path = std::path::absolute(&tree.request.path).map_err(|source| {
            Error::local_file(format!("cannot import {}", tree.request.path.display()))
                .because(source)
        })?;
        let attempt = Attempt::Import(path.clone());
        // On the heap: without optimisation, each layer around it copies it to its stack.
        let imported = Box::pin(async {
            let imported = self.import_tree_at(tree, path).await;
            imported.map_err(|error| error.within(attempt.clone()))
        });
        let timeout = tree.request.timeout;
        self.bounded(timeout, attempt.clone(), imported).await
    }

    async fn import_tree_at(&self, tree: &ImportTree, path: PathBuf) -> Result<ImportedTree> {
        if tree.request.content_for_calculating_task_id.is_some() {
            let message = "the files of a tree cannot all have the id of one text";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let request = ImportRequest {
            skip_existing: true,
            ..tree.request.clone()
        };
        let root = path.clone();
        let entries = finished(on_thread("walk", move || {
            walk(&root, &mut |odd| Err(odd.into_error()))
        })?)
        .await?;
        let summary = TreeSummary::of(&entries);
        let counter = Counter::new(tree.progress.as_ref());
        counter.begin(&summary);
        let all = Files {
            client: self,
            request: &request,
            staging: tree.staging.as_deref(),
            root: &path,
            counter: &counter,
            state: Mutex::new(State::new(entries)),
        };
        let jobs = tree.jobs.get().min(summary.file_count.max(1));
        together((0..jobs).map(|_| all.work())).await?;
        let mut state = all.state.into_inner();
        state.share_ids();
        let lies_in = tree.staging.as_ref().unwrap_or(&path).clone();
        let manifest = self.import_manifest(&request, lies_in, state.entries);
        let (manifest, entries) = manifest.await?;
        state.entries = entries;
        if manifest.existed {
            state.note_expiry(&manifest.task, &request);
        }
        Ok(ImportedTree {
            path,
            task: manifest.task,
            existed: manifest.existed,
            summary,
            existing_count: state.existing_count,
            expires_early: state.expires_early,
            entries: state.entries,
        })
    }

    /// Imports the manifest from a file that lies where the daemon sees the tree.
    async fn import_manifest(
        &self,
        request: &ImportRequest,
        root: PathBuf,
        entries: Vec<Entry>,
    ) -> Result<(Imported, Vec<Entry>)> {
        let cannot = |source| {
            Error::local_file("cannot write the manifest")
                .because(source)
                .hint("dfdaemon reads the manifest as a file in the directory or beside it: this user must be able to write there")
        };
        let user = self.daemon_user().await?;
        let request = request.clone();
        let write = move || {
            let file = PrivateFile::create(&root, user)
                .or_else(|error| match root.parent() {
                    Some(beside) => PrivateFile::create(beside, user),
                    None => Err(error),
                })
                .map_err(cannot)?;
            manifest::write(&entries, io::BufWriter::new(file.file())).map_err(cannot)?;
            let path = file.path().to_owned();
            let import = ImportRequest { path, ..request }.check()?;
            Ok((file, import, entries))
        };
        let (_file, import, entries) = self.blocking("manifest", write).await?;
        let imported = self.import_checked(&import).await;
        let imported =
            imported.map_err(|error| error.within("cannot import the manifest of the tree"))?;
        Ok((imported, entries))
    }
}

/// The files of a tree on their way.
struct Files<'a> {
    client: &'a Client,
    request: &'a ImportRequest,
    staging: Option<&'a Path>,
    root: &'a Path,
    counter: &'a Counter,
    state: Mutex<State>,
}

struct State {
    entries: Vec<Entry>,
    /// The first that nobody has taken.
    next: usize,
    /// By content, the entry whose task it is.
    by_content: HashMap<Sha256Digest, usize>,
    /// How the daemon calculates ids, once it has sent one.
    scheme: Option<TaskIdScheme>,
    /// Whether the last file existed already: then the next one is asked for before it is sent.
    existed: bool,
    existing_count: usize,
    expires_early: Option<ExpiresEarly>,
}

impl State {
    fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            next: 0,
            by_content: HashMap::new(),
            scheme: None,
            existed: false,
            existing_count: 0,
            expires_early: None,
        }
    }

    /// The next file that nobody works at.
    fn take(&mut self) -> Option<usize> {
        while let Some(entry) = self.entries.get(self.next) {
            self.next += 1;
            if matches!(entry.kind, Kind::File { .. }) {
                return Some(self.next - 1);
            }
        }
        None
    }

    /// Files of one content are imported once.
    fn is_first_of(&mut self, content: Sha256Digest, number: usize) -> bool {
        match self.by_content.entry(content) {
            hash_map::Entry::Vacant(free) => {
                free.insert(number);
                true
            }
            hash_map::Entry::Occupied(_) => false,
        }
    }

    /// Gives files whose content another one has the id of its task.
    fn share_ids(&mut self) {
        for number in 0..self.entries.len() {
            let Kind::File {
                sha256, task_id, ..
            } = &self.entries[number].kind
            else {
                continue;
            };
            if !task_id.is_empty() {
                continue;
            }
            let first = self.by_content.get(sha256).copied().unwrap_or(number);
            let Kind::File { task_id, .. } = &self.entries[first].kind else {
                continue;
            };
            let id = task_id.clone();
            if let Kind::File { task_id, .. } = &mut self.entries[number].kind {
                *task_id = id;
            }
        }
    }

    fn note_expiry(&mut self, task: &Task, request: &ImportRequest) {
        let asked = SignedDuration::try_from(request.ttl.duration()).unwrap_or_default();
        let Some(at) = task.expires_at else { return };
        let early = Timestamp::now()
            .checked_add(asked - EARLY)
            .is_ok_and(|asked| at < asked);
        if early {
            let (count, first) = self
                .expires_early
                .map_or((0, at), |known| (known.count, known.first));
            self.expires_early = Some(ExpiresEarly {
                count: count + 1,
                first: first.min(at),
            });
        }
    }
}

impl Files<'_> {
    /// Imports one file after the other, until none is left.
    async fn work(&self) -> Result<()> {
        loop {
            let (number, path, length) = {
                let mut state = self.state.lock();
                let Some(number) = state.take() else {
                    return Ok(());
                };
                let entry = &state.entries[number];
                let Kind::File { length, .. } = entry.kind else {
                    continue;
                };
                (number, entry.path.clone(), length)
            };
            self.counter.begin_file(&path);
            self.import(number, &path, length)
                .await
                .map_err(|error| error.within(format!("cannot import its file {path}")))?;
            self.counter.change(|progress| {
                progress.files_done += 1;
                progress.bytes_done += length;
            });
        }
    }

    async fn import(&self, number: usize, path: &str, length: u64) -> Result<()> {
        let request = ImportRequest {
            path: self.root.join(path),
            ..self.request.clone()
        };
        let (read, staging) = (request.clone(), self.staging);
        let is_staged = staging.is_some();
        let hashed = on_thread("hash", move || Hashed::of(read, length, is_staged))?;
        let file = finished(hashed).await?;
        {
            let mut state = self.state.lock();
            if let Kind::File { sha256, .. } = &mut state.entries[number].kind {
                *sha256 = file.sha256;
            }
            if !state.is_first_of(file.sha256, number) {
                return Ok(());
            }
        }
        let (task, existed) = match self.existing(&file, length).await? {
            Some(task) => (task, true),
            None => {
                let imported = match (&file.import, staging) {
                    (Some(import), _) => self.client.import_checked(import).await?,
                    (None, Some(staging)) => self.client.import_staged(request, staging).await?,
                    (None, None) => self.client.import(request).await?,
                };
                (imported.task, imported.existed)
            }
        };
        let scheme = file.scheme_of(task.task_id.as_str()).ok_or_else(|| {
            Error::local_file(format!("its content differs from task {}", task.task_id))
                .because("it changed while it was imported, or dfdaemon sees another file there")
        })?;
        let mut state = self.state.lock();
        state.scheme = Some(scheme);
        state.existed = existed;
        if existed {
            state.existing_count += 1;
            state.note_expiry(&task, self.request);
        }
        if let Kind::File { task_id, .. } = &mut state.entries[number].kind {
            *task_id = task.task_id.to_string();
        }
        Ok(())
    }

    /// The task of a file, if it probably exists and does: dfdaemon need not read the file then.
    async fn existing(&self, file: &Hashed, length: u64) -> Result<Option<Task>> {
        let scheme = {
            let state = self.state.lock();
            state.scheme.filter(|_| state.existed)
        };
        let Some(scheme) = scheme else {
            return Ok(None);
        };
        let id: TaskId = file.id(scheme).parse()?;
        match self.client.stat(&id).await {
            Ok(task) if task.state == TaskState::Succeeded && task.content_length == length => {
                Ok(Some(task))
            }
            // An import says what is wrong with it.
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
