//! The answer to a stat, which both services give.

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
use serde_json::json;
use tonic::{Request, Response, Status};

use super::message;
use super::service::ServedHost;
use crate::call::rpc::Rpc;

pub(super) async fn answer(
    host: ServedHost,
    request: Request<StatPersistentCacheTaskRequest>,
) -> Result<Response<PersistentCacheTask>, Status> {
    let asking = request.get_ref();
    let id = &asking.task_id;
    let fields = json!({"task_id": id, "remote_ip": asking.remote_ip});
    let call = host.begin(Rpc::Stat, fields, request.extensions()).await;
    let reached = call.reach_scheduler();
    let work = async {
        reached.await;
        // A peer asks for what is here, and may itself be one that would be asked.
        if !host.is_for_peers {
            host.cluster.find_at_parents(id).await;
        }
        let view = host
            .cluster
            .scheduler()
            .stat(id)
            .map_err(|error| host.status(&error))?;
        Ok(message::stat_task(view))
    };
    host.answer(call, work).await
}
