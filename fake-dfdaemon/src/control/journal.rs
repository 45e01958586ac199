//! The journal over the API: pages of it, how many calls there are, and waiting for some.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, ApiError, Body, asked, asked_number, call, done, duration};
use super::api::Api;
use super::handlers::beside;
use super::parts;
use crate::call::faults::is_code_name;
use crate::call::journal::{self, Journal};
use crate::call::json::{not_null, whole_number};
use crate::call::record::Call;
use crate::call::rpc::Rpc;

/// How long a wait takes at most, unless it says another time.
const WAIT: Duration = Duration::from_secs(30);

/// The query of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default, deserialize_with = "call")]
    rpc: Option<Rpc>,
    status: Option<String>,
    task: Option<String>,
    host: Option<String>,
    #[serde(default, deserialize_with = "asked_number")]
    after: Option<u64>,
    #[serde(default, deserialize_with = "asked_number")]
    limit: Option<usize>,
    #[serde(default)]
    running: bool,
}

/// The query of a count.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counted {
    #[serde(default, deserialize_with = "call")]
    rpc: Option<Rpc>,
    status: Option<String>,
    task: Option<String>,
    host: Option<String>,
    #[serde(default, deserialize_with = "asked_number")]
    after: Option<u64>,
}

/// What to wait for. Null is refused: a test that lost the id of its task must not wait for any call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    #[serde(default, deserialize_with = "call")]
    rpc: Option<Rpc>,
    #[serde(default, deserialize_with = "not_null")]
    status: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    task: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    host: Option<String>,
    #[serde(default, deserialize_with = "whole_number")]
    after: Option<u64>,
    #[serde(default, deserialize_with = "whole_number")]
    count: Option<u64>,
    #[serde(default, deserialize_with = "duration")]
    timeout: Option<Duration>,
}

pub(super) async fn list(
    State(api): State<Api>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, ApiError> {
    let page = asked(page)?;
    let (after, limit) = (page.after.unwrap_or_default(), page.limit);
    let query = journal::Query {
        rpc: page.rpc,
        status: page.status,
        task: page.task,
        host: page.host,
    };
    let journal = journal_for(&api, &query)?;
    if limit == Some(0) {
        return Err(ApiError::bad_request("limit: must be at least 1"));
    }
    if page.running {
        if query.status.is_some() {
            let why = "status: a running call has no status; leave out status or running";
            return Err(ApiError::conflict(why));
        }
        return Ok(running(
            &journal,
            &query,
            after,
            limit.unwrap_or(usize::MAX),
        ));
    }
    calls(journal, query, after, limit).await
}

/// The calls that have not ended. They have no status yet.
fn running(journal: &Journal, query: &journal::Query, after: u64, limit: usize) -> Response {
    let calls = journal.running().find(query, after, limit);
    let calls: Vec<_> = calls.iter().map(Call::unanswered).collect();
    Json(json!({ "calls": calls })).into_response()
}

async fn calls(
    journal: Arc<Journal>,
    query: journal::Query,
    after: u64,
    limit: Option<usize>,
) -> Result<Response, ApiError> {
    let calls = journal.find(query.clone(), after);
    let last = Arc::new(std::sync::atomic::AtomicU64::new(after));
    let sent = Arc::clone(&last);
    let readers = journal.readers().clone();
    let calls = calls
        .take(limit.unwrap_or(usize::MAX))
        .inspect(move |call| {
            if let Ok(call) = call {
                sent.store(call.call, std::sync::atomic::Ordering::Relaxed);
            }
        });
    let fields = move || {
        let mut fields = Vec::new();
        let last = last.load(std::sync::atomic::Ordering::Relaxed);
        if limit.is_some() && journal.has_any(&query, last) {
            fields.push(("next", json!(last)));
        }
        let lost = journal.lost();
        if lost > 0 {
            fields.push(("lost", json!(lost)));
        }
        fields
    };
    parts::list("calls", calls, fields, Some(readers)).await
}

pub(super) async fn count(
    State(api): State<Api>,
    counted: Result<Query<Counted>, QueryRejection>,
) -> Answer {
    let counted = asked(counted)?;
    let after = counted.after.unwrap_or_default();
    let query = journal::Query {
        rpc: counted.rpc,
        status: counted.status,
        task: counted.task,
        host: counted.host,
    };
    let journal = journal_for(&api, &query)?;
    let counted = beside(move || {
        let count = journal.count(&query, after);
        json!({
            "count": count,
            "running": journal.running().count(),
            "last": journal.last(),
            "lost": journal.lost(),
        })
    });
    Ok(Json(counted.await?))
}

pub(super) async fn wait(
    State(api): State<Api>,
    Body(wait): Body<Wait>,
) -> Result<Response, ApiError> {
    let after = wait.after.unwrap_or_default();
    let query = journal::Query {
        rpc: wait.rpc,
        status: wait.status,
        task: wait.task,
        host: wait.host,
    };
    let journal = journal_for(&api, &query)?;
    let count = wait.count.unwrap_or(1);
    if count == 0 {
        return Err(ApiError::bad_request("count: must be at least 1"));
    }
    let patience = wait.timeout.unwrap_or(WAIT);
    let stopping = api.stopping()?;
    drop(api);
    let waiting = journal.waiting(query.clone(), after, count);
    let came = tokio::select! {
        biased;
        () = waiting.came() => true,
        () = tokio::time::sleep(patience) => false,
        () = stopping.cancelled() => return Err(ApiError::conflict("the daemon is stopping")),
    };
    drop(waiting);
    if came {
        return calls(journal, query, after, None).await;
    }
    let readers = journal.readers().clone();
    let waiting = move || not_come(&journal, &query, after, (count, patience));
    let missing = readers.run(waiting).await;
    missing.map_err(|error| ApiError::internal(&error))
}

/// The answer about calls that did not come: the calls that came nearest to them.
fn not_come(
    journal: &Journal,
    query: &journal::Query,
    after: u64,
    (count, patience): (u64, Duration),
) -> Response {
    let came = journal.count(query, after);
    let near = journal.near_misses(query, after);
    let mut message = format!(
        "{came} of {count} calls ended within {}",
        humantime::format_duration(patience)
    );
    for (number, miss) in near.iter().enumerate() {
        let before = if number == 0 { "; near misses: " } else { "; " };
        message.push_str(&format!("{before}{miss}"));
    }
    let error = json!({"error": {"message": message, "near_misses": near}});
    (StatusCode::CONFLICT, Json(error)).into_response()
}

pub(super) async fn clear(State(api): State<Api>) -> Answer {
    api.clear_journal().await?;
    done()
}

/// The journal, for a query that can be answered.
fn journal_for(api: &Api, query: &journal::Query) -> Result<Arc<Journal>, ApiError> {
    let is_unknown = |status: &&str| !is_code_name(status);
    if let Some(status) = query.status.as_deref().filter(is_unknown) {
        return Err(ApiError::bad_request(format!(
            "status: no such status code: {status}; write one such as OK or NOT_FOUND"
        )));
    }
    if let Some(name) = query.host.as_deref()
        && !api.has_host(name)?
    {
        return Err(ApiError::bad_request(format!(
            "host: {}",
            api.no_host(name)?
        )));
    }
    Ok(Arc::clone(&api.calls()?.journal))
}
