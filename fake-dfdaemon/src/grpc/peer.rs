//! The answers to calls of the scheduler about a host's replica of a task.

use dfdaemon_api::dfdaemon::v2::{
    DeletePersistentCacheTaskRequest, UpdatePersistentCacheTaskRequest,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::service::ServedHost;
use crate::call::rpc::Rpc;

pub(super) async fn update(
    host: ServedHost,
    request: Request<UpdatePersistentCacheTaskRequest>,
) -> Result<Response<()>, Status> {
    let UpdatePersistentCacheTaskRequest {
        task_id: id,
        persistent,
        remote_ip,
        ..
    } = request.get_ref();
    let fields = json!({"task_id": id, "persistent": persistent, "remote_ip": remote_ip});
    let call = host.begin(Rpc::Update, fields, request.extensions()).await;
    let (number, task, persistent) = (host.number, id.clone(), *persistent);
    let work = async {
        let updated = host
            .cluster
            .blocking(move |cluster| cluster.update(number, &task, persistent))
            .await;
        updated.map_err(|error| host.status(&error))
    };
    host.answer(call, work).await
}

pub(super) async fn delete(
    host: ServedHost,
    request: Request<DeletePersistentCacheTaskRequest>,
) -> Result<Response<()>, Status> {
    let asking = request.get_ref();
    let id = &asking.task_id;
    let fields = json!({"task_id": id, "remote_ip": asking.remote_ip});
    let call = host.begin(Rpc::Delete, fields, request.extensions()).await;
    let (number, task) = (host.number, id.clone());
    let work = async {
        let deleted = host
            .cluster
            .blocking(move |cluster| cluster.delete_replica(number, &task))
            .await;
        deleted.map_err(|error| host.status(&error))
    };
    host.answer(call, work).await
}
