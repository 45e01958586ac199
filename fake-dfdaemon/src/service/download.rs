//! `dfdaemon.v2.DfdaemonDownload`: what programs on the host call.

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_server::DfdaemonDownload;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, ListLocalPersistentCacheTasksRequest,
    ListLocalPersistentCacheTasksResponse, StatLocalPersistentCacheTaskRequest,
    StatLocalPersistentCacheTaskResponse, StatPersistentCacheTaskRequest,
    UploadPersistentCacheTaskRequest,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::export_stream::ExportStream;
use super::host::{Asked, ServedHost};
use super::{import, message};
use crate::cluster::Error;
use crate::quirks::Quirk;
use crate::release::Release;
use crate::rpc::Rpc;

/// The download service of one host.
#[derive(Clone, Debug)]
pub(super) struct Download(pub(super) ServedHost);

impl Download {
    /// Whether the release has the calls for a host's own records.
    fn check_local_calls(&self) -> Result<(), Status> {
        let cluster = &self.0.cluster;
        if cluster.release() == Release::V0_2 && cluster.has_quirk(Quirk::NoLocalCalls) {
            return Err(Status::unimplemented(""));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl DfdaemonDownload for Download {
    async fn upload_persistent_cache_task(
        &self,
        request: Request<UploadPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let (_, extensions, request) = request.into_parts();
        import::answer(&self.0, request, &extensions).await
    }

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

    async fn stat_local_persistent_cache_task(
        &self,
        request: Request<StatLocalPersistentCacheTaskRequest>,
    ) -> Result<Response<StatLocalPersistentCacheTaskResponse>, Status> {
        let id = &request.get_ref().task_id;
        let asked = Asked {
            task: Some(id),
            request: json!({"task_id": id}),
            ..Asked::default()
        };
        let call = self
            .0
            .begin(Rpc::StatLocal, asked, request.extensions())
            .await;
        let work = async {
            self.check_local_calls()?;
            let found = self
                .0
                .cluster
                .local(self.0.number, Some(id), message::local_task)
                .pop();
            found.ok_or_else(|| self.0.status(&Error::LocalTaskNotFound { id: id.clone() }))
        };
        self.0.answer(call, work).await
    }

    async fn list_local_persistent_cache_tasks(
        &self,
        request: Request<ListLocalPersistentCacheTasksRequest>,
    ) -> Result<Response<ListLocalPersistentCacheTasksResponse>, Status> {
        let asked = Asked {
            request: json!({}),
            ..Asked::default()
        };
        let call = self.0.begin(Rpc::List, asked, request.extensions()).await;
        let work = async {
            self.check_local_calls()?;
            let tasks = self
                .0
                .cluster
                .local(self.0.number, None, message::local_task);
            Ok(ListLocalPersistentCacheTasksResponse { tasks })
        };
        self.0.answer(call, work).await
    }
}
