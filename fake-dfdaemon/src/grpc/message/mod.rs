//! From the cluster's terms to messages and back.

use std::path::PathBuf;
use std::time::Duration;

use dfdaemon_api::common::v2::{PersistentCacheTask, Piece, TrafficType};
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, StatLocalPersistentCacheTaskResponse,
    UploadPersistentCacheTaskRequest,
};
use dfdaemon_api::digest::piece_digest;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{
    Arrival, ExportRequest, ImportRequest, OutputRequest, ReplicaState, RequestedTtl, TaskView,
};
use crate::dfdaemon::release::Release;

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // Nanoseconds count forward also before 1970, where jiff counts them backward.
    let (seconds, nanos) = match (time.as_second(), time.subsec_nanosecond()) {
        (seconds, nanos @ ..0) => (seconds - 1, nanos + 1_000_000_000),
        at => at,
    };
    prost_types::Timestamp { seconds, nanos }
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn requested_ttl(ttl: Option<prost_types::Duration>) -> RequestedTtl {
    let Some(ttl) = ttl else {
        return RequestedTtl::Absent;
    };
    Duration::try_from(ttl).map_or_else(
        |error| RequestedTtl::Negative(error.to_string()),
        RequestedTtl::Given,
    )
}

pub(super) fn import_request(request: UploadPersistentCacheTaskRequest) -> ImportRequest {
    ImportRequest {
        path: PathBuf::from(request.path),
        content_for_id: request.content_for_calculating_task_id,
        persistent_replica_count: request.persistent_replica_count,
        tag: request.tag,
        application: request.application,
        piece_length: request.piece_length,
        ttl: requested_ttl(request.ttl),
    }
}

/// The fields of an import, for the journal.
pub(crate) fn import_fields(request: &UploadPersistentCacheTaskRequest) -> Value {
    json!({
        "path": request.path,
        "content_for_calculating_task_id": request.content_for_calculating_task_id,
        "persistent_replica_count": request.persistent_replica_count,
        "tag": request.tag,
        "application": request.application,
        "piece_length": request.piece_length,
        "ttl_seconds": request.ttl.as_ref().map(seconds),
        "timeout_seconds": request.timeout.as_ref().map(seconds),
        "remote_ip": request.remote_ip,
    })
}

/// The fields of an export, for the journal.
pub(crate) fn export_fields(request: &DownloadPersistentCacheTaskRequest) -> Value {
    json!({
        "task_id": request.task_id,
        "persistent": request.persistent,
        "tag": request.tag,
        "application": request.application,
        "output_path": request.output_path,
        "timeout_seconds": request.timeout.as_ref().map(seconds),
        "need_piece_content": request.need_piece_content,
        "force_hard_link": request.force_hard_link,
        "digest": request.digest,
        "remote_ip": request.remote_ip,
        "overwrite": request.overwrite,
    })
}

fn seconds(duration: &prost_types::Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

/// What an export asks for, as far as the release knows the fields.
pub(super) fn export_request(
    request: DownloadPersistentCacheTaskRequest,
    release: Release,
) -> ExportRequest {
    let output = request.output_path.map(|path| OutputRequest {
        path: PathBuf::from(path),
        force_hard_link: request.force_hard_link,
        overwrite: request.overwrite && release.knows_new_fields(),
        // Without an output there is nothing that the daemon checks.
        digest: request.digest.filter(|_| release.knows_new_fields()),
    });
    let (task_id, persistent) = (request.task_id, request.persistent);
    ExportRequest {
        task_id,
        persistent,
        with_content: request.need_piece_content,
        output,
    }
}

/// The answer to an import: tag and application absent if they were.
pub(super) fn imported_task(view: TaskView) -> PersistentCacheTask {
    let task = view.task;
    PersistentCacheTask {
        piece_count: piece_count(task.content_length, task.piece_length),
        id: task.task_id.to_string(),
        persistent_replica_count: task.persistent_replica_count,
        current_persistent_replica_count: view.persistent_replicas,
        current_replica_count: view.replicas,
        tag: task.tag.map(Into::into),
        application: task.application.map(Into::into),
        piece_length: task.piece_length,
        content_length: task.content_length,
        state: task.state.as_str().to_owned(),
        ttl: Some(duration(task.ttl)),
        created_at: Some(timestamp(task.created_at)),
        updated_at: Some(timestamp(task.updated_at)),
    }
}

/// The scheduler's answer: tag and application are strings, empty if they were not given.
pub(super) fn stat_task(view: TaskView) -> PersistentCacheTask {
    let task = imported_task(view);
    PersistentCacheTask {
        tag: Some(task.tag.unwrap_or_default()),
        application: Some(task.application.unwrap_or_default()),
        ..task
    }
}

fn piece_count(content_length: u64, piece_length: u64) -> u32 {
    u32::try_from(content_length.div_ceil(piece_length.max(1))).unwrap_or(u32::MAX)
}

pub(super) fn local_task(replica: &ReplicaState) -> StatLocalPersistentCacheTaskResponse {
    let record = &replica.record;
    StatLocalPersistentCacheTaskResponse {
        task_id: record.task_id.to_string(),
        persistent: record.persistent,
        ttl: Some(duration(record.ttl)),
        piece_length: Some(record.piece_length),
        content_length: Some(record.content_length),
        uploading_count: replica.uploading,
        uploaded_count: replica.uploaded,
        created_at: Some(timestamp(record.created_at)),
        updated_at: Some(timestamp(record.updated_at)),
        failed_at: record.failed_at.map(timestamp),
        finished_at: record.finished_at.map(timestamp),
    }
}

/// A piece without its content.
pub(super) fn piece(arrival: &Arrival) -> Piece {
    let traffic_type = if arrival.parent_id.is_some() {
        TrafficType::RemotePeer
    } else {
        TrafficType::LocalPeer
    };
    Piece {
        number: arrival.number,
        parent_id: arrival.parent_id.clone(),
        offset: arrival.range.start,
        length: arrival.range.end - arrival.range.start,
        digest: arrival.crc32.map(piece_digest).unwrap_or_default(),
        content: None,
        traffic_type: Some(traffic_type.into()),
        cost: arrival.cost.map(duration),
        created_at: Some(timestamp(arrival.created_at)),
    }
}

#[cfg(test)]
mod tests;
