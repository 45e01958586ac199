//! The answers to hosts that ask which pieces this one has.

use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::{
    SyncPersistentCachePiecesRequest, SyncPersistentCachePiecesResponse,
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;
use tonic::{Request, Response, Status};

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
                    call.answered(Some(&stopping())).wait().await;
                    return Some(Err(stopping()));
                }
            }
        }
    }
}
