//! Exporting: the stream of pieces and its verification, by transfer and by path.
//!
//! Nothing that a daemon sends is trusted: places of pieces are checked by `coverage`, their
//! content by `content`, and the output only takes its place in `output` when all is well.

mod by_daemon;
mod local_copy;
mod piece_stream;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use crate::client::Client;
use crate::content::{
    ContentCheck, ContentWriter, FileDestination, IdCheck, StreamDestination, stream_failed,
};
use crate::output::{Target, TemporaryFile};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::options::{Digest, TaskId, Timeout};
use crate::types::task::given;
use crate::wire::convert::wire_timeout;
use crate::wire::status::Operation;

use local_copy::{LocalCopy, Mender};
use piece_stream::PieceStream;

#[cfg(feature = "cli")]
pub(crate) use local_copy::mended;
pub use verify::Verified;

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// The task.
    pub task_id: TaskId,
    /// The tag that the daemon accounts the export to.
    pub tag: Option<String>,
    /// The application that the daemon accounts the export to.
    pub application: Option<String>,
    /// What the daemon is told about how long it may take.
    pub timeout: Option<Timeout>,
    /// What the content must hash to, besides the digests of its pieces.
    pub digest: Option<Digest>,
    /// Whether the content must give the task's id again, which is a hash of it. An id that was made
    /// from a text cannot be verified: the export then fails.
    pub verify: bool,
    /// Where progress is reported; `tokio_stream::wrappers::WatchStream` makes a stream of the
    /// other end.
    pub progress: Option<watch::Sender<Progress>>,
}

impl ExportRequest {
    /// An export of the task `task_id`.
    #[must_use]
    pub fn new(task_id: TaskId) -> Self {
        Self {
            task_id,
            tag: None,
            application: None,
            timeout: None,
            digest: None,
            verify: false,
            progress: None,
        }
    }

    /// What the content must hash to. For an id, the daemon is asked what it was made from.
    async fn check(&self, client: &Client) -> Result<Option<ContentCheck>> {
        let id = if self.verify {
            Some(IdCheck::of(&client.stat(&self.task_id).await?)?)
        } else {
            None
        };
        Ok(ContentCheck::new(self.digest.clone(), id))
    }

    fn report(&self, progress: Progress) {
        if let Some(sender) = &self.progress {
            sender.send_replace(progress);
        }
    }

    /// `persistent` is what the daemon's copy is afterwards.
    fn wire(&self, persistent: bool) -> DownloadPersistentCacheTaskRequest {
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

/// How far an export is. Lengths are in bytes; repeated pieces count once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Length of the whole content, once it is known.
    pub content_length: Option<u64>,
    /// How much of it has come.
    pub received: u64,
}

/// An export that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The absolute path that was written; none if the content went to a writer.
    pub path: Option<PathBuf>,
    /// Length of the content, in bytes.
    pub content_length: u64,
    /// How many pieces came.
    pub piece_count: usize,
}

/// How an export gets its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportMode {
    /// The daemon writes it: a hard link to its cache, or a copy across file systems.
    #[default]
    ByPath,
    /// The daemon writes it, and only as a hard link.
    ByHardLink,
    /// The daemon sends the content over the socket.
    ByTransfer,
}

impl Client {
    /// Exports a task to the file at `path`, which is replaced only with `overwrite`.
    ///
    /// After an error, or when the call is dropped, `path` is as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`] if the file cannot be written there, [`ErrorKind::Integrity`] if
    /// the content is not what was promised, [`ErrorKind::NotFound`] if there is no such task,
    /// [`ErrorKind::Unavailable`] if no host has the content, and whatever a connection can do.
    pub async fn export_to_path(
        &self,
        request: &ExportRequest,
        path: impl Into<PathBuf>,
        mode: ExportMode,
        overwrite: bool,
    ) -> Result<Exported> {
        let target = Target::check(&path.into(), overwrite)?;
        self.export(request, target, mode).await
    }

