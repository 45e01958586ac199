//! The stream of an export: *started*, a message a piece, then the end, which comes only after
//! link, copy and digest are done.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskResponse, DownloadPersistentCacheTaskStartedResponse,
    DownloadPieceFinishedResponse,
};
use futures_util::Stream;
use tokio::sync::mpsc;
use tonic::Status;

use super::{message, status};
use crate::cluster::{Cluster, Error, Export};
use crate::limits::RequestPermit;

/// Messages that are made before the reader has taken them. With the one in the making and the
/// one being written, this bounds an export's memory to a few pieces, however slow the reader.
const MESSAGES_AHEAD: usize = 1;

/// What the stream shall carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The content of the pieces.
    pub(super) content: bool,
}

/// The messages of one export. Dropped, the export stops.
#[derive(Debug)]
pub(super) struct ExportStream {
    messages: mpsc::Receiver<Result<DownloadPersistentCacheTaskResponse, Status>>,
    _permit: RequestPermit,
}

impl ExportStream {
    pub(super) fn start(
        cluster: &Arc<Cluster>,
        host_id: String,
        export: Export,
        wanted: Wanted,
        permit: RequestPermit,
    ) -> Self {
        let (sender, messages) = mpsc::channel(MESSAGES_AHEAD);
        let to = Sender {
            host_id,
            task_id: export.task.task_id.clone(),
            peer_id: export.peer_id.clone(),
            messages: sender,
        };
        let (stopping, release) = (cluster.stopping().clone(), cluster.release());
        cluster.spawn(async move {
            let sent = tokio::select! {
                sent = send_all(&to, export, wanted) => sent,
                () = stopping.cancelled() => Err(Error::Stopping),
                () = to.messages.closed() => return,
            };
            if let Err(error) = sent {
                let status = status::status(release, &error);
                // A client that is gone does not miss it.
                let _ = to.messages.send(Err(status)).await;
            }
        });
        Self {
            messages,
            _permit: permit,
        }
    }
}

impl Stream for ExportStream {
    type Item = Result<DownloadPersistentCacheTaskResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context)
    }
}

async fn send_all(to: &Sender, mut export: Export, wanted: Wanted) -> Result<(), Error> {
    let content_length = export.task.content_length;
    let started = DownloadPersistentCacheTaskStartedResponse { content_length };
    to.send(Event::DownloadPersistentCacheTaskStartedResponse(started))
        .await?;
    while let Some(arrival) = export.next_piece().await? {
        let mut piece = message::piece(&arrival);
        if wanted.content {
            piece.content = Some(export.content(arrival.range.clone()).await?);
        }
        let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
        to.send(Event::DownloadPieceFinishedResponse(finished))
            .await?;
    }
    export.finish().await
}

struct Sender {
    host_id: String,
    task_id: String,
    peer_id: String,
    messages: mpsc::Sender<Result<DownloadPersistentCacheTaskResponse, Status>>,
}

impl Sender {
    async fn send(&self, event: Event) -> Result<(), Error> {
        let message = DownloadPersistentCacheTaskResponse {
            host_id: self.host_id.clone(),
            task_id: self.task_id.clone(),
            peer_id: self.peer_id.clone(),
            response: Some(event),
        };
        self.messages
            .send(Ok(message))
            .await
            .map_err(|_| Error::Cancelled)
    }
}
