//! The stream of an export: its first message, its pieces, its end.

use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
};
use tonic::codec::Streaming;
use tracing::{debug, info};

use super::{ExportRequest, Progress};
use crate::client::Client;
use crate::content::{Chunk, ContentWriter};
use crate::error::{Error, Result};
use crate::pieces::{Addition, Coverage};
use crate::status::{self, Operation};

/// No file system holds a longer file.
const MAX_CONTENT_LENGTH: u64 = i64::MAX.unsigned_abs();

/// A stream that was watched to its good end.
pub(super) struct Watched {
    pub(super) coverage: Coverage,
    /// The length that was announced, in bytes.
    pub(super) content_length: u64,
    /// Whether the pieces make up the content.
    pub(super) whole: Result<()>,
}

/// A stream whose first message has come.
pub(super) struct PieceStream<'a> {
    request: &'a ExportRequest,
    operation: Operation,
    messages: Streaming<DownloadPersistentCacheTaskResponse>,
    coverage: Coverage,
    content_length: u64,
}

impl<'a> PieceStream<'a> {
    /// Sends the request and waits for the first message.
    pub(super) async fn open(
        client: &Client,
        request: &'a ExportRequest,
        wire: DownloadPersistentCacheTaskRequest,
        operation: Operation,
    ) -> Result<Self> {
        let response = client.service().download_persistent_cache_task(wire).await;
        let mut messages = response
            .map_err(|status| status::cause(&status, operation))?
            .into_inner();
        let first = messages
            .message()
            .await
            .map_err(|status| status::cause(&status, operation))?
            .and_then(|message| message.response);
        let Some(Response::DownloadPersistentCacheTaskStartedResponse(started)) = first else {
            return Err(Error::integrity(
                "the stream does not start with the length of the content",
            ));
        };
        let content_length = started.content_length;
        if content_length > MAX_CONTENT_LENGTH {
            return Err(Error::integrity(format!(
                "no file is as long as the {content_length} bytes that were announced"
            )));
        }
        info!(task_id = %request.task_id, content_length, "export started");
        let stream = Self {
            request,
            operation,
            messages,
            coverage: Coverage::new(content_length),
            content_length,
        };
        stream.report();
        Ok(stream)
    }

    /// The length that was announced, in bytes.
    pub(super) fn content_length(&self) -> u64 {
        self.content_length
    }

    /// Receives every piece and has its content written and verified.
    pub(super) async fn write_to(mut self, mut writer: ContentWriter) -> Result<Coverage> {
        loop {
            let piece = tokio::select! {
                biased;
                error = writer.failed() => return Err(error),
                piece = self.next_piece() => piece?,
            };
            let Some(piece) = piece else {
                break;
            };
            let added = self.add(&piece)?;
            let chunk = chunk(piece)?;
            if added == Addition::New {
                writer.write(chunk).await?;
            }
        }
        self.whole()?;
        writer.finish().await?;
        Ok(self.coverage)
    }

    /// Receives every piece for its place alone: the daemon writes the content. A piece that does
    /// not fit is remembered until the end, since before it nobody knows whether the file that is
    /// there is the daemon's.
    pub(super) async fn watch(mut self) -> Result<Watched> {
        let mut misfit = None;
        while let Some(piece) = self.next_piece().await? {
            if let Err(error) = self.add(&piece) {
                misfit.get_or_insert(error);
            }
        }
        Ok(Watched {
            whole: misfit.map_or_else(|| self.whole(), Err),
            content_length: self.content_length,
            coverage: self.coverage,
        })
    }

    /// Whether every byte has come.
    fn whole(&self) -> Result<()> {
        self.coverage
            .complete()
            .map_err(|source| Error::integrity("pieces are missing").because(source))
    }

    /// The next piece; none at the end. A repeated announcement of the same length and messages
    /// of a kind that we do not know say nothing new.
    async fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            let message = self.messages.message().await;
            let message = message.map_err(|status| status::cause(&status, self.operation))?;
            let Some(message) = message else {
                return Ok(None);
            };
            match message.response {
                Some(Response::DownloadPieceFinishedResponse(finished)) => {
                    let piece = finished.piece.ok_or_else(|| {
                        Error::integrity("a piece was announced, but did not come")
                    })?;
                    return Ok(Some(piece));
                }
                Some(Response::DownloadPersistentCacheTaskStartedResponse(again))
                    if again.content_length != self.content_length =>
                {
                    return Err(Error::integrity(format!(
                        "the length of the content changed from {} to {} bytes",
                        self.content_length, again.content_length
                    )));
                }
                Some(Response::DownloadPersistentCacheTaskStartedResponse(_)) | None => {}
            }
        }
    }

    fn add(&mut self, piece: &Piece) -> Result<Addition> {
        let added = self.coverage.add(piece.offset, piece.length);
        let added = added.map_err(|source| {
            Error::integrity(format!("piece {} does not fit", piece.number)).because(source)
        })?;
        debug!(number = piece.number, ?added, "piece");
        self.report();
        Ok(added)
    }

    fn report(&self) {
        self.request.report(Progress {
            content_length: Some(self.content_length),
            received: self.coverage.covered(),
        });
    }
}

/// The content of a piece, if it has any and all of it.
fn chunk(piece: Piece) -> Result<Chunk> {
    let number = piece.number;
    let content = match piece.content {
        Some(content) => content,
        None if piece.length == 0 => bytes::Bytes::new(),
        None => {
            return Err(Error::integrity(format!(
                "piece {number} came without content"
            )));
        }
    };
    if content.len() as u64 != piece.length {
        return Err(Error::integrity(format!(
            "piece {number} has {} bytes of content, not {}",
            content.len(),
            piece.length
        )));
    }
    Ok(Chunk {
        number,
        offset: piece.offset,
        content,
        digest: piece.digest,
    })
}
