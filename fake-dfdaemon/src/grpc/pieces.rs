//! The answers to hosts that take pieces from this one: which it has, and their content.

use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCachePieceRequest, DownloadPersistentCachePieceResponse,
    SyncPersistentCachePiecesRequest, SyncPersistentCachePiecesResponse,
};
use dfdaemon_api::digest::{metadata_digest, piece_digest};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::service::{Asked, ServedHost};
use crate::call::Call;
use crate::call::faults::registry::Arriving;
use crate::call::faults::{Action, Phase};
use crate::call::gate::broken_off;
use crate::call::rpc::Rpc;
use crate::cluster::ServedPiece;

/// How long a dfdaemon waits before it looks again for the pieces that it does not have yet.
const POLL: Duration = Duration::from_millis(50);

/// A message for each piece.
pub(super) type Pieces = BoxStream<'static, Result<SyncPersistentCachePiecesResponse, Status>>;

/// Tells of each piece that is asked for, once the host has it: of one that never comes, never.
pub(super) async fn sync(
    host: ServedHost,
    request: Request<SyncPersistentCachePiecesRequest>,
) -> Result<Response<Pieces>, Status> {
    let (_, extensions, request) = request.into_parts();
    let (id, numbers) = (request.task_id, request.interested_piece_numbers);
    let asked = Asked {
        task: Some(&id),
        request: json!({"task_id": id, "host_id": request.host_id, "pieces": numbers.len()}),
        ..Asked::default()
    };
    let mut call = host.begin(Rpc::Transfer, asked, &extensions).await;
    if let Err(status) = call.pass(Phase::Before).await {
        call.answered(Some(&status)).wait().await;
        return Err(status);
    }
    let syncing = Syncing {
        host,
        id,
        numbers: numbers.into_iter().rev().collect(),
        lacks: false,
        call: Some(call),
    };
    let pieces = stream::unfold(syncing, |mut syncing| async {
        let next = syncing.next().await?;
        Some((next, syncing))
    });
    Ok(Response::new(pieces.boxed()))
}

/// A peer that is being told of pieces.
struct Syncing {
    host: ServedHost,
    id: String,
    /// What is still to be told, the first one last.
    numbers: Vec<u32>,
    /// Whether it waits for a piece that the content does not have.
    lacks: bool,
    /// Until it has ended.
    call: Option<Call>,
}

impl Syncing {
    async fn next(&mut self) -> Option<Result<SyncPersistentCachePiecesResponse, Status>> {
        let ends = self.call.as_ref()?.ends();
        loop {
            let scheduler = self.host.cluster.scheduler();
            // Once for all numbers: a peer may name a million.
            if let Some(pieces) = scheduler.pieces_to_serve(self.host.number, &self.id) {
                while let Some(number) = self.numbers.pop() {
                    if let Some(range) = pieces.range(number) {
                        return Some(Ok(SyncPersistentCachePiecesResponse {
                            number,
                            offset: range.start,
                            length: range.end - range.start,
                            ..Default::default()
                        }));
                    }
                    self.lacks = true;
                }
            }
            if self.numbers.is_empty() && !self.lacks {
                let call = self.call.take()?;
                call.answered(None).wait().await;
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = ends.cancelled() => {
                    let call = self.call.take()?;
                    call.answered(Some(&broken_off())).wait().await;
                    return Some(Err(broken_off()));
                }
            }
        }
    }
}

/// Sends a piece with its content.
pub(super) async fn download(
    host: ServedHost,
    request: Request<DownloadPersistentCachePieceRequest>,
) -> Result<Response<DownloadPersistentCachePieceResponse>, Status> {
    let asking = request.get_ref();
    let (id, number) = (asking.task_id.clone(), asking.piece_number);
    let asked = Asked {
        task: Some(&id),
        request: json!({"task_id": id, "host_id": asking.host_id, "piece": number}),
        ..Asked::default()
    };
    let mut call = host.begin(Rpc::Transfer, asked, request.extensions()).await;
    let answer = piece(&host, &mut call, &id, number).await;
    call.answered(answer.as_ref().err()).wait().await;
    answer.map(Response::new)
}

async fn piece(
    host: &ServedHost,
    call: &mut Call,
    id: &str,
    number: u32,
) -> Result<DownloadPersistentCachePieceResponse, Status> {
    call.pass(Phase::Before).await?;
    let armed = {
        let (tag, application) = host.cluster.scheduler().tag_and_application(id);
        let what = Arriving {
            rpc: Rpc::Transfer,
            host: &host.number.name(),
            task: Some(id),
            tags: [None, tag.as_deref()],
            applications: [None, application.as_deref()],
        };
        call.arm_piece(what, number)
    };
    for armed in &armed {
        call.act(armed).await?;
    }
    let _permit = host.admit(call).await?;
    let found = host
        .cluster
        .scheduler()
        .piece_to_serve(host.number, id, number);
    let Some(served) = found else {
        let text = "persistent cache piece metadata not found";
        return Err(Status::not_found(text));
    };
    let (number_of_host, task) = (host.number, id.to_owned());
    let to_read = served.clone();
    let read = host
        .cluster
        .blocking(move |cluster| cluster.read_piece(number_of_host, &task, &to_read))
        .await;
    let mut content = read.map_err(|error| host.status(&error))?;
    let length = content.len() as u64;
    for armed in &armed {
        match armed.action() {
            Action::Bandwidth(rate) => {
                let takes = Duration::try_from_secs_f64(length as f64 / *rate as f64);
                let takes = takes.unwrap_or(Duration::MAX);
                if call.fire(armed) {
                    let due = crate::call::clock::later(call.clock().now(), takes);
                    call.wait_until(due).await?;
                }
            }
            Action::CorruptPiece if length > 0 && call.fire(armed) => {
                let middle = content.len() / 2;
                if let Some(byte) = content.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            _ => {}
        }
    }
    call.count_piece(length);
    Ok(answer(served, content.into()))
}

fn answer(served: ServedPiece, content: Bytes) -> DownloadPersistentCachePieceResponse {
    let piece = Piece {
        number: served.number,
        offset: served.range.start,
        length: served.range.end - served.range.start,
        digest: served.crc32.map(piece_digest).unwrap_or_default(),
        content: Some(content),
        ..Piece::default()
    };
    let digest = metadata_digest(piece.number, piece.offset, piece.length, &piece.digest);
    DownloadPersistentCachePieceResponse {
        piece: Some(piece),
        digest: Some(digest),
    }
}
