//! The stream of an export: *started*, a message a piece, then the end, which comes only after
//! link, copy and digest are done.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    DownloadPersistentCacheTaskStartedResponse, DownloadPieceFinishedResponse,
};
use futures_util::Stream;
use tokio::sync::mpsc;
use tonic::{Extensions, Response, Status};

use super::host::{Asked, ServedHost};
use super::message;
use super::piece_faults::{Fate, applies, hits_pieces, spoil};
use crate::call::{Call, broken_off};
use crate::cluster::{Arrival, Export, ExportRequest};
use crate::faults::registry::Armed;
use crate::faults::{Action, Phase};
use crate::limits::{Blocked, RequestPermit};
use crate::quirks::Quirk;
use crate::rpc::Rpc;

/// Messages that are made before the reader has taken them. With the one in the making and the
/// one being written, this bounds an export's memory to a few pieces, however slow the reader.
const MESSAGES_AHEAD: usize = 1;

type Message = Result<DownloadPersistentCacheTaskResponse, Status>;

/// The messages of one export. Dropped, the export stops.
#[derive(Debug)]
pub(super) struct ExportStream(mpsc::Receiver<Message>);

impl Stream for ExportStream {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

impl ExportStream {
    /// Answers an export: with a status if it cannot begin, else with the stream.
    pub(super) async fn answer(
        host: &ServedHost,
        request: DownloadPersistentCacheTaskRequest,
        extensions: &Extensions,
    ) -> Result<Response<Self>, Status> {
        let asked = Asked {
            task: Some(&request.task_id),
            tag: request.tag.as_deref(),
            application: request.application.as_deref(),
            request: message::export_fields(&request),
        };
        let mut call = host.begin(Rpc::Export, asked, extensions).await;
        match begin(host, &mut call, request).await {
            Ok(begun) => Ok(Response::new(begun.send(host, call))),
            Err(status) => {
                call.answered(Some(&status));
                Err(status)
            }
        }
    }
}

/// An export that has begun, and what is needed to send it.
struct Begun {
    export: Export,
    with_content: bool,
    permit: RequestPermit,
}

async fn begin(
    host: &ServedHost,
    call: &mut Call,
    request: DownloadPersistentCacheTaskRequest,
) -> Result<Begun, Status> {
    call.pass(Phase::Before).await?;
    let permit = host.permit()?;
    let (tag, application) = (request.tag.as_deref(), request.application.as_deref());
    host.check_blocked(Blocked::Export, tag, application)?;
    let with_content = request.need_piece_content;
    let request = message::export_request(request, host.cluster.release());
    let writes = request.output.is_some() || !host.cluster.holds(host.number, &request.task_id);
    let disk_fault = if writes { call.disk_fault() } else { None };
    let request = ExportRequest {
        disk_fault,
        ..request
    };
    let number = host.number;
    let export = host
        .cluster
        .blocking(move |cluster| cluster.export(number, request))
        .await;
    let export = export.map_err(|error| host.status(&error))?;
    Ok(Begun {
        export,
        with_content,
        permit,
    })
}

impl Begun {
    fn send(self, host: &ServedHost, call: Call) -> ExportStream {
        let (messages, stream) = mpsc::channel(MESSAGES_AHEAD);
        let to = Envelope {
            host_id: host.cluster.host_id(host.number).to_owned(),
            task_id: self.export.task.task_id.clone(),
            peer_id: self.export.peer_id.clone(),
            messages,
            goes_on_alone: host.cluster.has_quirk(Quirk::OrphanedExports),
        };
        let waiting = call
            .armed
            .iter()
            .filter(|armed| lies_in_the_stream(armed))
            .cloned()
            .collect();
        let (host_of_task, with_content) = (host.clone(), self.with_content);
        let sending = Sending {
            host: host_of_task,
            call,
            waiting,
            to,
            with_content,
            bandwidth: None,
            sent: 0,
        };
        host.cluster.spawn(async move {
            sending.run(self.export).await;
            drop(self.permit);
        });
        ExportStream(stream)
    }
}

/// Whether a fault acts on the stream, or at a place in it.
fn lies_in_the_stream(armed: &Armed) -> bool {
    armed.is_placed()
        || hits_pieces(armed.action())
        || matches!(
            armed.action(),
            Action::Bandwidth(_) | Action::ShufflePieces | Action::WrongContentLength(_)
        )
}

/// An export on its way to the client.
struct Sending {
    host: ServedHost,
    call: Call,
    /// Faults that have not acted yet.
    waiting: Vec<Armed>,
    to: Envelope,
    with_content: bool,
    /// Bytes a second, once a fault has limited it.
    bandwidth: Option<u64>,
    /// Content that the pieces sent so far stand for, in bytes.
    sent: u64,
}

/// Whether there is more to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoesOn,
    Ends,
}

