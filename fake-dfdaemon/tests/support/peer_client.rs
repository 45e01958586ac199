//! A client of what other hosts and the scheduler call on a host.

use std::path::Path;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_client::DfdaemonUploadClient;
use dfdaemon_api::dfdaemon::v2::{
    DeletePersistentCacheTaskRequest, DownloadPersistentCachePieceRequest,
    DownloadPersistentCachePieceResponse, StatPersistentCacheTaskRequest,
    SyncPersistentCachePiecesRequest, UpdatePersistentCacheTaskRequest,
};
use tonic::Status;

use super::client::{Connection, Export, Exported, PieceToTake, origin};

/// A client of what other hosts and the scheduler call on a host.
#[derive(Clone, Debug)]
pub struct PeerClient(Connection);

impl PeerClient {
    /// A client of the host with this upload socket.
    pub async fn connect(endpoint: &Path) -> Self {
        Self(Connection::to(endpoint).await)
    }

    /// The same, if one can be made.
    pub async fn try_connect(endpoint: &Path) -> std::io::Result<Self> {
        Connection::open(endpoint).await.map(Self)
    }

    fn service(&self) -> DfdaemonUploadClient<Connection> {
        DfdaemonUploadClient::with_origin(self.0.clone(), origin())
            .max_decoding_message_size(usize::MAX)
    }

    /// The connection below.
    pub fn connection(&self) -> Connection {
        self.0.clone()
    }

    /// Makes the host's replica persistent, or does nothing.
    pub async fn update(&self, id: &str, persistent: bool) -> Result<(), Status> {
        let request = UpdatePersistentCacheTaskRequest {
            task_id: id.to_owned(),
            persistent,
            ..Default::default()
        };
        let answer = self.service().update_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Removes the host's replica.
    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = DeletePersistentCacheTaskRequest {
            task_id: id.to_owned(),
            ..Default::default()
        };
        let answer = self.service().delete_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// The scheduler's view of a task.
    pub async fn stat(&self, id: &str) -> Result<PersistentCacheTask, Status> {
        let request = StatPersistentCacheTaskRequest {
            task_id: id.to_owned(),
            ..Default::default()
        };
        let answer = self.service().stat_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// A piece whose content nobody has read yet.
    pub async fn begin_piece(
        &self,
        id: &str,
        number: u32,
    ) -> Result<tonic::Streaming<DownloadPersistentCachePieceResponse>, Status> {
        let request = piece_request(id, number);
        let path = "/dfdaemon.v2.DfdaemonUpload/DownloadPersistentCachePiece";
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::default();
        let mut grpc = tonic::client::Grpc::with_origin(self.0.clone(), origin());
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        let begun = grpc.server_streaming(tonic::Request::new(request), path, codec);
        begun.await.map(tonic::Response::into_inner)
    }

    /// What the host tells of pieces, as it comes.
    pub async fn syncing(
        &self,
        id: &str,
        numbers: &[u32],
    ) -> Result<tonic::Streaming<PieceToTake>, Status> {
        let request = SyncPersistentCachePiecesRequest {
            host_id: "127.0.0.1-peer".to_owned(),
            task_id: id.to_owned(),
            interested_piece_numbers: numbers.to_vec(),
        };
        let answer = self.service().sync_persistent_cache_pieces(request).await?;
        Ok(answer.into_inner())
    }

    /// The same, to the end.
    pub async fn sync(&self, id: &str, numbers: &[u32]) -> Result<Vec<PieceToTake>, Status> {
        let mut messages = self.syncing(id, numbers).await?;
        let mut sent = Vec::new();
        while let Some(message) = messages.message().await? {
            sent.push(message);
        }
        Ok(sent)
    }

    /// Takes a piece.
    pub async fn piece(
        &self,
        id: &str,
        number: u32,
    ) -> Result<DownloadPersistentCachePieceResponse, Status> {
        let request = piece_request(id, number);
        let mut service = self.service();
        let answer = service.download_persistent_cache_piece(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Exports, and reads to the end.
    pub async fn export(&self, request: Export) -> Exported {
        match self.service().download_persistent_cache_task(request).await {
            Ok(messages) => Exported::default().read(messages.into_inner()).await,
            Err(status) => Exported {
                status,
                ..Exported::default()
            },
        }
    }
}

fn piece_request(id: &str, number: u32) -> DownloadPersistentCachePieceRequest {
    DownloadPersistentCachePieceRequest {
        host_id: "127.0.0.1-peer".to_owned(),
        task_id: id.to_owned(),
        piece_number: number,
    }
}
