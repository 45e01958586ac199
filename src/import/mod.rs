//! Importing: the local checks, the one call, and what an existing task means.

mod file_id;
mod source;
mod staging;
mod unchanged;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dfdaemon_api::dfdaemon::v2::UploadPersistentCacheTaskRequest;
use tracing::info;

use crate::client::Client;
use crate::content::lanes::briefly;
use crate::content::thread::finished;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::escape::needs_escape;
use crate::types::options::{PieceLength, ReplicaCount, TaskId, Timeout, Ttl, ValueError, taken};
use crate::types::remedy::Remedy;
use crate::types::task::{Task, given};
use crate::types::task_state::TaskState;
use crate::wire::convert::wire_timeout;
use crate::wire::status::{self, Operation};
pub use dfdaemon_api::task_id::TaskIdScheme;
pub use file_id::task_id;
pub(crate) use file_id::{file_id, id_of};
#[cfg(feature = "cli")]
pub(crate) use staging::Staged;
use unchanged::State;

/// What to import, and how.
///
/// Values convert from Rust's own types; the first invalid one is reported when the request is used.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # std::fs::write(&model, "content")?;
/// use std::time::Duration;
///
/// use dfcache::{Client, ErrorKind, ImportRequest, Ttl};
///
/// let client = Client::connect(daemon.endpoint()).await?;
/// let request = ImportRequest::new(&model)
///     .tag("nightly")
///     .ttl(Ttl::from_hours(2))
///     .persistent_replica_count(3)
///     .timeout(Duration::from_secs(60));
/// let imported = client.import(&request).await?;
/// assert_eq!(imported.task.tag.as_deref(), Some("nightly"));
///
/// // Again: the task exists.
/// let error = client.import(&request).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::AlreadyExists);
/// let again = client.import(request.skip_existing(true)).await?;
/// assert!(again.existed);
///
/// let error = client.import(ImportRequest::new(&model).persistent_replica_count(0)).await;
/// assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is given to a client"]
pub struct ImportRequest {
    pub(crate) path: PathBuf,
    pub(crate) content_for_calculating_task_id: Option<String>,
    pub(crate) persistent_replica_count: ReplicaCount,
    pub(crate) piece_length: Option<PieceLength>,
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) ttl: Ttl,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) skip_existing: bool,
    pub(crate) invalid: Option<ValueError>,
}

