//! What happens, as server-sent events.
//!
//! Each reader has its own position in the kept events. A reader that is too far behind gets the number of
//! events that it missed, and its connection ends.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::answer::{ApiError, asked, asked_number};
use super::api::Api;
use super::connections::Closes;
use crate::call::CallContext;
use crate::call::events::{Events, Follower, KINDS, Next};

/// How long nothing may happen before a line says that the connection is still there.
const SILENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether a reader takes what there is for it.
const LOOK: Duration = Duration::from_secs(1);

/// How many events of each kind a sample can have.
pub(super) const SAMPLES: RangeInclusive<usize> = 1..=1000;

/// What a reader wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Kinds of events, with commas between them; all of them by default.
    kinds: Option<String>,
    /// At most this many events of each kind at a time.
    #[serde(default, deserialize_with = "asked_number")]
    sample: Option<usize>,
}

/// One who reads.
struct Reader {
    follower: Follower,
    /// Empty for all.
    kinds: Vec<String>,
    sample: Option<usize>,
    /// What is sent first.
    greeting: Option<Bytes>,
    /// The place, for who looks whether it moves.
    place: Arc<AtomicU64>,
    stopping: CancellationToken,
    is_over: bool,
    _watched: tokio_util::sync::DropGuard,
}

pub(super) async fn events(
    State(api): State<Api>,
    Extension(Closes(closes)): Extension<Closes>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, ApiError> {
    let wanted = asked(wanted)?;
    let kinds = wanted.kinds.as_deref().map_or(Ok(Vec::new()), kinds)?;
    if wanted.sample.is_some_and(|most| !SAMPLES.contains(&most)) {
        let why = format!(
            "sample: must be from {} to {}",
            SAMPLES.start(),
            SAMPLES.end()
        );
        return Err(ApiError::bad_request(why));
    }
    let events = api.calls()?.events.clone();
    let stopping = api.stopping()?;
    let last = headers.get("last-event-id");
    let last = last
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty());
    let after = last.and_then(|id| events.read_id(id));
    let follower = events.follow(after);
    let greeting = match (last, after) {
        (None, _) => ": what happens from now on\n\n".to_owned(),
        (Some(_), Some(_)) => String::new(),
        // Of an earlier start, or made up: nobody knows how many.
        (Some(_), None) => missed(None, &follower),
    };
    let place = Arc::new(AtomicU64::new(follower.place()));
    let watched = CancellationToken::new();
    let watch = watch(events, Arc::clone(&place), watched.clone(), closes);
    tokio::spawn(watch);
    let reader = Reader {
        follower,
        kinds,
        sample: wanted.sample,
        greeting: Some(greeting.into()),
        place,
        stopping,
        is_over: false,
        _watched: watched.drop_guard(),
    };
    let parts = stream::unfold(reader, |mut reader| async move {
        let part = reader.next().await?;
        Some((Ok::<_, Infallible>(part), reader))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn kinds(text: &str) -> Result<Vec<String>, ApiError> {
    let kinds = text.split(',').map(|kind| {
        if KINDS.contains(&kind) {
            return Ok(kind.to_owned());
        }
        let known = KINDS.join(", ");
        Err(ApiError::bad_request(format!(
            "kinds: no such kind of event: {kind}; there are {known}"
        )))
    });
    kinds.collect()
}

/// Closes the connection of a reader that does not move while its place is lost.
async fn watch(
    events: Events,
    place: Arc<AtomicU64>,
    watched: CancellationToken,
    closes: CancellationToken,
) {
    let slow = async {
        let mut before = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let at = place.load(Ordering::Relaxed);
            if before == Some(at) && events.is_lost(at) {
                return;
            }
            before = Some(at);
        }
    };
    tokio::select! {
        () = watched.cancelled() => {}
        () = slow => closes.cancel(),
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take().filter(|text| !text.is_empty()) {
            return Some(greeting);
        }
        loop {
            tokio::select! {
                () = self.follower.rest() => {}
                () = self.stopping.cancelled() => {}
            }
            if self.is_over || self.stopping.is_cancelled() {
                return None;
            }
            let next = match self.sample {
                Some(most) => self.follower.sample(&self.kinds, most),
                None => self.follower.take(&self.kinds),
            };
            self.place.store(self.follower.place(), Ordering::Relaxed);
            match next {
                Next::Missed(count) => {
                    self.is_over = true;
                    return Some(missed(Some(count), &self.follower).into());
                }
                Next::Events(text) if text.is_empty() => continue,
                Next::Events(text) => return Some(text),
                Next::Nothing => {}
            }
            tokio::select! {
                () = self.follower.happens() => {}
                () = self.stopping.cancelled() => return None,
                () = tokio::time::sleep(SILENCE) => {
                    return Some(Bytes::from_static(b": nothing happens\n\n"));
                }
            }
        }
    }
}

/// Events are missing: this many, or an unknown number. Its id is that of the last of them: a
/// reader that comes back with it goes on behind them, and does not get the same again.
fn missed(count: Option<u64>, follower: &Follower) -> String {
    let (id, missed) = (follower.last_id(), json!({ "missed": count }));
    format!("id: {id}\nevent: missed\ndata: {missed}\n\n")
}

/// Tells every move of manual time and every change of the list of faults, until it is broken off.
pub(super) fn tell_of_changes(
    calls: &CallContext,
    ends: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (events, moves) = (calls.events.clone(), calls.clock.moves());
    let mut faults = calls.faults.changes();
    let of_faults = {
        let events = events.clone();
        async move {
            while faults.changed().await.is_ok() {
                let armed = *faults.borrow_and_update();
                events.tell("faults", || json!({ "armed": armed }));
            }
        }
    };
    let of_the_clock = async move {
        let Some(mut moves) = moves else {
            return;
        };
        while moves.changed().await.is_ok() {
            let now = *moves.borrow_and_update();
            events.tell("clock", || json!({"mode": "manual", "now": now}));
        }
    };
    async move {
        tokio::select! {
            _ = async { tokio::join!(of_faults, of_the_clock) } => {}
            () = ends.cancelled() => {}
        }
    }
}
