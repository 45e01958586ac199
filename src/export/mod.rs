//! Exporting: the stream of pieces and its verification, by transfer and by path.
//!
//! Nothing that a daemon sends is trusted: places of pieces are checked by `coverage`, their
//! content by `content`, and the output only takes its place in `output` when all is well.

mod by_daemon;
mod local_replica;
mod piece_stream;
mod request;
pub(crate) mod verify;

use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;

use bytes::Bytes;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::content::thread::{finished, on_thread};
use crate::content::{ContentWriter, OrderedWriter, PositionedWriter, stream_failed};
use crate::output::{Target, TemporaryFile};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::first::{First, first};
use crate::wire::status::Operation;

use local_replica::{LocalReplica, Mender};
use piece_stream::PieceStream;

pub(crate) use local_replica::mended;
pub(crate) use request::OnProgress;
pub use request::{ExportMode, ExportRequest, Exported, Progress};
pub use verify::Verified;

impl Client {
    /// Exports a task to the file at `path`: an [`ExportRequest`], or a [`TaskId`](crate::TaskId) for one with
    /// defaults.
    ///
    /// After an error, or when the call is dropped, `path` is as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`] if the file cannot be written there, [`ErrorKind::Integrity`] if the
    /// content is not what was promised, [`ErrorKind::NotFound`] if there is no such task,
    /// [`ErrorKind::Unavailable`] if no host has the content, [`ErrorKind::Timeout`] if it takes longer
    /// than the request's timeout, and the errors of the connection.
    pub async fn export_to_path(
        &self,
        request: impl Into<ExportRequest>,
        path: impl Into<PathBuf>,
    ) -> Result<Exported> {
        let (request, path) = (request.into(), path.into());
        let attempt = Attempt::Export(request.task_id.clone());
        let overwrite = request.overwrite;
        let export = async {
            let checked = on_thread("check", move || Target::check(&path, overwrite))?;
            self.export(&request, finished(checked).await?).await
        };
        self.bounded(request.timeout, attempt, export).await
    }

    /// The same to a target that was checked, without a bound.
    pub(crate) async fn export(&self, request: &ExportRequest, target: Target) -> Result<Exported> {
        // Futures of some 10 kB, which callers would move about on their stacks.
        let exported = match request.mode {
            ExportMode::ByTransfer => Box::pin(self.export_by_transfer(request, target)).await,
            ExportMode::ByPath | ExportMode::ByHardLink => {
                Box::pin(by_daemon::export(self, request, target)).await
            }
        };
        exported.map_err(|error| cannot_export(request, error))
    }

    /// Exports a task into `writer`, in order. After an error the writer has a prefix of the content,
    /// or damaged content. A slow writer slows the daemon down.
    ///
    /// # Errors
    ///
    /// As of [`Client::export_to_path`].
    pub async fn export_to_writer(
        &self,
        request: impl Into<ExportRequest>,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<Exported> {
        let request = request.into();
        let (timeout, attempt) = (request.timeout, Attempt::Export(request.task_id.clone()));
        let (queue, mut content) = mpsc::channel(1);
        let export = self.export_to_blocking_writer(request, QueueWriter(queue));
        let copy = async {
            while let Some(bytes) = content.recv().await {
                writer.write_all(&bytes).await?;
            }
            writer.flush().await
        };
        let copy = async { copy.await.map_err(stream_failed) };
        let both = async {
            let (mut export, mut copy) = (pin!(export), pin!(copy));
            match first(&mut export, &mut copy).await {
                First::Left(exported) => {
                    let exported = exported?;
                    copy.await?;
                    Ok(exported)
                }
                First::Right(copied) => {
                    copied?;
                    export.await
                }
            }
        };
        // The export may have ended when the writer hangs.
        self.bounded(timeout, attempt, both).await
    }

    /// As [`Client::export_to_writer`], for a writer that blocks. It is used on a thread of its
    /// own, which may outlive a call that is dropped until its write returns.
    ///
    /// # Errors
    ///
    /// As of [`Client::export_to_path`].
    pub async fn export_to_blocking_writer(
        &self,
        request: impl Into<ExportRequest>,
        writer: impl Write + Send + 'static,
    ) -> Result<Exported> {
        let request = &request.into();
        let attempt = Attempt::Export(request.task_id.clone());
        let exported = Box::pin(async {
            let check = request.check(self).await?;
            let (mender, stream) = self.transfer(request).await?;
            let destination = OrderedWriter::new(writer, check);
            let coverage = stream
                .write_to(ContentWriter::on_thread(destination)?)
                .await?;
            mender.disarm();
            Ok(Exported {
                path: None,
                content_length: coverage.covered(),
                piece_count: coverage.piece_count(),
                transferred: true,
            })
        });
        let exported = self.bounded(request.timeout, attempt, async {
            exported
                .await
                .map_err(|error| cannot_export(request, error))
        });
        exported.await
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
        let create = move || TemporaryFile::create(target);
        let temporary = self.blocking("create", create).await?;
        let destination = PositionedWriter::new(temporary.file(), disk, shown)
            .of_length(stream.content_length())
            .checked(check)
            .synced(sync);
        let writer = if self.writes_inline() && !hashes {
            ContentWriter::inline(destination)
        } else {
            ContentWriter::on_thread(destination)?
        };
        let coverage = stream.write_to(writer).await?;
        mender.disarm();
        Ok(Exported {
            path: Some(temporary.commit()?),
            content_length: coverage.covered(),
            piece_count: coverage.piece_count(),
            transferred: true,
        })
    }

    /// The mender must be dropped after the stream, as it is when both are bound in this order.
    async fn transfer<'a>(&self, request: &'a ExportRequest) -> Result<(Mender, PieceStream<'a>)> {
        let client = self.for_transfer().await?;
        let replica = LocalReplica::ask(&client, request).await;
        let wire = DownloadPersistentCacheTaskRequest {
            need_piece_content: true,
            ..request.wire(replica.persistent)
        };
        let mender = Mender::new(&client, request, replica);
        let stream = PieceStream::open(&client, request, wire, Operation::ExportByTransfer).await?;
        Ok((mender, stream))
    }
}

/// Hands what is written on a thread to the receiving side.
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