    pub(crate) async fn export(
        &self,
        request: &ExportRequest,
        target: Target,
        mode: ExportMode,
    ) -> Result<Exported> {
        let exported = match mode {
            ExportMode::ByTransfer => self.export_by_transfer(request, target).await,
            ExportMode::ByPath => by_daemon::export(self, request, target, false).await,
            ExportMode::ByHardLink => by_daemon::export(self, request, target, true).await,
        };
        exported.map_err(|error| cannot_export(request, error))
    }

    /// Exports a task into `writer`, in order. Nothing is taken back after an error: what was
    /// written then is a prefix of the content, or damaged. A writer that is slow slows the
    /// daemon down.
    ///
    /// # Errors
    ///
    /// As of [`Client::export_to_path`].
    pub async fn export_to_writer(
        &self,
        request: &ExportRequest,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<Exported> {
        let (queue, mut content) = mpsc::channel(1);
        let export = self.export_to_blocking_writer(request, QueueWriter(queue));
        let copy = async {
            while let Some(bytes) = content.recv().await {
                writer.write_all(&bytes).await?;
            }
            writer.flush().await
        };
        let copy = async { copy.await.map_err(stream_failed) };
        let (exported, ()) = tokio::try_join!(export, copy)?;
        Ok(exported)
    }

    /// As [`Client::export_to_writer`], for a writer that blocks. It is used on a thread of its
    /// own, which may outlive a call that is dropped until its write returns.
    ///
    /// # Errors
    ///
    /// As of [`Client::export_to_path`].
    pub async fn export_to_blocking_writer(
        &self,
        request: &ExportRequest,
        writer: impl Write + Send + 'static,
    ) -> Result<Exported> {
        let exported = async {
            let check = request.check(self).await?;
            let (mender, stream) = self.transfer(request).await?;
            let destination = StreamDestination::new(writer, check);
            let coverage = stream.write_to(ContentWriter::apart(destination)?).await?;
            mender.disarm();
            Ok(Exported {
                path: None,
                content_length: coverage.covered(),
                piece_count: coverage.piece_count(),
            })
        };
        exported
            .await
            .map_err(|error| cannot_export(request, error))
    }

    async fn export_by_transfer(
        &self,
        request: &ExportRequest,
        target: Target,
    ) -> Result<Exported> {
        let check = request.check(self).await?;
        // Hashing takes about as long as receiving: a thread of its own does both at once.
        let hashes = check.is_some();
        let (mender, stream) = self.transfer(request).await?;
        let shown = target.path().display().to_string();
        let disk = target.disk().clone();
        let sync = target.must_be_synced();
        let temporary = TemporaryFile::create(target)?;
        let destination = FileDestination::new(temporary.file(), disk, shown)
            .of_length(stream.content_length())
            .checked(check)
            .synced(sync);
        let writer = if self.may_block() && !hashes {
            ContentWriter::here(destination)
        } else {
            ContentWriter::apart(destination)?
        };
        let coverage = stream.write_to(writer).await?;
        mender.disarm();
        Ok(Exported {
            path: Some(temporary.commit()?),
            content_length: coverage.covered(),
            piece_count: coverage.piece_count(),
        })
    }

    /// The mender must be dropped after the stream, as it is when both are bound in this order.
    async fn transfer<'a>(&self, request: &'a ExportRequest) -> Result<(Mender, PieceStream<'a>)> {
        let client = self.for_transfer().await?;
        let copy = LocalCopy::ask(&client, request).await;
        let wire = DownloadPersistentCacheTaskRequest {
            need_piece_content: true,
            ..request.wire(copy.persistent)
        };
        let mender = Mender::new(&client, request, copy);
        let stream = PieceStream::open(&client, request, wire, Operation::ExportByTransfer).await?;
        Ok((mender, stream))
    }
}

/// Hands what is written on a thread to whoever receives.
#[derive(Debug)]
struct QueueWriter(mpsc::Sender<Bytes>);

impl Write for QueueWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Bytes::copy_from_slice(bytes))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cannot_export(request: &ExportRequest, error: Error) -> Error {
    if matches!(error.kind(), ErrorKind::Interrupted(_)) {
        return error;
    }
    error.within(Attempt::Export(request.task_id.clone()))
}

#[cfg(test)]
mod tests;
