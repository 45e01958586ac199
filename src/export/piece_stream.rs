//! The stream of an export: its first message, its pieces, its end.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;
use tokio::time::timeout;
use tracing::{debug, info};

use super::{ExportRequest, Progress};
use crate::client::Client;
use crate::content::coverage::{Addition, Coverage};
use crate::content::{ContentWriter, Destination, Step};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::first::{First, first};
use crate::types::remedy::Remedy;
use crate::wire::call::Answer;
use crate::wire::piece_decoder::{Decoder, Event, Malformed, PieceHead};
use crate::wire::status::{self, Operation};

/// No file system holds a longer file.
const MAX_CONTENT_LENGTH: u64 = i64::MAX.unsigned_abs();

/// What a daemon said of the pieces of a file that it wrote, in a stream that ended well.
pub(super) struct PieceReport {
    pub(super) coverage: Coverage,
    /// The length that was announced, in bytes.
    pub(super) content_length: u64,
    /// Whether the pieces make up the content.
    pub(super) whole: Result<()>,
}

/// A stream whose first message has come.
pub(super) struct PieceStream<'a> {
    request: &'a ExportRequest,
    messages: Messages,
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
        let stall = request.stall_timeout;
        let answer = unless_stalled(stall, client.download(&wire, operation)).await?;
        let mut messages = Messages {
            operation,
            answer: answer?,
            stall,
            received: Bytes::new(),
            decoder: Decoder::new(),
        };
        let Some(Event::Started { content_length }) = messages.next().await? else {
            return Err(Error::integrity(
                "the stream does not start with the length of the content",
            ));
        };
        if content_length > MAX_CONTENT_LENGTH {
            return Err(Error::integrity(format!(
                "dfdaemon announced {content_length} bytes, more than a file can have"
            )));
        }
        info!(task_id = %request.task_id, content_length, "export started");
        let stream = Self {
            request,
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
    pub(super) async fn write_to(
        mut self,
        mut writer: ContentWriter<impl Destination>,
    ) -> Result<Coverage> {
        // Where the piece that is being received was said to be.
        let mut place = None;
        loop {
            let event = match first(writer.failed(), self.next_event()).await {
                First::Left(error) => return Err(error),
                First::Right(event) => event?,
            };
            let step = match event {
                None => break,
                Some(Event::ContentStarts { head, length }) => {
                    // Claimed before a byte is written: none is ever written twice.
                    let added = self.add(&head)?;
                    if length != head.length {
                        return Err(Error::integrity(format!(
                            "piece {} has {length} bytes of content, not {}",
                            head.number, head.length
                        )));
                    }
                    place = Some((head.offset, head.length));
                    Step::Start {
                        number: head.number,
                        offset: head.offset,
                        repeated: added == Addition::Known,
                    }
                }
                Some(Event::Content(content)) => Step::Content(content),
                Some(Event::Piece { head, .. }) => {
                    let Some(place) = place.take() else {
                        self.add(&head)?;
                        without_content(&head)?;
                        continue;
                    };
                    if place != (head.offset, head.length) {
                        return Err(Error::integrity(format!(
                            "the offset of piece {} comes only after its content",
                            head.number
                        )));
                    }
                    self.report();
                    Step::End {
                        digest: head.digest,
                    }
                }
                Some(_) => continue,
            };
            writer.write(step).await?;
        }
        self.whole()?;
        writer.finish().await?;
        Ok(self.coverage)
    }

    /// Receives every piece for its place alone: the daemon writes the content. A piece that does
    /// not fit is remembered until the end, since before it nobody knows whether the file that is
    /// there is the daemon's.
    pub(super) async fn watch(mut self) -> Result<PieceReport> {
        let mut misfit = None;
        while let Some(event) = self.next_event().await? {
            let Event::Piece { head, .. } = event else {
                continue;
            };
            match self.add(&head) {
                Ok(_) => self.report(),
                Err(error) => {
                    misfit.get_or_insert(error);
                }
            }
        }
        Ok(PieceReport {
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

    /// What comes next; none at the end. A repeated announcement of the same length and messages
    /// of a kind that we do not know say nothing new.
    async fn next_event(&mut self) -> Result<Option<Event>> {
        let event = self.messages.next().await?;
        match event {
            Some(Event::Started { content_length }) if content_length != self.content_length => {
                Err(Error::integrity(format!(
                    "the length of the content changed from {} to {content_length} bytes",
                    self.content_length
                )))
            }
            Some(Event::NoPiece) => {
                Err(Error::integrity("a piece was announced, but did not come"))
            }
            event => Ok(event),
        }
    }

    fn add(&mut self, piece: &PieceHead) -> Result<Addition> {
        let added = self.coverage.add(piece.offset, piece.length);
        let added = added.map_err(|source| {
            Error::integrity(format!(
                "piece {} has a wrong place or length",
                piece.number
            ))
            .because(source)
        })?;
        debug!(number = piece.number, ?added, "piece");
        Ok(added)
    }

    fn report(&self) {
        self.request.report(Progress {
            content_length: Some(self.content_length),
            received: self.coverage.covered(),
        });
    }
}

/// Only an empty piece may be.
fn without_content(piece: &PieceHead) -> Result<()> {
    if piece.length == 0 {
        return Ok(());
    }
    Err(Error::integrity(format!(
        "piece {} came without content",
        piece.number
    )))
}

/// The messages of an answer, decoded as they arrive.
struct Messages {
    operation: Operation,
    answer: Answer,
    /// How long nothing may come.
    stall: Option<Duration>,
    /// Not yet decoded.
    received: Bytes,
    decoder: Decoder,
}

impl Messages {
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let event = self.decoder.next(&mut self.received);
            if let Some(event) = event.map_err(malformed)? {
                return Ok(Some(event));
            }
            let bytes = unless_stalled(self.stall, self.answer.next()).await?;
            let bytes = bytes.map_err(|status| status::cause(&status, self.operation))?;
            let Some(bytes) = bytes else {
                self.decoder.finish().map_err(malformed)?;
                return Ok(None);
            };
            self.received = bytes;
        }
    }
}

/// Waits, but not for longer than nothing may come.
async fn unless_stalled<T>(stall: Option<Duration>, next: impl Future<Output = T>) -> Result<T> {
    let Some(stall) = stall else {
        return Ok(next.await);
    };
    timeout(stall, next).await.map_err(|_| {
        let stall = humantime::format_duration(stall);
        Error::new(ErrorKind::Timeout, "the export stalled")
            .because(format!("nothing came from dfdaemon for {stall}"))
            .with_remedy(Remedy::MorePatience)
    })
}

fn malformed(source: Malformed) -> Error {
    Error::integrity("dfdaemon's answer cannot be read").because(source)
}
