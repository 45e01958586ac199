//! The stream of an export: *started*, a message a piece, then the end, which comes only after
//! link, copy and digest are done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    DownloadPersistentCacheTaskStartedResponse, DownloadPieceFinishedResponse,
};
use jiff::Timestamp;
use tonic::{Request, Status};

use super::export_body::{self, ExportBody, Parts};
use super::piece_faults::{Fate, Outgoing, applies, hits_pieces, spoil};
use super::service::{Asked, ServedHost};
use super::{framing, message};
use crate::call::Call;
use crate::call::clock::later;
use crate::call::faults::registry::Armed;
use crate::call::faults::{Action, Phase};
use crate::call::gate::broken_off;
use crate::call::rpc::Rpc;
use crate::cluster::{Arrival, Cluster, Export, ExportRequest};
use crate::dfdaemon::limits::{Blocked, RequestPermit};
use crate::dfdaemon::quirks::Quirk;

/// Answers an export: with a status if it cannot begin, else with the stream.
pub(super) async fn answer(
    host: &ServedHost,
    request: Request<DownloadPersistentCacheTaskRequest>,
) -> Result<ExportBody, Status> {
    let (_, extensions, request) = request.into_parts();
    let asked = Asked {
        task: Some(&request.task_id),
        tag: request.tag.as_deref(),
        application: request.application.as_deref(),
        request: message::export_fields(&request),
    };
    let mut call = host.begin(Rpc::Export, asked, &extensions).await;
    match begin(host, &mut call, request).await {
        Ok(begun) => Ok(begun.send(host, call)),
        Err(status) => {
            call.answered(Some(&status));
            Err(status)
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
    let request = ExportRequest {
        store_faults: call.store_faults(),
        ..request
    };
    let number = host.number;
    let by_path = request.output.is_some();
    let export = move |cluster: &Arc<Cluster>| cluster.export(number, request);
    let export = if by_path {
        host.cluster.blocking_on_client_file(export).await
    } else {
        host.cluster.blocking(export).await
    };
    let export = export.map_err(|error| host.status(&error))?;
    Ok(Begun {
        export,
        with_content,
        permit,
    })
}

impl Begun {
    fn send(self, host: &ServedHost, call: Call) -> ExportBody {
        let (parts, body) = export_body::channel();
        let lies_in_wait = |armed: &&Armed| lies_in_the_stream(armed);
        let sending = Sending {
            waiting: call.armed.iter().filter(lies_in_wait).cloned().collect(),
            host: host.clone(),
            call,
            envelope: DownloadPersistentCacheTaskResponse {
                host_id: host.cluster.host_id(host.number).to_owned(),
                task_id: self.export.task.task_id.clone(),
                peer_id: self.export.peer_id.clone(),
                response: None,
            },
            parts,
            with_content: self.with_content,
            pace: None,
            sent: 0,
        };
        host.cluster.spawn(async move {
            sending.run(self.export).await;
            drop(self.permit);
        });
        body
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
    /// What every message carries.
    envelope: DownloadPersistentCacheTaskResponse,
    parts: Parts,
    with_content: bool,
    /// Once a fault has limited the bandwidth.
    pace: Option<Pace>,
    /// Content that the pieces sent so far stand for, in bytes.
    sent: u64,
}

/// How fast content may go out, from a time on.
#[derive(Clone, Copy, Debug)]
struct Pace {
    bytes_per_second: u64,
    since: Timestamp,
    sent: u64,
}

impl Pace {
    /// When so much more content may be sent. The schedule is kept whatever each part took.
    fn due(&mut self, length: u64) -> Timestamp {
        self.sent = self.sent.saturating_add(length);
        let seconds = self.sent as f64 / self.bytes_per_second as f64;
        let takes = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        later(self.since, takes)
    }
}

/// Whether there is more to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoesOn,
    Ends,
}

impl Sending {
    async fn run(mut self, export: Export) {
        let held = export.held().filter(|_| self.with_content);
        let mut export = Some(export);
        let sent = self.send(&mut export).await;
        if let Some(export) = export {
            export.abandon().await;
        }
        match sent {
            // First the journal, then the end: who has seen the end finds the call in the journal.
            Some(sent) => {
                self.call.answered(sent.as_ref().err());
                self.parts.end(sent.err()).await;
            }
            // The call notes by itself that its client is gone.
            None => self.poison(held),
        }
    }

    /// Sends an export, and takes it when it is finished. `None` if its client is gone.
    async fn send(&mut self, export: &mut Option<Export>) -> Option<Result<(), Status>> {
        let (ends, parts) = (self.call.ends(), self.parts.clone());
        let goes_on_alone = self.goes_on_alone();
        let was_reset = self.call.was_reset();
        tokio::select! {
            sent = self.send_all(export) => Some(sent),
            () = ends.cancelled() => Some(Err(broken_off())),
            () = parts.unread(), if !goes_on_alone => None,
            // Also an export that goes on without its client ends when a fault closed its
            // connection: the fault waits until the call is taken away.
            () = async { was_reset.cancelled().await; parts.unread().await } => None,
        }
    }

    /// Whether the export does its work also when its client is gone.
    fn goes_on_alone(&self) -> bool {
        // Content that nobody takes is what makes a real one give up.
        let gives_up = self.with_content && self.host.cluster.has_quirk(Quirk::PoisonedCopies);
        self.host.cluster.has_quirk(Quirk::OrphanedExports) && !gives_up
    }

    /// Marks the copy that was sent from, as a real dfdaemon does when the client goes away.
    fn poison(&self, held: Option<u64>) {
        let (host, cluster) = (self.host.number, &self.host.cluster);
        if let Some(incarnation) = held.filter(|_| cluster.has_quirk(Quirk::PoisonedCopies)) {
            cluster.set_poisoned(host, &self.envelope.task_id, incarnation, true);
        }
    }

    async fn send_all(&mut self, slot: &mut Option<Export>) -> Result<(), Status> {
        let Some(export) = slot else {
            return Ok(());
        };
        let content_length = self.announced_length(export.task.content_length);
        let started = DownloadPersistentCacheTaskStartedResponse { content_length };
        self.send_event(Event::DownloadPersistentCacheTaskStartedResponse(started))
            .await?;
        if self.send_pieces(export).await? == Flow::Ends {
            return Ok(());
        }
        // Faults that lie in wait behind the last byte.
        self.pass_place(None).await?;
        if let Some(export) = slot.take() {
            let finished = export.finish().await;
            finished.map_err(|error| self.host.status(&error))?;
        }
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
        let mut outgoing = Outgoing {
            piece: message::piece(arrival),
            content: self.with_content.then(|| arrival.range.clone()),
            flipped: None,
        };
        let length = arrival.range.end - arrival.range.start;
        match self.spoil(&mut outgoing) {
            Fate::End => return Ok(Flow::Ends),
            Fate::Skipped => {}
            Fate::Sent => self.send_outgoing(export, &outgoing).await?,
            Fate::Repeated => {
                self.send_outgoing(export, &outgoing).await?;
                self.send_outgoing(export, &outgoing).await?;
            }
        }
        self.sent += length;
        Ok(Flow::GoesOn)
    }

    async fn send_outgoing(&mut self, export: &Export, outgoing: &Outgoing) -> Result<(), Status> {
        let Some(content) = outgoing.content.clone() else {
            self.throttle(outgoing.piece.length).await?;
            self.call.count_piece(0);
            let finished = DownloadPieceFinishedResponse {
                piece: Some(outgoing.piece.clone()),
            };
            return self
                .send_event(Event::DownloadPieceFinishedResponse(finished))
                .await;
        };
        let length = content.end - content.start;
        let framed = framing::piece_message(&self.envelope, &outgoing.piece, length)?;
        export.count_piece();
        self.send_bytes(framed.head).await;
        let mut start = content.start;
        while start < content.end {
            let end = content.end.min(start + self.call.ahead().chunk());
            self.throttle(end - start).await?;
            let chunk = export.content(start..end).await;
            let chunk = chunk.map_err(|error| self.host.status(&error))?;
            let chunk = outgoing.with_flipped_bit(chunk, start);
            self.send_bytes(self.call.ahead().count(chunk)).await;
            start = end;
        }
        self.send_bytes(framed.tail).await;
        self.call.count_piece(length);
        Ok(())
    }

    async fn send_event(&self, event: Event) -> Result<(), Status> {
        let response = Some(event);
        let message = DownloadPersistentCacheTaskResponse {
            response,
            ..self.envelope.clone()
        };
        self.send_bytes(framing::message(&message)?).await;
        Ok(())
    }

    async fn send_bytes(&self, bytes: Bytes) {
        if !self.parts.send(bytes).await && !self.goes_on_alone() {
            // The client is gone: whoever waits for that breaks this off.
            std::future::pending::<()>().await;
        }
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
            let since = self.call.clock().now();
            if let Action::Bandwidth(rate) = armed.action()
                && self.call.fire(&armed)
            {
                self.limit(*rate, since);
            }
            self.call.act(&armed).await?;
        }
        Ok(())
    }

    /// Lets the faults act that hit single pieces.
    fn spoil(&mut self, outgoing: &mut Outgoing) -> Fate {
        let (number, sent) = (outgoing.piece.number, self.sent);
        let mut fate = Fate::Sent;
        let mut kept = Vec::new();
        for armed in std::mem::take(&mut self.waiting) {
            let action = armed.action();
            let is_due = hits_pieces(action) && armed.is_at_piece(number, sent);
            if !is_due || !applies(action, outgoing) {
                kept.push(armed);
            } else if self.call.fire(&armed) {
                let spoiled = spoil(action, outgoing);
                fate = if spoiled == Fate::Sent { fate } else { spoiled };
            }
        }
        self.waiting = kept;
        fate
    }

    /// Holds content back for as long as it takes at the bandwidth that a fault allows.
    async fn throttle(&mut self, length: u64) -> Result<(), Status> {
        let since = self.call.clock().now();
        let limited =
            self.take(|armed| matches!(armed.action(), Action::Bandwidth(_)) && !armed.is_placed());
        if let Some(Action::Bandwidth(rate)) = limited.as_ref().map(Armed::action) {
            self.limit(*rate, since);
        }
        let Some(pace) = &mut self.pace else {
            return Ok(());
        };
        let due = pace.due(length);
        self.call.wait_until(due).await
    }

    /// `since` is when the fault fired: whoever has seen that may move the time.
    fn limit(&mut self, bytes_per_second: u64, since: Timestamp) {
        self.pace = Some(Pace {
            bytes_per_second,
            since,
            sent: 0,
        });
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
