//! `dfdaemon.v2.DfdaemonUpload`: what the scheduler, the manager and other peers call on a host.

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_server::DfdaemonUpload;
use dfdaemon_api::dfdaemon::v2::{
    DeletePersistentCacheTaskRequest, DownloadPersistentCacheTaskRequest,
    StatPersistentCacheTaskRequest, UpdatePersistentCacheTaskRequest,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::export_stream::ExportStream;
use super::host::{Asked, ServedHost};
use crate::rpc::Rpc;

/// The upload service of one host.
#[derive(Clone, Debug)]
pub(super) struct Upload(pub(super) ServedHost);

#[tonic::async_trait]
impl DfdaemonUpload for Upload {
    type DownloadPersistentCacheTaskStream = ExportStream;

    async fn download_persistent_cache_task(
        &self,
        request: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Result<Response<ExportStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        ExportStream::answer(&self.0, request, &extensions).await
    }

    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        super::stat::answer(&self.0, request).await
    }

    async fn update_persistent_cache_task(
        &self,
        request: Request<UpdatePersistentCacheTaskRequest>,
    ) -> Result<Response<()>, Status> {
        let UpdatePersistentCacheTaskRequest {
            task_id: id,
            persistent,
            ..
        } = request.get_ref();
        let fields = json!({"task_id": id, "persistent": persistent});
        let asked = Asked {
            task: Some(id),
            request: fields,
            ..Asked::default()
        };
        let call = self.0.begin(Rpc::Update, asked, request.extensions()).await;
        let (host, task, persistent) = (self.0.number, id.clone(), *persistent);
        let work = async {
            let work = self
                .0
                .cluster
                .blocking(move |cluster| cluster.update(host, &task, persistent));
            work.await.map_err(|error| self.0.status(&error))
        };
        self.0.answer(call, work).await
    }

    async fn delete_persistent_cache_task(
        &self,
        request: Request<DeletePersistentCacheTaskRequest>,
    ) -> Result<Response<()>, Status> {
        let id = &request.get_ref().task_id;
        let asked = Asked {
            task: Some(id),
            request: json!({"task_id": id}),
            ..Asked::default()
        };
        let call = self.0.begin(Rpc::Delete, asked, request.extensions()).await;
        let (host, task) = (self.0.number, id.clone());
        let work = async {
            let work = self
                .0
                .cluster
                .blocking(move |cluster| cluster.delete_replica(host, &task));
            work.await.map_err(|error| self.0.status(&error))
        };
        self.0.answer(call, work).await
    }
}
