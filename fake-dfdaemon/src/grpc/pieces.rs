//! The answers to hosts that ask which pieces this one has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::{
    SyncPersistentCachePiecesRequest, SyncPersistentCachePiecesResponse,
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::accepting::Reached;
use super::service::ServedHost;
use crate::call::RunningCall;
use crate::call::faults::Phase;
use crate::call::rpc::Rpc;
use crate::dfdaemon::statuses::stopping;

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
    let fields = json!({"task_id": id, "host_id": request.host_id, "pieces": numbers.len()});
    let mut call = host.begin(Rpc::Transfer, fields, &extensions).await;
    if let Err(status) = call.apply_faults(Phase::Before).await {
        call.answered(Some(&status)).wait().await;
        return Err(status);
    }
    let syncing = Syncing {
        place: place(&host, extensions.get()),
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

/// Where a host sends pieces by packets: at the address that its peer has reached it by, unless it is bound to
/// one alone.
fn place(host: &ServedHost, reached: Option<&Reached>) -> SyncPersistentCachePiecesResponse {
    let Some(bound) = host.piece_tcp.get() else {
        return SyncPersistentCachePiecesResponse::default();
    };
    let ip = match (bound.ip(), reached) {
        (ip, Some(Reached(reached))) if ip.is_unspecified() => *reached,
        (IpAddr::V4(ip), None) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V6(ip), None) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        (ip, _) => ip,
    };
    SyncPersistentCachePiecesResponse {
        ip: ip.to_canonical().to_string(),
        tcp_port: Some(bound.port().into()),
        ..Default::default()
    }
}

/// A peer that is being sent the list of pieces.
struct Syncing {
    host: ServedHost,
    /// A message that has nothing but where the host sends pieces by packets, if it does.
    place: SyncPersistentCachePiecesResponse,
    id: String,
    /// What is still to be sent, the first one last.
    numbers: Vec<u32>,
    /// Whether it waits for a piece that the content does not have.
    lacks: bool,
    /// Until it has ended.
    call: Option<RunningCall>,
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
                            ..self.place.clone()
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
                    call.answered(Some(&stopping())).wait().await;
                    return Some(Err(stopping()));
                }
            }
        }
    }
}
