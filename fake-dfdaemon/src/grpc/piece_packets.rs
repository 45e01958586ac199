//! The pieces that hosts of 1.5 take from this one: by packets on a TCP socket of their own, and no
//! gRPC. What a piece is, and what faults do to it, is as for a call (`piece`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::piece_packet::{
    HEAD_LENGTH, Head, Packet, PacketError, PieceHead, PieceRequest, Refusal, RefusalCode,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Extensions, Status};

use super::accepting::Stream;
use super::lingering;
use super::piece::{self, ReadyPiece};
use super::service::ServedHost;
use crate::call::RunningCall;
use crate::call::connection::Connection;
use crate::call::rpc::Rpc;
use crate::dfdaemon::statuses::stopping;

/// How long a connection may be silent: as long as a dfdaemon waits.
const IDLE: Duration = Duration::from_secs(30);

/// Answers requests on a connection one after another, until either side closes it.
pub(super) async fn serve(
    mut stream: Stream,
    host: ServedHost,
    graceful: CancellationToken,
    abrupt: CancellationToken,
) {
    let closes = abrupt.child_token();
    let connection = Connection {
        closes: closes.clone(),
        is_late: Arc::default(),
        limit: None,
        metadata: Arc::default(),
    };
    let answering = async {
        loop {
            let request = tokio::select! {
                request = next(&mut stream) => request?,
                () = graceful.cancelled() => return Ok(()),
            };
            let Some(request) = request else {
                return Ok(());
            };
            answer(&mut stream, &host, connection.clone(), request).await?;
        }
    };
    let ended: io::Result<()> = tokio::select! {
        ended = answering => ended,
        () = closes.cancelled() => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection for pieces broke");
        return;
    }
    tokio::select! {
        () = lingering::close(&mut stream) => {}
        () = closes.cancelled() => {}
    }
}

/// The next request; `None` at the end of the connection.
async fn next(stream: &mut Stream) -> io::Result<Option<PieceRequest>> {
    let mut head = [0; HEAD_LENGTH];
    match tokio::time::timeout(IDLE, stream.read_exact(&mut head)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        Ok(Err(_)) | Err(_) => return Ok(None),
    }
    let bad = |error: PacketError| io::Error::new(io::ErrorKind::InvalidData, error);
    let head = Head::read(head).map_err(bad)?;
    let mut value = vec![0; head.value_length()];
    tokio::time::timeout(IDLE, stream.read_exact(&mut value)).await??;
    match head.packet(&value).map_err(bad)? {
        Packet::Request(request) => Ok(Some(request)),
        Packet::Close => Ok(None),
        Packet::Piece(_) | Packet::Refused(_) => {
            let unasked = "a packet that only answers";
            Err(io::Error::new(io::ErrorKind::InvalidData, unasked))
        }
    }
}

async fn answer(
    stream: &mut Stream,
    host: &ServedHost,
    connection: Connection,
    request: PieceRequest,
) -> io::Result<()> {
    let PieceRequest { task_id, number } = &request;
    let fields = json!({"task_id": task_id, "piece": number});
    let mut extensions = Extensions::new();
    extensions.insert(connection);
    let mut call = host.begin(Rpc::Transfer, fields, &extensions).await;
    let ready = match piece::begin(host, &mut call, task_id, *number).await {
        Ok(ready) => ready,
        Err(status) => {
            call.answered(Some(&status)).wait().await;
            return refuse(stream, &request, &status).await;
        }
    };
    let ends = call.ends();
    let sent = tokio::select! {
        sent = send(stream, host, &call, &ready) => sent?,
        () = ends.cancelled() => Err(stopping()),
    };
    if sent.is_ok() {
        call.count_piece(ready.length());
    }
    // First the journal, then what ends the answer.
    call.answered(sent.as_ref().err()).wait().await;
    match sent {
        Ok(last) => stream.write_all(&last).await,
        // In the middle of the content there is no other way to say it.
        Err(status) => Err(io::Error::other(status.message().to_owned())),
    }
}

/// Sends all but the last part of the content, which it returns. The outer error is that of a connection
/// whose host has gone: its call notes that by itself.
async fn send(
    stream: &mut Stream,
    host: &ServedHost,
    call: &RunningCall,
    ready: &ReadyPiece,
) -> io::Result<Result<Bytes, Status>> {
    let head = PieceHead {
        number: ready.piece.number,
        offset: ready.piece.range.start,
        length: ready.length(),
        digest: ready.digest(),
        created_at: call.clock().now().as_second(),
        ..PieceHead::default()
    };
    write(stream, &Packet::Piece(head)).await?;
    let mut start = ready.piece.range.start;
    let mut last = Bytes::new();
    loop {
        match ready.part(host, call, &mut start).await {
            Ok(Some(part)) => {
                let before = std::mem::replace(&mut last, part);
                stream.write_all(&before).await?;
            }
            Ok(None) => return Ok(Ok(last)),
            Err(status) => return Ok(Err(status)),
        }
    }
}

async fn refuse(stream: &mut Stream, request: &PieceRequest, status: &Status) -> io::Result<()> {
    let PieceRequest { task_id, number } = request;
    let (code, message) = match status.code() {
        Code::NotFound => {
            let message = format!("piece {task_id}-{number} not found");
            (RefusalCode::NotFound, message)
        }
        Code::InvalidArgument => (RefusalCode::InvalidArgument, status.message().to_owned()),
        _ => (RefusalCode::Internal, status.message().to_owned()),
    };
    write(stream, &Packet::Refused(Refusal { code, message })).await
}

async fn write(stream: &mut Stream, packet: &Packet) -> io::Result<()> {
    let bytes = packet.encode().map_err(io::Error::other)?;
    stream.write_all(&bytes).await
}
