//! The stream of an export: *started*, a message a piece, then the end, which comes only after
//! link, copy and digest are done.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    DownloadPersistentCacheTaskStartedResponse, DownloadPieceFinishedResponse,
};
use tokio::sync::watch;
use tonic::{Request, Status};

use super::content_body::{self, ContentBody, Parts};
use super::service::ServedHost;
use super::{framing, message};
use crate::call::RunningCall;
use crate::call::faults::Phase;
use crate::call::faults::piece::{Outgoing, PieceFate};
use crate::call::rpc::Rpc;
use crate::call::stream_faults::{StreamFaults, shuffle};
use crate::cluster::{Arrival, Cluster, Export, Generation};
use crate::dfdaemon::blocklist::Blocked;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;
use crate::dfdaemon::request_limit::RequestPermit;
use crate::dfdaemon::statuses::stopping;
use crate::store::CancelFlag;

/// Answers an export: with a status if it cannot begin, else with the stream.
pub(super) async fn answer(
    host: ServedHost,
    request: Request<DownloadPersistentCacheTaskRequest>,
) -> Result<ContentBody, Status> {
    let (_, extensions, request) = request.into_parts();
    let fields = message::export_fields(&request);
    let mut call = host.begin(Rpc::Export, fields, &extensions).await;
    match begin(&host, &mut call, request).await {
        Ok(started) => Ok(started.send(&host, call)),
        Err(status) => {
            call.answered(Some(&status)).wait().await;
            Err(status)
        }
    }
}

/// How many messages a dfdaemon 1.5 makes ahead of its client.
const MESSAGES_AHEAD: u32 = 12;

/// An export that has started, and what is needed to send it.
struct StartedExport {
    export: Export,
    with_content: bool,
    permit: RequestPermit,
}

async fn begin(
    host: &ServedHost,
    call: &mut RunningCall,
    request: DownloadPersistentCacheTaskRequest,
) -> Result<StartedExport, Status> {
    call.apply_faults(Phase::Before).await?;
    let permit = host.admit(call).await?;
    let (tag, application) = (request.tag.as_deref(), request.application.as_deref());
    host.check_blocked(Blocked::Export, tag, application)?;
    call.wait_for(host.cluster.find_at_parents(&request.task_id))
        .await?;
    let mut request = message::export_request(request, host.cluster.release());
    let with_content = request.with_content;
    if host.is_for_peers
        && host.cluster.has_quirk(Quirk::NoPeerDigest)
        && let Some(output) = &mut request.output
    {
        output.digest = None;
    }
    call.reach_scheduler().await;
    let faults = call.cluster_faults();
    let number = host.number;
    let by_path = request.output.is_some();
    let export = move |cluster: &Arc<Cluster>| cluster.export(number, request, &faults);
    let export = if by_path {
        let export = move |cluster: &Arc<Cluster>, _: &CancelFlag| export(cluster);
        let cancel = CancelFlag::default();
        host.cluster.blocking_on_client_file(cancel, export).await
    } else {
        host.cluster.blocking(export).await
    };
    let export = export.map_err(|error| host.status(&error))?;
    Ok(StartedExport {
        export,
        with_content,
        permit,
    })
}

impl StartedExport {
    fn send(self, host: &ServedHost, call: RunningCall) -> ContentBody {
        let (parts, body) = content_body::channel();
        let piece_count = self.export.piece_count();
        let sending = Sending {
            faults: StreamFaults::of(&call),
            host: host.clone(),
            call,
            envelope: DownloadPersistentCacheTaskResponse {
                host_id: self.export.host_id.clone(),
                task_id: self.export.task.task_id.to_string(),
                peer_id: self.export.peer_id.clone(),
                response: None,
            },
            parts,
            with_content: self.with_content,
            unsent: piece_count,
            to_come: watch::Sender::new(match self.export.held() {
                Some(_) => piece_count,
                // As long as nothing comes, nobody notices that the client is gone.
                None => 0,
            }),
        };
        host.cluster.spawn(async move {
            sending.run(self.export).await;
            drop(self.permit);
        });
        body
    }
}