impl Sending {
    async fn run(mut self, export: Export) {
        let (ends, client) = (self.call.ends(), self.to.messages.clone());
        let goes_on_alone = self.to.goes_on_alone;
        let sent = tokio::select! {
            sent = self.send_all(export) => sent,
            () = ends.cancelled() => Err(broken_off()),
            // The call notes by itself that its client is gone.
            () = client.closed(), if !goes_on_alone => return,
        };
        // First the journal, then the end: who has seen the end finds the call in the journal.
        self.call.answered(sent.as_ref().err());
        if let Err(status) = sent {
            let _ = self.to.messages.send(Err(status)).await;
        }
    }

    async fn send_all(&mut self, mut export: Export) -> Result<(), Status> {
        let content_length = self.announced_length(export.task.content_length);
        let started = DownloadPersistentCacheTaskStartedResponse { content_length };
        self.to
            .send(Event::DownloadPersistentCacheTaskStartedResponse(started))
            .await;
        if self.send_pieces(&mut export).await? == Flow::Ends {
            return Ok(());
        }
        // Faults that lie in wait behind the last byte.
        self.pass_place(None).await?;
        export
            .finish()
            .await
            .map_err(|error| self.host.status(&error))?;
        self.call.pass(Phase::After).await
    }

    async fn send_pieces(&mut self, export: &mut Export) -> Result<Flow, Status> {
        let shuffles = self.take(|armed| *armed.action() == Action::ShufflePieces);
        let mut shuffled = Vec::new();
        loop {
            let next = export
                .next_piece()
                .await
                .map_err(|error| self.host.status(&error))?;
            match next {
                Some(arrival) if shuffles.is_some() => shuffled.push(arrival),
                Some(arrival) => {
                    if self.send_piece(export, &arrival).await? == Flow::Ends {
                        return Ok(Flow::Ends);
                    }
                }
                None => break,
            }
        }
        if let Some(mut armed) = shuffles {
            armed.random.shuffle(&mut shuffled);
            if shuffled.is_sorted_by_key(|arrival| arrival.number) && shuffled.len() > 1 {
                // Chance may bring the order about that every client copes with.
                shuffled.rotate_left(1);
            }
        }
        for arrival in shuffled {
            if self.send_piece(export, &arrival).await? == Flow::Ends {
                return Ok(Flow::Ends);
            }
        }
        Ok(Flow::GoesOn)
    }

    async fn send_piece(&mut self, export: &Export, arrival: &Arrival) -> Result<Flow, Status> {
        self.pass_place(Some(arrival.number)).await?;
        let mut piece = message::piece(arrival);
        if self.with_content {
            let content = export.content(arrival.range.clone()).await;
            piece.content = Some(content.map_err(|error| self.host.status(&error))?);
        }
        let length = piece.length;
        self.throttle(length).await?;
        match self.spoil(&mut piece) {
            Fate::End => return Ok(Flow::Ends),
            Fate::Skipped => {}
            Fate::Sent => self.send_message(piece).await,
            Fate::Repeated => {
                self.send_message(piece.clone()).await;
                self.send_message(piece).await;
            }
        }
        self.sent += length;
        Ok(Flow::GoesOn)
    }

