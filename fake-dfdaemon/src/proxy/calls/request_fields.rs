//! The request of a proxied call, as far as faults and the journal are concerned.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use dfdaemon_api::dfdaemon::v2::{
    DeletePersistentCacheTaskRequest, DownloadPersistentCacheTaskRequest,
    ListLocalPersistentCacheTasksRequest, StatLocalPersistentCacheTaskRequest,
    StatPersistentCacheTaskRequest, UpdatePersistentCacheTaskRequest,
    UploadPersistentCacheTaskRequest,
};
use hyper::body::Body as _;
use prost::Message;
use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;

use crate::call::rpc::Rpc;
use crate::grpc::message::{export_fields, import_fields};
use crate::proxy::relay::{Front, RequestBody};

/// The longest request that is looked into. A longer one passes, and nothing is known of it.
const MAX_REQUEST: usize = 4 << 20;

/// The flag and the length before a message.
const PREFIX: usize = 5;

/// What a method is called in faults and in the journal.
pub(super) fn rpc_of(method: &str) -> Rpc {
    match method {
        "/dfdaemon.v2.DfdaemonDownload/UploadPersistentCacheTask" => Rpc::Import,
        "/dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask"
        | "/dfdaemon.v2.DfdaemonUpload/DownloadPersistentCacheTask" => Rpc::Export,
        "/dfdaemon.v2.DfdaemonDownload/StatPersistentCacheTask"
        | "/dfdaemon.v2.DfdaemonUpload/StatPersistentCacheTask" => Rpc::Stat,
        "/dfdaemon.v2.DfdaemonDownload/StatLocalPersistentCacheTask" => Rpc::StatLocal,
        "/dfdaemon.v2.DfdaemonDownload/ListLocalPersistentCacheTasks" => Rpc::List,
        "/dfdaemon.v2.DfdaemonUpload/UpdatePersistentCacheTask" => Rpc::Update,
        "/dfdaemon.v2.DfdaemonUpload/DeletePersistentCacheTask" => Rpc::Delete,
        "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch" => Rpc::Health,
        _ => Rpc::Unserved,
    }
}

/// Reads the first message of a request, and no more than it came with.
pub(super) async fn read_first(body: &mut RequestBody) -> Result<Front, hyper::Error> {
    let mut read = BytesMut::new();
    let mut trailers = None;
    while !is_whole(&read) && read.len() < MAX_REQUEST {
        let next = |context: &mut Context<'_>| -> Poll<_> {
            if body.is_end_stream() {
                return Poll::Ready(None);
            }
            Pin::new(&mut *body).poll_frame(context)
        };
        let Some(frame) = std::future::poll_fn(next).await else {
            break;
        };
        match frame?.into_data() {
            Ok(data) => read.extend_from_slice(&data),
            // Of a client, which no daemon asks for.
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                break;
            }
        }
    }
    let data = read.freeze();
    Ok(Front { data, trailers })
}

/// Whether a message is there to its end.
fn is_whole(read: &[u8]) -> bool {
    message(read).is_some()
}

fn message(read: &[u8]) -> Option<&[u8]> {
    let length = read.get(1..PREFIX)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    read.get(PREFIX..)?.get(..length)
}

/// The fields of a request that begins with these bytes. Of bytes that are no request, only the method
/// is known.
pub(super) fn fields_of(rpc: Rpc, method: &str, read: &[u8]) -> Value {
    let is_plain = read.first() == Some(&0);
    let message = message(read).filter(|_| is_plain);
    let fields = message.and_then(|message| decode(rpc, message).ok().flatten());
    fields.unwrap_or_else(|| json!({"method": method.trim_start_matches('/')}))
}

fn decode(rpc: Rpc, bytes: &[u8]) -> Result<Option<Value>, prost::DecodeError> {
    Ok(Some(match rpc {
        Rpc::Import => import_fields(&UploadPersistentCacheTaskRequest::decode(bytes)?),
        Rpc::Export => export_fields(&DownloadPersistentCacheTaskRequest::decode(bytes)?),
        Rpc::Stat => {
            let request = StatPersistentCacheTaskRequest::decode(bytes)?;
            json!({"task_id": request.task_id, "remote_ip": request.remote_ip})
        }
        Rpc::StatLocal => {
            let request = StatLocalPersistentCacheTaskRequest::decode(bytes)?;
            json!({"task_id": request.task_id, "remote_ip": request.remote_ip})
        }
        Rpc::Delete => {
            let request = DeletePersistentCacheTaskRequest::decode(bytes)?;
            json!({"task_id": request.task_id, "remote_ip": request.remote_ip})
        }
        Rpc::Update => {
            let request = UpdatePersistentCacheTaskRequest::decode(bytes)?;
            json!({
                "task_id": request.task_id,
                "remote_ip": request.remote_ip,
                "persistent": request.persistent,
            })
        }
        Rpc::List => {
            let request = ListLocalPersistentCacheTasksRequest::decode(bytes)?;
            json!({"remote_ip": request.remote_ip})
        }
        Rpc::Health => json!({"service": HealthCheckRequest::decode(bytes)?.service}),
        _ => return Ok(None),
    }))
}