impl ImportRequest {
    /// An import of the file at `path`, which the daemon reads: it must exist in the daemon's file
    /// system too. Two replicas for an hour.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            content_for_calculating_task_id: None,
            persistent_replica_count: ReplicaCount::default(),
            piece_length: None,
            tag: None,
            application: None,
            ttl: Ttl::default(),
            timeout: None,
            skip_existing: false,
            invalid: None,
        }
    }

    /// The text that the id is calculated from, instead of the file and the other options.
    pub fn content_for_calculating_task_id(mut self, text: impl Into<String>) -> Self {
        self.content_for_calculating_task_id = Some(text.into());
        self
    }

    /// The number of persistent replicas; by default 2.
    pub fn persistent_replica_count<C>(mut self, count: C) -> Self
    where
        C: TryInto<ReplicaCount>,
        ValueError: From<C::Error>,
    {
        if let Some(count) = taken(count, &mut self.invalid) {
            self.persistent_replica_count = count;
        }
        self
    }

    /// The length of pieces; by default the daemon chooses it.
    pub fn piece_length<L>(mut self, length: L) -> Self
    where
        L: TryInto<PieceLength>,
        ValueError: From<L::Error>,
    {
        self.piece_length = taken(length, &mut self.invalid);
        self
    }

    /// A tag; different tags make different tasks.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// An application; different applications make different tasks.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }

    /// How long the task lives; by default an hour.
    pub fn ttl<T>(mut self, ttl: T) -> Self
    where
        T: TryInto<Ttl>,
        ValueError: From<T::Error>,
    {
        if let Some(ttl) = taken(ttl, &mut self.invalid) {
            self.ttl = ttl;
        }
        self
    }

    /// How long the whole call may take, instead of [`Client::with_timeout`](crate::Client::with_timeout). The daemon gets
    /// the limit, too.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }

    /// Whether a task that exists already, complete and of the file's length, is a success.
    pub fn skip_existing(mut self, skip: bool) -> Self {
        self.skip_existing = skip;
        self
    }

    /// Checks the file on this side and makes the request ready to be sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`] if the file is missing, not a regular one, or not as long as it says;
    /// if its path means another file to the daemon (`/dev/stdin`, `/proc/self/…`); or if its path,
    /// with a symbolic link at its end resolved, is not UTF-8, which the protocol asks for.
    pub(crate) fn check(self) -> Result<CheckedImport> {
        let attempt = Attempt::Import(self.path.clone());
        self.checked().map_err(|error| error.within(attempt))
    }

    /// The same, for what is not an import: errors do not say what was attempted.
    pub(crate) fn checked(self) -> Result<CheckedImport> {
        if let Some(invalid) = self.invalid {
            return Err(invalid.into());
        }
        let path = std::path::absolute(&self.path).map_err(source::failed)?;
        if let Some(part) = source::private_part(&path) {
            let why = format!("{} names another file for dfdaemon", part.display());
            return Err(Error::local_file(why).hint("write the content to a file, and import that"));
        }
        let resolved = source::resolved(&path).map_err(source::failed)?;
        let wire_path = resolved.into_os_string().into_string().map_err(|_| {
            let why = "dfdaemon gets the path as text, and this one is not UTF-8";
            Error::local_file(why).hint("rename the file, or the directory that it is in")
        })?;
        let before = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                source::check_length(&path, metadata.len())?;
                Some(State::of(&metadata))
            }
            Ok(metadata) if metadata.is_dir() => {
                return Err(Error::local_file("it is a directory").with_remedy(Remedy::ImportTree));
            }
            Ok(_) => return Err(Error::local_file("it is not a regular file")),
            // Not for this user to see, but the daemon may be another one.
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => None,
            Err(source) => return Err(source::failed(source)),
        };
        Ok(CheckedImport {
            request: self,
            path,
            wire_path,
            before,
            is_copy: false,
        })
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for ImportRequest {
    fn from(path: &P) -> Self {
        Self::new(path.as_ref())
    }
}

impl From<&Self> for ImportRequest {
    fn from(request: &Self) -> Self {
        request.clone()
    }
}

impl From<PathBuf> for ImportRequest {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

/// An import whose file was there when it was checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedImport {
    request: ImportRequest,
    path: PathBuf,
    wire_path: String,
    /// The file as it was when it was checked, if this user may see it.
    before: Option<State>,
    /// Whether it is a copy that nobody else knows of, and so cannot change.
    is_copy: bool,
}

impl CheckedImport {
    fn length(&self) -> Option<u64> {
        self.before.map(|before| before.length())
    }

    /// Checks that the file is still the one that was checked. On a thread: it may be read.
    async fn check_unchanged(&self, task: &Task) -> Result<()> {
        let Some(before) = self.before.filter(|_| !self.is_copy) else {
            return Ok(());
        };
        let (path, request) = (self.path.clone(), self.request.clone());
        let task_id = task.task_id.clone();
        let checked = briefly(move || unchanged::check(&path, before, &request, task_id.as_str()))?;
        finished(checked).await
    }

    /// The file's absolute path, as it was given.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The result of an import.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # let copy = directory.path().join("copy.bin");
/// # std::fs::write(&model, "content")?;
/// # let client = dfcache::Client::connect(daemon.endpoint()).await?;
/// # let imported = client.import(&model).await?;
/// assert!(!imported.existed);
/// assert_eq!(imported.task.content_length, 7);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Imported {
    /// The task.
    pub task: Task,
    /// Whether it existed before; only with [`ImportRequest::skip_existing`].
    pub existed: bool,
}

