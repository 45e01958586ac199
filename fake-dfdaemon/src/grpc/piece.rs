//! The answer to a host that takes a piece from this one by a call. Its content goes from the store to the
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
use crate::call::faults::Phase;
use crate::call::faults::effect::{TransferDamage, TransferEffect};
use crate::call::faults::registry::Armed;
use crate::call::rpc::Rpc;
use crate::cluster::ServedPiece;
use crate::dfdaemon::request_limit::RequestPermit;
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
    let ready = async {
        let ready = begin(&host, &mut call, &id, number).await?;
        let framed = ready.framed()?;
        Ok((ready, framed))
    };
    match ready.await {
        Ok((ready, framed)) => {
            let (parts, body) = content_body::channel();
            let cluster = Arc::clone(&host.cluster);
            cluster.spawn(send(host, call, ready, framed, parts));
            Ok(body)
        }
        Err(status) => {
            call.answered(Some(&status)).wait().await;
            Err(status)
        }
    }
}

/// A piece that can be sent.
pub(super) struct ReadyPiece {
    pub(super) piece: ServedPiece,
    file: Arc<File>,
    /// Where a fault flips a bit.
    flipped: Option<u64>,
    _permit: RequestPermit,
}

/// Begins to answer: applies faults, lets the call in, and opens the content.
pub(super) async fn begin(
    host: &ServedHost,
    call: &mut RunningCall,
    id: &str,
    number: u32,
) -> Result<ReadyPiece, Status> {
    call.apply_faults(Phase::Before).await?;
    let armed = call.arm_piece(&host.cluster.scheduler().tag_and_application(id), number);
    for armed in &armed {
        if let Some(TransferEffect::Before(effect)) = armed.action().on_transfer() {
            call.apply_effect(armed, effect).await?;
        }
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
    let flipped = damage(call, &armed, &piece, length).await?;
    Ok(ReadyPiece {
        piece,
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
        let Some(TransferEffect::Damage(damage)) = armed.action().on_transfer() else {
            continue;
        };
        match damage {
            TransferDamage::Bandwidth(rate) => {
                let takes = Duration::try_from_secs_f64(length as f64 / rate as f64);
                let takes = takes.unwrap_or(Duration::MAX);
                if call.fire(armed) {
                    let due = later(call.clock().now(), takes);
                    call.wait_until(due).await?;
                }
            }
            TransferDamage::FlipBit if length > 0 && call.fire(armed) => {
                flipped = Some(piece.range.start + length / 2);
            }
            TransferDamage::FlipBit => {}
        }
    }
    Ok(flipped)
}

impl ReadyPiece {
    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.piece.range.end - self.piece.range.start
    }

    /// Of its content, as it travels; empty if nobody has read that.
    pub(super) fn digest(&self) -> String {
        self.piece.crc32.map(piece_digest).unwrap_or_default()
    }

    fn framed(&self) -> Result<Framed, Status> {
        let piece = Piece {
            number: self.piece.number,
            offset: self.piece.range.start,
            length: self.length(),
            digest: self.digest(),
            ..Piece::default()
        };
        let digest = metadata_digest(piece.number, piece.offset, piece.length, &piece.digest);
        framing::piece_answer(&piece, &digest, self.length())
    }

    /// The next part of its content, from `start` on, which moves behind it; `None` at the end.
    pub(super) async fn part(
        &self,
        host: &ServedHost,
        call: &RunningCall,
        start: &mut u64,
    ) -> Result<Option<Bytes>, Status> {
        let end = self.piece.range.end;
        if *start >= end {
            return Ok(None);
        }
        let range = *start..end.min(*start + call.ahead().chunk());
        let (on, file, wanted) = (host.number, Arc::clone(&self.file), range.clone());
        let read = host
            .cluster
            .blocking(move |cluster| cluster.read_piece(on, &file, wanted))
            .await;
        let mut bytes = read.map_err(|error| host.status(&error))?;
        if let Some(at) = self.flipped.filter(|at| range.contains(at))
            && let Some(byte) = bytes.get_mut((at - range.start) as usize)
        {
            *byte ^= 1;
        }
        *start = range.end;
        Ok(Some(call.ahead().count(bytes.into())))
    }
}

/// Sends the piece. A call whose host has gone notes that by itself.
async fn send(
    host: ServedHost,
    mut call: RunningCall,
    ready: ReadyPiece,
    framed: Framed,
    parts: Parts,
) {
    let ends = call.ends();
    let sent = tokio::select! {
        sent = send_parts(&host, &call, &ready, &framed, &parts) => sent,
        () = ends.cancelled() => Some(Err(stopping())),
        () = parts.unread() => None,
    };
    if let Some(sent) = sent {
        if sent.is_ok() {
            call.count_piece(ready.length());
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
    framed: &Framed,
    parts: &Parts,
) -> Option<Result<(), Status>> {
    let send = async |bytes: Bytes| parts.send(bytes).await.then_some(());
    send(framed.head.clone()).await?;
    let mut start = ready.piece.range.start;
    loop {
        match ready.part(host, call, &mut start).await {
            Ok(Some(bytes)) => send(bytes).await?,
            Ok(None) => break,
            Err(status) => return Some(Err(status)),
        }
    }
    send(framed.tail.clone()).await?;
    Some(Ok(()))
}
