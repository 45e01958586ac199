//! The tasks over the API: all or selected ones, one of them, and its removal.

use std::io;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, PathPart, asked_number, done};
use super::api::Api;
use super::handlers::beside;
use super::parts;
use crate::cluster::{Task, TaskFilter};

/// Which tasks are meant, and how many of them are listed at most.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default, deserialize_with = "asked_number")]
    limit: Option<usize>,
    /// Only those that lack persistent replicas.
    #[serde(default)]
    lacking: bool,
    /// Only those whose id, tag or application contains it.
    text: Option<String>,
    /// Only those that the host has something of.
    host: Option<String>,
}

pub(super) async fn list(
    State(api): State<Api>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, ApiError> {
    let asked = super::answer::asked(asked)?;
    let limit = asked.limit;
    if limit == Some(0) {
        return Err(ApiError::bad_request("limit: must be at least 1"));
    }
    let instance = api.instance()?;
    let host = match &asked.host {
        Some(name) => {
            let why = format!("host: {}", api.no_host(name)?);
            let host = instance.host(name);
            Some(host.ok_or_else(|| ApiError::bad_request(why))?)
        }
        None => None,
    };
    let filter = TaskFilter {
        lacking: asked.lacking,
        text: asked.text,
        host: host.map(|host| host.number()),
    };
    let found = beside(move || {
        let scheduler = instance.cluster.scheduler();
        (scheduler.task_ids_of(&filter), scheduler.task_count())
    });
    let (ids, all) = found.await?;
    let total = ids.len();
    // One by one: between them, others get at what they are made of.
    let tasks = ids.into_iter().filter_map(move |id| {
        let Ok(instance) = api.instance() else {
            return Some(Err(io::Error::other("the daemon is stopping")));
        };
        Some(Ok(task_json(&instance.cluster.scheduler().task(&id)?)))
    });
    let tasks = tasks.take(limit.unwrap_or(usize::MAX));
    let counts = limit.map(|_| vec![("total", json!(total)), ("all", json!(all))]);
    parts::list("tasks", tasks, move || counts.unwrap_or_default(), None).await
}

pub(super) async fn one(State(api): State<Api>, PathPart(id): PathPart) -> Answer {
    let found = api.instance()?.cluster.scheduler().task(&id);
    Ok(Json(task_json(&found.ok_or_else(|| no_task(&id))?)))
}

pub(super) async fn delete(State(api): State<Api>, PathPart(id): PathPart) -> Answer {
    let instance = api.instance()?;
    if instance.cluster.scheduler().task(&id).is_none() {
        return Err(no_task(&id));
    }
    let deleted = instance
        .cluster
        .blocking(move |cluster| cluster.delete_task(&id))
        .await;
    deleted.map_err(|error| ApiError::internal(&error))?;
    done()
}

fn no_task(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no task {id}"))
}

/// The fields of `dfcache stat --format json`, and the replicas.
fn task_json(task: &Task) -> Value {
    json!({
        "task_id": task.id,
        "state": task.state.as_str(),
        "persistent_replica_count": task.persistent_replica_count,
        "current_persistent_replica_count": task.current_persistent_replica_count,
        "current_replica_count": task.current_replica_count,
        "tag": task.tag,
        "application": task.application,
        "piece_length": task.piece_length,
        "content_length": task.content_length,
        "piece_count": task.piece_count,
        "ttl_seconds": task.ttl.as_secs(),
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "expires_at": task.expires_at,
        "replicas": task.replicas,
    })
}