impl Client {
    /// Imports a file: an [`ImportRequest`], or a path for one with defaults.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`] if the file is missing, not a regular one, or not as long as it says;
    /// if its path means another file to the daemon (`/dev/stdin`, `/proc/self/…`); if its path, with a
    /// symbolic link at its end resolved, is not UTF-8, which the protocol asks for; if the daemon
    /// cannot read it, or it changed meanwhile. [`ErrorKind::AlreadyExists`] if the task exists,
    /// [`ErrorKind::Refused`] if it exceeds the daemon's limits, [`ErrorKind::Timeout`] if it takes
    /// longer than the request's timeout, and the errors of the connection.
    pub async fn import(&self, request: impl Into<ImportRequest>) -> Result<Imported> {
        let request = request.into();
        let (timeout, attempt) = (request.timeout, Attempt::Import(request.path.clone()));
        let import = async {
            let checked = briefly(move || request.check())?;
            self.import_checked(&finished(checked).await?).await
        };
        self.bounded(timeout, attempt, import).await
    }

    /// The same without a bound.
    pub(crate) async fn import_checked(&self, import: &CheckedImport) -> Result<Imported> {
        let imported = self.import_once(import).await;
        imported.map_err(|error| error.within(Attempt::Import(import.path.clone())))
    }

    /// The same; errors do not say what was attempted.
    async fn import_once(&self, import: &CheckedImport) -> Result<Imported> {
        let service = self.service().await?;
        let status = match service.import(&wire_request(import)).await {
            Ok(task) => {
                let task = Task::from(task);
                check(&task, import)?;
                import.check_unchanged(&task).await?;
                info!(task_id = %task.task_id, "imported");
                return Ok(Imported {
                    task,
                    existed: false,
                });
            }
            Err(status) => status,
        };
        let error = status::cause(&status, Operation::Import);
        if error.kind() != ErrorKind::AlreadyExists || !import.request.skip_existing {
            return Err(error);
        }
        let Some(task_id) = status::existing_task(&status) else {
            return Err(error);
        };
        let task = self.existing(import, &task_id).await?;
        Ok(Imported {
            task,
            existed: true,
        })
    }

    /// The task that is already there, if it is what was to be imported.
    async fn existing(&self, import: &CheckedImport, task_id: &TaskId) -> Result<Task> {
        let differs = |why: String| {
            Error::new(
                ErrorKind::AlreadyExists,
                format!("task {task_id} is there already, but {why}"),
            )
        };
        let task = self.stat(task_id).await?;
        if task.state != TaskState::Succeeded {
            return Err(differs(format!("its state is {}", task.state))
                .hint("another import of it is under way; try again later"));
        }
        if import
            .length()
            .is_some_and(|length| length != task.content_length)
        {
            return Err(differs(format!(
                "it has {} bytes, and the file has another length",
                task.content_length
            )));
        }
        Ok(task)
    }
}

fn wire_request(import: &CheckedImport) -> UploadPersistentCacheTaskRequest {
    let request = &import.request;
    UploadPersistentCacheTaskRequest {
        content_for_calculating_task_id: request.content_for_calculating_task_id.clone(),
        path: import.wire_path.clone(),
        persistent_replica_count: request.persistent_replica_count.get(),
        tag: given(request.tag.clone()),
        application: given(request.application.clone()),
        piece_length: request.piece_length.map(PieceLength::bytes),
        ttl: prost_types::Duration::try_from(request.ttl.duration()).ok(),
        timeout: request.timeout.and_then(wire_timeout),
        remote_ip: None,
    }
}

/// Checks that the answer to an import is the task that was asked for.
fn check(task: &Task, import: &CheckedImport) -> Result<()> {
    // The id is printed for scripts, alone on a line: it must be one word.
    let id = task.task_id.as_str();
    if id.is_empty() || id.chars().any(|c| needs_escape(c) || c.is_whitespace()) {
        let message = format!("dfdaemon answered with an invalid task id: {id:?}");
        return Err(Error::integrity(message));
    }
    if task.state != TaskState::Succeeded {
        let message = format!(
            "the import ended, and task {id} is {:?}",
            task.state.as_str()
        );
        return Err(Error::integrity(message)
            .hint("import it again once it has failed or expired; stat shows its state"));
    }
    let length = task.content_length;
    match import.length() {
        Some(expected) if expected != length => Err(Error::integrity(format!(
            "dfdaemon imported {length} bytes as task {id}, and the file has {expected}"
        ))
        .hint("dfdaemon saw another file at this path: import from a directory that both sides see as the same")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