/// An export on its way to the client.
struct Sending {
    host: ServedHost,
    call: RunningCall,
    faults: StreamFaults,
    /// What every message carries.
    envelope: DownloadPersistentCacheTaskResponse,
    parts: Parts,
    with_content: bool,
    /// How many pieces have not begun to be sent.
    unsent: u32,
    /// The same, as far as it matters to an export whose client has gone.
    to_come: watch::Sender<u32>,
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
        if let Some(mut export) = export {
            if sent.is_none() && self.client_gone().gives_up() {
                export.leave_output();
            }
            export.abandon().await;
        }
        match sent {
            // First the journal, then the end: a client that has seen the end finds the call in the
            // journal.
            Some(sent) => {
                self.call.answered(sent.as_ref().err()).wait().await;
                self.parts.end(sent.err()).await;
            }
            // The call notes by itself that its client is gone.
            None if self.client_gone().gives_up() => self.poison(held),
            None => {}
        }
    }

    /// Sends an export, and takes it when it is finished. `None` if its client is gone.
    async fn send(&mut self, export: &mut Option<Export>) -> Option<Result<(), Status>> {
        let (ends, parts) = (self.call.ends(), self.parts.clone());
        let client_gone = self.client_gone();
        let was_reset = self.call.was_reset();
        tokio::select! {
            sent = self.send_all(export) => Some(sent),
            () = ends.cancelled() => Some(Err(stopping())),
            () = async { parts.unread().await; client_gone.ends_export().await } => None,
            // Also an export that goes on without its client ends when a fault closed its
            // connection: the fault waits until the call is taken away.
            () = async { was_reset.cancelled().await; parts.unread().await } => None,
        }
    }

    fn client_gone(&self) -> ClientGone {
        let cluster = &self.host.cluster;
        let may_fail = self.with_content && cluster.release() != Release::V0_2;
        ClientGone {
            goes_on_alone: cluster.has_quirk(Quirk::OrphanedExports),
            fails: may_fail && cluster.has_quirk(Quirk::PoisonedCopies),
            to_come: self.to_come.clone(),
        }
    }

    /// Marks the replica that was sent, as a real dfdaemon does when the client goes away.
    fn poison(&self, held: Option<Generation>) {
        let (host, cluster) = (self.host.number, &self.host.cluster);
        if let Some(generation) = held {
            let id = &self.envelope.task_id;
            cluster.scheduler().poison(host, id, generation);
        }
    }

    async fn send_all(&mut self, slot: &mut Option<Export>) -> Result<(), Status> {
        let Some(export) = slot else {
            return Ok(());
        };
        let content_length = export.task.content_length;
        let mut started = DownloadPersistentCacheTaskStartedResponse { content_length };
        self.faults.start(&mut self.call, &mut started);
        self.send_event(Event::DownloadPersistentCacheTaskStartedResponse(started))
            .await?;
        if self.send_pieces(export).await? == Flow::Ends {
            return Ok(());
        }
        // Faults that are armed behind the last byte.
        self.faults.apply_at(&mut self.call, None).await?;
        if let Some(export) = slot.take() {
            let finished = export.finish().await;
            finished.map_err(|error| self.host.status(&error))?;
        }
        self.call.apply_faults(Phase::After).await
    }

    async fn send_pieces(&mut self, export: &mut Export) -> Result<Flow, Status> {
        let shuffles = self.faults.shuffles(&mut self.call);
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
            shuffle(&mut armed, &mut shuffled, |arrival| arrival.number);
        }
        for arrival in shuffled {
            if self.send_piece(export, &arrival).await? == Flow::Ends {
                return Ok(Flow::Ends);
            }
        }
        Ok(Flow::GoesOn)
    }

    async fn send_piece(&mut self, export: &mut Export, arrival: &Arrival) -> Result<Flow, Status> {
        self.faults
            .apply_at(&mut self.call, Some(arrival.number))
            .await?;
        let mut outgoing = Outgoing {
            piece: message::piece(arrival),
            content: self.with_content.then(|| arrival.range.clone()),
            flipped: None,
        };
        let length = arrival.range.end - arrival.range.start;
        match self.faults.damage(&mut self.call, &mut outgoing) {
            PieceFate::End => return Ok(Flow::Ends),
            PieceFate::Skipped => {}
            PieceFate::Sent => self.send_outgoing(export, &outgoing).await?,
            PieceFate::Repeated => {
                self.send_outgoing(export, &outgoing).await?;
                self.send_outgoing(export, &outgoing).await?;
            }
        }
        self.faults.count(length);
        Ok(Flow::GoesOn)
    }

    async fn send_outgoing(
        &mut self,
        export: &mut Export,
        outgoing: &Outgoing,
    ) -> Result<(), Status> {
        let Some(content) = outgoing.content.clone() else {
            self.faults
                .throttle(&mut self.call, outgoing.piece.length)
                .await?;
            self.call.count_piece(0);
            let finished = DownloadPieceFinishedResponse {
                piece: Some(outgoing.piece.clone()),
            };
            return self
                .send_event(Event::DownloadPieceFinishedResponse(finished))
                .await;
        };
        let length = content.end - content.start;
        self.unsent = self.unsent.saturating_sub(1);
        self.to_come.send_replace(self.unsent);
        let framed = framing::piece_message(&self.envelope, &outgoing.piece, length)?;
        export.count_piece();
        export
            .check_piece(&content)
            .await
            .map_err(|error| self.host.status(&error))?;
        self.send_bytes(framed.head).await;
        let mut start = content.start;
        while start < content.end {
            let end = content.end.min(start + self.call.ahead().chunk());
            self.faults.throttle(&mut self.call, end - start).await?;
            let file = match outgoing.is_told_by_digest() {
                true => export.sent_by_kernel(&(start..end)),
                false => Ok(None),
            };
            if let Some(file) = file.map_err(|error| self.host.status(&error))? {
                self.send_file(file, start..end).await;
            } else {
                let chunk = export.content(start..end, content.end).await;
                let chunk = chunk.map_err(|error| self.host.status(&error))?;
                let chunk = outgoing.with_flipped_bit(chunk, start);
                self.send_bytes(self.call.ahead().count(chunk)).await;
            }
            start = end;
        }
        // From here on a change of the file is one of content that was sent.
        self.parts.files_are_sent().await;
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
        self.sent(self.parts.send(bytes).await).await;
    }

    async fn send_file(&self, file: Arc<File>, range: Range<u64>) {
        self.sent(self.parts.send_file(file, range).await).await;
    }

    async fn sent(&self, is_read: bool) {
        if !is_read && self.client_gone().breaks_off() {
            // The client is gone: the task that waits for that breaks this off.
            std::future::pending::<()>().await;
        }
    }
}

/// What becomes of an export when its client has gone away.
struct ClientGone {
    /// Whether it does its work all the same.
    goes_on_alone: bool,
    /// Whether it fails, as a real one does with content that nobody takes, unless the rest has room ahead of
    /// the client.
    fails: bool,
    to_come: watch::Sender<u32>,
}

impl ClientGone {
    fn gives_up(&self) -> bool {
        self.gives_up_with(*self.to_come.borrow())
    }

    fn gives_up_with(&self, to_come: u32) -> bool {
        self.fails && to_come > MESSAGES_AHEAD
    }

    fn breaks_off(&self) -> bool {
        !self.goes_on_alone || self.gives_up()
    }

    /// Ends when the export does.
    async fn ends_export(&self) {
        let mut to_come = self.to_come.subscribe();
        let ends = |to_come: &u32| !self.goes_on_alone || self.gives_up_with(*to_come);
        // The sender lives in `self`, so waiting ends no other way.
        let _ = to_come.wait_for(ends).await;
    }
}
