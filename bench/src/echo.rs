//! The least that a gRPC server can do for a stat: the same answer to everybody.

use std::io::{Read as _, Write as _};
use std::path::Path;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_server::{
    DfdaemonDownload, DfdaemonDownloadServer,
};
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    ListLocalPersistentCacheTasksRequest, ListLocalPersistentCacheTasksResponse,
    StatLocalPersistentCacheTaskRequest, StatLocalPersistentCacheTaskResponse,
    StatPersistentCacheTaskRequest, UploadPersistentCacheTaskRequest,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tonic::{Request, Response, Status};

use crate::Result;

struct Echo;

#[tonic::async_trait]
impl DfdaemonDownload for Echo {
    /// As long as the answer of a daemon.
    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Answer<PersistentCacheTask> {
        let time = prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 0,
        };
        Ok(Response::new(PersistentCacheTask {
            id: request.into_inner().task_id,
            persistent_replica_count: 1,
            current_persistent_replica_count: 1,
            current_replica_count: 1,
            tag: Some(String::new()),
            application: Some(String::new()),
            piece_length: 4 << 20,
            content_length: 1 << 10,
            piece_count: 1,
            state: "Succeeded".to_owned(),
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            created_at: Some(time),
            updated_at: Some(time),
        }))
    }

    async fn upload_persistent_cache_task(
        &self,
        _: Request<UploadPersistentCacheTaskRequest>,
    ) -> Answer<PersistentCacheTask> {
        Err(Status::unimplemented(""))
    }

    type DownloadPersistentCacheTaskStream = tonic::codegen::tokio_stream::Empty<
        std::result::Result<DownloadPersistentCacheTaskResponse, Status>,
    >;

    async fn download_persistent_cache_task(
        &self,
        _: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Answer<Self::DownloadPersistentCacheTaskStream> {
        Err(Status::unimplemented(""))
    }

    async fn stat_local_persistent_cache_task(
        &self,
        _: Request<StatLocalPersistentCacheTaskRequest>,
    ) -> Answer<StatLocalPersistentCacheTaskResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_local_persistent_cache_tasks(
        &self,
        _: Request<ListLocalPersistentCacheTasksRequest>,
    ) -> Answer<ListLocalPersistentCacheTasksResponse> {
        Err(Status::unimplemented(""))
    }
}

type Answer<T> = std::result::Result<Response<T>, Status>;

/// Serves at `socket`, after a line that says so, until standard input ends.
pub(crate) fn serve(socket: &Path) -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTERM);
    });
    crate::load::runtime()?.block_on(async {
        let listener = UnixListener::bind(socket)?;
        writeln!(std::io::stdout(), "ready")?;
        loop {
            let (stream, _) = listener.accept().await?;
            let service = TowerToHyperService::new(DfdaemonDownloadServer::new(Echo));
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(None)
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    })
}
