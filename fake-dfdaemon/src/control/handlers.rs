//! The handlers of the paths of the control API that have no file of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, Body, Nothing, PathPart, done, duration, time};
use super::api::{Api, Proxied, Subject};
use crate::call::clock::Clock;
use crate::call::faults::Fault;
use crate::cluster::HostStatus;
use crate::instance::host::Host;

pub(super) async fn health(State(api): State<Api>) -> Answer {
    if let Subject::Proxy(proxy) = &api.0 {
        return Ok(Json(health_of_proxy(proxy)));
    }
    let instance = api.instance()?;
    let mut health = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "dfdaemon_version": instance.cluster.release().to_string(),
        "hosts": instance.hosts.len(),
        "fault_seed": instance.calls.faults.seed(),
    });
    if let (Some(health), Some(address)) = (health.as_object_mut(), instance.control_tcp.get()) {
        health.insert("control_tcp".to_owned(), address.to_string().into());
    }
    Ok(Json(health))
}

fn health_of_proxy(proxy: &Proxied) -> Value {
    let mut health = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "role": proxy.role,
        proxy.host: proxy.answers,
        "fault_seed": proxy.calls.faults.seed(),
    });
    if let (Some(health), Some(address)) = (health.as_object_mut(), proxy.control_tcp.get()) {
        health.insert("control_tcp".to_owned(), address.to_string().into());
    }
    health
}

pub(super) async fn hosts(State(api): State<Api>) -> Answer {
    let instance = api.instance()?;
    let hosts: Vec<_> = instance
        .hosts
        .iter()
        .map(|host| Host(host).info())
        .collect();
    Ok(Json(json!({ "hosts": hosts })))
}

pub(super) async fn stop_host(
    State(api): State<Api>,
    PathPart(name): PathPart,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    change_host(&api, &name, HostStatus::Stopped).await
}

pub(super) async fn leave_host(
    State(api): State<Api>,
    PathPart(name): PathPart,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    change_host(&api, &name, HostStatus::Left).await
}

pub(super) async fn start_host(
    State(api): State<Api>,
    PathPart(name): PathPart,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    change_host(&api, &name, HostStatus::Running).await
}

async fn change_host(api: &Api, name: &str, to: HostStatus) -> Answer {
    let instance = api.instance()?;
    let host = instance.host(name);
    let host = host.ok_or(ApiError::not_found(api.no_host(name)?))?;
    host.become_status(to).await.map_err(ApiError::conflict)?;
    Ok(Json(json!(host.info())))
}

/// What may take a while, beside the thread that everybody waits for.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::internal(&error))
}

pub(super) async fn clock(State(api): State<Api>) -> Answer {
    Ok(Json(clock_json(&api.calls()?.clock)))
}

fn clock_json(clock: &Clock) -> Value {
    let mode = if clock.is_manual() {
        "manual"
    } else {
        "system"
    };
    json!({"mode": mode, "now": clock.now()})
}

/// How to move the clock: one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveClock {
    #[serde(default, deserialize_with = "duration")]
    advance: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    set: Option<Timestamp>,
}

pub(super) async fn move_clock(State(api): State<Api>, Body(to): Body<MoveClock>) -> Answer {
    let instance = api.instance()?;
    let clock = &instance.calls.clock;
    let moved = match (to.advance, to.set) {
        (Some(by), None) => clock.advance(by),
        (None, Some(to)) => clock.set(to),
        _ => {
            return Err(ApiError::bad_request(
                "give either advance or set, such as {\"advance\": \"2h\"}",
            ));
        }
    };
    moved.map_err(ApiError::conflict)?;
    Ok(Json(clock_json(clock)))
}

pub(super) async fn settle(State(api): State<Api>, Body(Nothing {}): Body<Nothing>) -> Answer {
    let waiting = api.instance()?.jobs().settle().await;
    Ok(Json(json!({ "waiting": waiting })))
}

pub(super) async fn collect(State(api): State<Api>, Body(Nothing {}): Body<Nothing>) -> Answer {
    api.instance()?
        .collect()
        .await
        .map_err(|error| ApiError::internal(&error))?;
    done()
}

pub(super) async fn faults(State(api): State<Api>) -> Answer {
    let faults = api.calls()?.faults.list();
    Ok(Json(json!({ "faults": faults })))
}

pub(super) async fn add_fault(State(api): State<Api>, Body(fault): Body<Value>) -> Answer {
    let fault = Fault::from_value(&fault).map_err(ApiError::bad_request)?;
    let faults = Arc::clone(&api.calls()?.faults);
    let id = faults
        .add(fault, api.reach()?)
        .map_err(ApiError::bad_request)?;
    follow_faults(&api).await?;
    let added = faults.get(id).ok_or_else(|| no_fault(&id.to_string()))?;
    Ok(Json(added))
}

pub(super) async fn remove_fault(State(api): State<Api>, PathPart(id): PathPart) -> Answer {
    let faults = Arc::clone(&api.calls()?.faults);
    let number: Option<u64> = id.parse().ok();
    if !number.is_some_and(|id| faults.remove(id)) {
        return Err(no_fault(&id));
    }
    follow_faults(&api).await?;
    done()
}

pub(super) async fn clear_faults(State(api): State<Api>) -> Answer {
    api.calls()?.faults.clear();
    follow_faults(&api).await?;
    done()
}

/// Closes the sockets that a fault leaves stale, and opens those again that none does.
async fn follow_faults(api: &Api) -> Result<(), ApiError> {
    if api.is_proxy() {
        return Ok(());
    }
    let followed = api.instance()?.follow_faults().await;
    followed.map_err(|error| ApiError::conflict(format!("a host is not served: {error}")))
}

fn no_fault(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no fault {id}"))
}

pub(super) async fn take_snapshot(
    State(api): State<Api>,
    PathPart(name): PathPart,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    api.instance()?.take_snapshot(&name).await?;
    done()
}

pub(super) async fn snapshots(State(api): State<Api>) -> Answer {
    let snapshots = api.instance()?.snapshots().await?;
    Ok(Json(json!({ "snapshots": snapshots })))
}

pub(super) async fn remove_snapshot(State(api): State<Api>, PathPart(name): PathPart) -> Answer {
    api.instance()?.remove_snapshot(&name).await?;
    done()
}

pub(super) async fn restore_snapshot(
    State(api): State<Api>,
    PathPart(name): PathPart,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    api.instance()?.restore(&name).await?;
    done()
}

pub(super) async fn reset(State(api): State<Api>, Body(Nothing {}): Body<Nothing>) -> Answer {
    if api.is_proxy() {
        // What passes goes on: it is the daemon's.
        api.calls()?.faults.start_anew();
        api.clear_journal().await?;
        return done();
    }
    api.instance()?.reset().await?;
    done()
}
