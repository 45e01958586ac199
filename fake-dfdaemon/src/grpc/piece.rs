//! The answer to a host that takes a piece from this one. Its content goes from the store to the
//! connection part by part, so that memory stays bounded, however long the piece is and however slow
//! the host.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::DownloadPersistentCachePieceRequest;
use dfdaemon_api::digest::{metadata_digest, piece_digest};
use serde_json::json;
use tonic::{Request, Status};

use super::content_body::{self, ContentBody, Parts};
use super::framing::{self, Framed};
use super::service::ServedHost;
use crate::call::RunningCall;
use crate::call::clock::later;
use crate::call::faults::registry::Armed;
use crate::call::faults::{Action, Phase};
use crate::call::rpc::Rpc;
use crate::cluster::ServedPiece;
use crate::dfdaemon::limits::RequestPermit;
use crate::dfdaemon::statuses::{no_piece, stopping};

/// Answers with the piece, or with a status if it cannot begin.
pub(super) async fn answer(
    host: ServedHost,
    request: Request<DownloadPersistentCachePieceRequest>,
) -> Result<ContentBody, Status> {
    let asking = request.get_ref();
    let (id, number) = (asking.task_id.clone(), asking.piece_number);
    let fields = json!({"task_id": id, "host_id": asking.host_id, "piece": number});
    let mut call = host
        .begin(Rpc::Transfer, fields, request.extensions())
        .await;
    match begin(&host, &mut call, &id, number).await {
        Ok(ready) => {
            let (parts, body) = content_body::channel();
            let cluster = Arc::clone(&host.cluster);
            cluster.spawn(send(host, call, ready, parts));
            Ok(body)
        }
        Err(status) => {
            call.answered(Some(&status)).wait().await;
            Err(status)
        }
    }
}

/// A piece that can be sent.
struct ReadyPiece {
    piece: ServedPiece,
    framed: Framed,
    file: Arc<File>,
    /// Where a fault flips a bit.
    flipped: Option<u64>,
    _permit: RequestPermit,
}

async fn begin(
    host: &ServedHost,
    call: &mut RunningCall,
    id: &str,
    number: u32,
) -> Result<ReadyPiece, Status> {
    call.apply_faults(Phase::Before).await?;
    let armed = call.arm_piece(&host.cluster.scheduler().tag_and_application(id), number);
    for armed in &armed {
        call.apply(armed).await?;
    }
    let permit = host.admit(call).await?;
    let found = host
        .cluster
        .scheduler()
        .piece_to_serve(host.number, id, number);
    let Some(piece) = found else {
        return Err(no_piece());
    };
    let (on, task, opening) = (host.number, id.to_owned(), piece.clone());
    let opened = host
        .cluster
        .blocking(move |cluster| cluster.open_piece(on, &task, &opening))
        .await;
    let file = opened.map_err(|error| host.status(&error))?;
    let length = piece.range.end - piece.range.start;
    let framed = framed(&piece, length)?;
    let flipped = damage(call, &armed, &piece, length).await?;
    Ok(ReadyPiece {
        piece,
        framed,
        file: Arc::new(file),
        flipped,
        _permit: permit,
    })
}

/// Lets faults delay the piece, and tells where one flips a bit of it.
async fn damage(
    call: &mut RunningCall,
    armed: &[Armed],
    piece: &ServedPiece,
    length: u64,
) -> Result<Option<u64>, Status> {
    let mut flipped = None;
    for armed in armed {
        match armed.action() {
            Action::Bandwidth(rate) => {
                let takes = Duration::try_from_secs_f64(length as f64 / *rate as f64);
                let takes = takes.unwrap_or(Duration::MAX);
                if call.fire(armed) {
                    let due = later(call.clock().now(), takes);
                    call.wait_until(due).await?;
                }
            }
            Action::CorruptPiece if length > 0 && call.fire(armed) => {
                flipped = Some(piece.range.start + length / 2);
            }
            _ => {}
        }
    }
    Ok(flipped)
}

fn framed(served: &ServedPiece, length: u64) -> Result<Framed, Status> {
    let piece = Piece {
        number: served.number,
        offset: served.range.start,
        length,
        digest: served.crc32.map(piece_digest).unwrap_or_default(),
        ..Piece::default()
    };
    let digest = metadata_digest(piece.number, piece.offset, piece.length, &piece.digest);
    framing::piece_answer(&piece, &digest, length)
}

/// Sends the piece. A call whose host has gone notes that by itself.
async fn send(host: ServedHost, mut call: RunningCall, ready: ReadyPiece, parts: Parts) {
    let ends = call.ends();
    let sent = tokio::select! {
        sent = send_parts(&host, &call, &ready, &parts) => sent,
        () = ends.cancelled() => Some(Err(stopping())),
        () = parts.unread() => None,
    };
    if let Some(sent) = sent {
        if sent.is_ok() {
            call.count_piece(ready.piece.range.end - ready.piece.range.start);
        }
        call.answered(sent.as_ref().err()).wait().await;
        parts.end(sent.err()).await;
    }
}

/// `None` if nobody takes it any more.
async fn send_parts(
    host: &ServedHost,
    call: &RunningCall,
    ready: &ReadyPiece,
    parts: &Parts,
) -> Option<Result<(), Status>> {
    let send = async |bytes: Bytes| parts.send(bytes).await.then_some(());
    send(ready.framed.head.clone()).await?;
    let mut start = ready.piece.range.start;
    while start < ready.piece.range.end {
        let range = start..ready.piece.range.end.min(start + call.ahead().chunk());
        let (on, file, part) = (host.number, Arc::clone(&ready.file), range.clone());
        let read = host
            .cluster
            .blocking(move |cluster| cluster.read_piece(on, &file, part))
            .await;
        let mut bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(host.status(&error))),
        };
        if let Some(at) = ready.flipped.filter(|at| range.contains(at))
            && let Some(byte) = bytes.get_mut((at - range.start) as usize)
        {
            *byte ^= 1;
        }
        send(call.ahead().count(bytes.into())).await?;
        start = range.end;
    }
    send(ready.framed.tail.clone()).await?;
    Some(Ok(()))
}
