//! The request of an export, its progress, and its result.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;

use crate::client::Client;
use crate::content::{ContentCheck, IdCheck};
use crate::types::error::Result;
use crate::types::options::{Digest, TaskId, Timeout, ValueError, taken};
use crate::types::task::given;
use crate::wire::convert::wire_timeout;

/// What to export, and how.
///
/// Values convert from Rust's own types; the first invalid one is reported when the request is used.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # let copy = directory.path().join("copy.bin");
/// # std::fs::write(&model, "content")?;
/// use std::time::Duration;
///
/// use dfcache::{Client, ErrorKind, ExportMode, ExportRequest};
///
/// let client = Client::connect(daemon.endpoint()).await?;
/// let imported = client.import(&model).await?;
/// let request = ExportRequest::new(&imported.task.task_id)
///     .mode(ExportMode::ByTransfer)
///     .digest("crc32:3704798228".parse()?)
///     .timeout(Duration::from_secs(60))
///     .on_progress(|progress| println!("{} bytes", progress.received));
/// let error = client.export_to_path(&request, &copy).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Integrity);
/// assert!(!copy.exists());
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is given to a client"]
pub struct ExportRequest {
    pub(crate) task_id: TaskId,
    pub(crate) mode: ExportMode,
    pub(crate) overwrite: bool,
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) digest: Option<Digest>,
    pub(crate) verify: bool,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) progress: Option<OnProgress>,
    pub(crate) invalid: Option<ValueError>,
}

/// Where progress is reported.
#[derive(Clone)]
pub(crate) struct OnProgress(Arc<dyn Fn(Progress) + Send + Sync>);

impl OnProgress {
    pub(crate) fn new(report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

impl ExportRequest {
    /// An export of the task `task_id`.
    pub fn new<I>(task_id: I) -> Self
    where
        I: TryInto<TaskId>,
        ValueError: From<I::Error>,
    {
        let mut invalid = None;
        let task_id = taken(task_id, &mut invalid);
        Self {
            task_id: task_id.unwrap_or_else(|| TaskId::unchecked(String::new())),
            mode: ExportMode::default(),
            overwrite: false,
            tag: None,
            application: None,
            timeout: None,
            digest: None,
            verify: false,
            stall_timeout: None,
            progress: None,
            invalid,
        }
    }

    /// How the file is made; by default by the daemon. Content for a writer is always transferred.
    pub fn mode(mut self, mode: ExportMode) -> Self {
        self.mode = mode;
        self
    }

    /// Whether a file that exists is replaced.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// The tag that the daemon counts the export under.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// The application that the daemon counts the export under.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }

    /// How long the whole call may take, instead of [`Client::with_timeout`](crate::Client::with_timeout). The daemon gets
    /// the limit, too.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }

    /// The digest that the content must have, besides those of its pieces.
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Whether the content must give the task's id again, which is a hash of it. An id that was made
    /// from a text cannot be verified: the export then fails.
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// How long the daemon may send nothing; by default for ever.
    pub fn stall_timeout(mut self, stall: Duration) -> Self {
        self.stall_timeout = (!stall.is_zero()).then_some(stall);
        self
    }

    /// Calls `report` with the progress of the export, between two pieces: those that come over the
    /// connection, or those that the daemon says it has. `report` must not block.
    pub fn on_progress(mut self, report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(OnProgress::new(report));
        self
    }

    /// What the content must hash to. For an id, the daemon is asked what it was made from.
    pub(super) async fn check(&self, client: &Client) -> Result<Option<ContentCheck>> {
        if let Some(invalid) = &self.invalid {
            return Err(invalid.clone().into());
        }
        let id = if self.verify {
            Some(IdCheck::of(&client.stat(&self.task_id).await?)?)
        } else {
            None
        };
        Ok(ContentCheck::new(self.digest.clone(), id))
    }

    pub(super) fn report(&self, progress: Progress) {
        if let Some(OnProgress(report)) = &self.progress {
            report(progress);
        }
    }

    /// `persistent` is what the daemon's replica is afterwards.
    pub(super) fn wire(&self, persistent: bool) -> DownloadPersistentCacheTaskRequest {
        DownloadPersistentCacheTaskRequest {
            task_id: self.task_id.to_string(),
            persistent,
            tag: given(self.tag.clone()),
            application: given(self.application.clone()),
            output_path: None,
            timeout: self.timeout.and_then(wire_timeout),
            need_piece_content: false,
            force_hard_link: false,
            // Daemons of release 0.2 know neither, and later ones do both less carefully.
            digest: None,
            overwrite: false,
            remote_ip: None,
        }
    }
}

impl From<&Self> for ExportRequest {
    fn from(request: &Self) -> Self {
        request.clone()
    }
}

impl From<&str> for ExportRequest {
    fn from(task_id: &str) -> Self {
        Self::new(task_id)
    }
}

impl From<TaskId> for ExportRequest {
    fn from(task_id: TaskId) -> Self {
        Self::new(task_id)
    }
}

impl From<&TaskId> for ExportRequest {
    fn from(task_id: &TaskId) -> Self {
        Self::new(task_id)
    }
}

/// The progress of an export. Lengths are in bytes; repeated pieces count once.
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
/// use dfcache::ExportRequest;
///
/// let request = ExportRequest::new(&imported.task.task_id).on_progress(|progress| {
///     if let Some(length) = progress.content_length {
///         println!("{} of {length} bytes", progress.received);
///     }
/// });
/// client.export_to_writer(request, Vec::new()).await?;
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Length of the whole content, once it is known.
    pub content_length: Option<u64>,
    /// How much content was received.
    pub received: u64,
}

/// The result of an export.
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
/// let exported = client.export_to_path(&imported.task.task_id, &copy).await?;
/// assert_eq!(exported.path.as_deref(), Some(&*copy));
/// assert_eq!((exported.content_length, exported.piece_count), (7, 1));
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The absolute path of the file; `None` if the content went to a writer.
    pub path: Option<PathBuf>,
    /// Length of the content, in bytes.
    pub content_length: u64,
    /// The number of pieces.
    pub piece_count: usize,
    /// Whether the content came over the socket: the daemon did not write the file.
    pub transferred: bool,
}

/// How an export gets its file.
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
/// use dfcache::{ExportMode, ExportRequest};
///
/// let request = ExportRequest::new(&imported.task.task_id).mode(ExportMode::ByTransfer);
/// assert!(client.export_to_path(request, &copy).await?.transferred);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportMode {
    /// The daemon writes it: a hard link to its cache, or a copy across file systems.
    #[default]
    ByPath,
    /// The daemon writes it, and only as a hard link.
    ByHardLink,
    /// The daemon sends the content over the socket.
    ByTransfer,
}