    async fn send_message(&mut self, piece: Piece) {
        self.call.count_piece(
            piece
                .content
                .as_ref()
                .map_or(0, |content| content.len() as u64),
        );
        let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
        self.to
            .send(Event::DownloadPieceFinishedResponse(finished))
            .await;
    }

    /// Lets the faults act that hit the call itself at this place: before a piece, or at the end.
    async fn pass_place(&mut self, piece: Option<u32>) -> Result<(), Status> {
        let sent = self.sent;
        let is_here = |armed: &Armed| match piece {
            Some(number) => armed.is_at_piece(number, sent),
            None => armed.fault.piece.is_none() && armed.is_at_piece(0, sent),
        };
        let is_due =
            |armed: &Armed| armed.is_placed() && !hits_pieces(armed.action()) && is_here(armed);
        let due: Vec<_> = self.waiting.extract_if(.., |armed| is_due(armed)).collect();
        for armed in due {
            if let Action::Bandwidth(rate) = armed.action() {
                self.bandwidth = self.call.fire(&armed).then_some(*rate).or(self.bandwidth);
            }
            self.call.act(&armed).await?;
        }
        Ok(())
    }

    /// Lets the faults act that hit single pieces.
    fn spoil(&mut self, piece: &mut Piece) -> Fate {
        let (number, sent) = (piece.number, self.sent);
        let mut fate = Fate::Sent;
        let mut kept = Vec::new();
        for armed in std::mem::take(&mut self.waiting) {
            let action = armed.action();
            let is_due = hits_pieces(action) && armed.is_at_piece(number, sent);
            if !is_due || !applies(action, piece) {
                kept.push(armed);
            } else if self.call.fire(&armed) {
                let spoiled = spoil(action, piece);
                fate = if spoiled == Fate::Sent { fate } else { spoiled };
            }
        }
        self.waiting = kept;
        fate
    }

    /// Holds a piece back for as long as its content takes at the bandwidth that a fault allows.
    async fn throttle(&mut self, length: u64) -> Result<(), Status> {
        let limited =
            self.take(|armed| matches!(armed.action(), Action::Bandwidth(_)) && !armed.is_placed());
        if let Some(Action::Bandwidth(rate)) = limited.as_ref().map(Armed::action) {
            self.bandwidth = Some(*rate);
        }
        let Some(rate) = self.bandwidth else {
            return Ok(());
        };
        let clock = self.call.clock().clone();
        let takes = Duration::from_secs_f64(length as f64 / rate as f64);
        self.call.wait_for(clock.sleep(takes)).await
    }

    fn announced_length(&mut self, length: u64) -> u64 {
        let wrong = self.take(|armed| matches!(armed.action(), Action::WrongContentLength(_)));
        match wrong.as_ref().map(Armed::action) {
            Some(Action::WrongContentLength(by)) => length.saturating_add_signed(*by),
            _ => length,
        }
    }

    /// Takes a waiting fault out, if it may still fire.
    fn take(&mut self, is_it: impl Fn(&Armed) -> bool) -> Option<Armed> {
        let position = self.waiting.iter().position(is_it)?;
        let armed = self.waiting.remove(position);
        self.call.fire(&armed).then_some(armed)
    }
}

/// What every message of an export carries.
struct Envelope {
    host_id: String,
    task_id: String,
    peer_id: String,
    messages: mpsc::Sender<Message>,
    /// Whether the export does its work also when its client is gone.
    goes_on_alone: bool,
}

impl Envelope {
    async fn send(&self, event: Event) {
        let message = DownloadPersistentCacheTaskResponse {
            host_id: self.host_id.clone(),
            task_id: self.task_id.clone(),
            peer_id: self.peer_id.clone(),
            response: Some(event),
        };
        if self.messages.send(Ok(message)).await.is_err() && !self.goes_on_alone {
            // The client is gone: whoever waits for that breaks this off.
            std::future::pending::<()>().await;
        }
    }
}
