//! `dfdaemon.v2.DfdaemonDownload`: what programs on the host call.

use std::sync::Arc;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_server::DfdaemonDownload;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, ListLocalPersistentCacheTasksRequest,
    ListLocalPersistentCacheTasksResponse, StatLocalPersistentCacheTaskRequest,
    StatLocalPersistentCacheTaskResponse, StatPersistentCacheTaskRequest,
    UploadPersistentCacheTaskRequest,
};
use tonic::{Request, Response, Status};

use super::export_stream::{ExportStream, Wanted};
use super::{Admission, message, status};
use crate::cluster::{Cluster, Error};
use crate::limits::{Blocked, RequestPermit};
use crate::store::CancelFlag;

/// The download service of one host.
#[derive(Clone, Debug)]
pub(super) struct Download {
    cluster: Arc<Cluster>,
    host: usize,
    admission: Admission,
}

impl Download {
    pub(super) fn new(cluster: Arc<Cluster>, host: usize, admission: Admission) -> Self {
        Self {
            cluster,
            host,
            admission,
        }
    }

    fn admit(&self) -> Result<RequestPermit, Status> {
        self.admission.requests.permit().ok_or_else(|| {
            Status::resource_exhausted(
                "server is overloaded: too many requests, please retry later",
            )
        })
    }

    fn is_blocked(&self, blocked: Blocked, tag: Option<&str>, application: Option<&str>) -> bool {
        self.admission
            .blocks
            .iter()
            .any(|block| block.matches(blocked, tag, application))
    }

    fn status(&self, error: &Error) -> Status {
        status::status(self.cluster.release(), error)
    }
}

/// Cancels blocking work when the call that waits for it is dropped: the client went away.
struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[tonic::async_trait]
impl DfdaemonDownload for Download {
    async fn upload_persistent_cache_task(
        &self,
        request: Request<UploadPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let _permit = self.admit()?;
        let request = request.into_inner();
        let (tag, application) = (request.tag.as_deref(), request.application.as_deref());
        if self.is_blocked(Blocked::Import, tag, application) {
            return Err(Status::permission_denied(
                "upload rejected by blocklist policy",
            ));
        }
        let request = message::import_request(request);
        let cancel = CancelOnDrop(CancelFlag::default());
        let (host, flag) = (self.host, cancel.0.clone());
        let import = self
            .cluster
            .blocking(move |cluster| cluster.import(host, &request, &flag));
        let stopping = self.cluster.stopping();
        tokio::pin!(import);
        let imported = tokio::select! {
            imported = &mut import => imported,
            () = stopping.cancelled() => {
                cancel.0.cancel();
                // It may have ended well in the meantime.
                import.await.map_err(|error| match error {
                    Error::Cancelled => Error::Stopping,
                    other => other,
                })
            }
        };
        let view = imported.map_err(|error| self.status(&error))?;
        Ok(Response::new(message::imported_task(view)))
    }

    type DownloadPersistentCacheTaskStream = ExportStream;

    async fn download_persistent_cache_task(
        &self,
        request: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Result<Response<ExportStream>, Status> {
        let permit = self.admit()?;
        let request = request.into_inner();
        let (tag, application) = (request.tag.as_deref(), request.application.as_deref());
        if self.is_blocked(Blocked::Export, tag, application) {
            return Err(Status::permission_denied("download blocked by block list"));
        }
        let wanted = Wanted {
            content: request.need_piece_content,
        };
        let request = message::export_request(request, self.cluster.release())
            .map_err(|error| self.status(&error))?;
        let host = self.host;
        let export = self
            .cluster
            .blocking(move |cluster| cluster.export(host, request))
            .await;
        let export = export.map_err(|error| self.status(&error))?;
        let host_id = self.cluster.host_id(host).to_owned();
        Ok(Response::new(ExportStream::start(
            &self.cluster,
            host_id,
            export,
            wanted,
            permit,
        )))
    }

    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let _permit = self.admit()?;
        let view = self.cluster.stat(&request.get_ref().task_id);
        let view = view.map_err(|error| self.status(&error))?;
        Ok(Response::new(message::stat_task(view)))
    }

    async fn stat_local_persistent_cache_task(
        &self,
        request: Request<StatLocalPersistentCacheTaskRequest>,
    ) -> Result<Response<StatLocalPersistentCacheTaskResponse>, Status> {
        let _permit = self.admit()?;
        let id = &request.get_ref().task_id;
        let found = self
            .cluster
            .local(self.host, Some(id), message::local_task)
            .pop();
        let missing = || self.status(&Error::LocalTaskNotFound { id: id.clone() });
        found.map(Response::new).ok_or_else(missing)
    }

    async fn list_local_persistent_cache_tasks(
        &self,
        _: Request<ListLocalPersistentCacheTasksRequest>,
    ) -> Result<Response<ListLocalPersistentCacheTasksResponse>, Status> {
        let _permit = self.admit()?;
        let tasks = self.cluster.local(self.host, None, message::local_task);
        Ok(Response::new(ListLocalPersistentCacheTasksResponse {
            tasks,
        }))
    }
}
