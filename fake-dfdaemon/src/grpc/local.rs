//! The answers of StatLocal and ListLocal, from a host's own records.

use std::sync::Arc;

use dfdaemon_api::dfdaemon::v2::{
    ListLocalPersistentCacheTasksRequest, ListLocalPersistentCacheTasksResponse,
    StatLocalPersistentCacheTaskRequest, StatLocalPersistentCacheTaskResponse,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::message;
use super::service::ServedHost;
use crate::call::rpc::Rpc;
use crate::cluster::{Cluster, Error};
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;
use crate::dfdaemon::statuses::unknown_method;

pub(super) async fn stat(
    host: ServedHost,
    request: Request<StatLocalPersistentCacheTaskRequest>,
) -> Result<Response<StatLocalPersistentCacheTaskResponse>, Status> {
    let asking = request.get_ref();
    let id = &asking.task_id;
    let fields = json!({"task_id": id, "remote_ip": asking.remote_ip});
    let call = host
        .begin(Rpc::StatLocal, fields, request.extensions())
        .await;
    let work = async {
        check_known(&host)?;
        let found = host
            .cluster
            .scheduler()
            .local(host.number, Some(id), message::local_task)
            .pop();
        found.ok_or_else(|| host.status(&Error::LocalTaskNotFound { id: id.clone() }))
    };
    host.answer(call, work).await
}

pub(super) async fn list(
    host: ServedHost,
    request: Request<ListLocalPersistentCacheTasksRequest>,
) -> Result<Response<ListLocalPersistentCacheTasksResponse>, Status> {
    let fields = json!({"remote_ip": request.get_ref().remote_ip});
    let call = host.begin(Rpc::List, fields, request.extensions()).await;
    let work = async {
        check_known(&host)?;
        let number = host.number;
        let list = move |cluster: &Arc<Cluster>| {
            Ok(cluster.scheduler().local(number, None, message::local_task))
        };
        let tasks = host.cluster.blocking(list).await;
        let tasks = tasks.map_err(|error| host.status(&error))?;
        Ok(ListLocalPersistentCacheTasksResponse { tasks })
    };
    host.answer(call, work).await
}

/// Whether the release has these calls.
fn check_known(host: &ServedHost) -> Result<(), Status> {
    let cluster = &host.cluster;
    if cluster.release() == Release::V0_2 && cluster.has_quirk(Quirk::NoLocalCalls) {
        return Err(unknown_method());
    }
    Ok(())
}
