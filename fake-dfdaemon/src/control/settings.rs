//! The settings that can be changed while the daemon runs, over the API.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::answer::{Answer, ApiError, Body, duration};
use super::api::Api;
use crate::dfdaemon::adjustable::AdjustableSettings;
use crate::dfdaemon::blocklist::Block;
use crate::dfdaemon::quirks::Quirks;
use crate::dfdaemon::values;

/// A change: a field that is left out keeps its value, and null means none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default, deserialize_with = "given")]
    capacity: Option<Option<Size>>,
    #[serde(default, deserialize_with = "count")]
    max_requests: Option<Option<usize>>,
    #[serde(default, deserialize_with = "given")]
    block: Option<Option<Rows>>,
    #[serde(default, deserialize_with = "duration")]
    replication_delay: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    gc_interval: Option<Duration>,
    #[serde(default, deserialize_with = "given")]
    quirks: Option<Option<Names>>,
}

/// Bytes, as a number or as on the command line.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "it must be bytes, such as 4096, \"64KiB\" or \"1.5GiB\""
)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// The rows of a blocklist. It has one form, as an enum for the text of its error.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "it must be a list, such as [\"import:tag=nightly\"]"
)]
enum Rows {
    List(Vec<String>),
}

/// Names in a list, or as on the command line.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "it must be names, such as [\"ttl-limits\"] or \"all,-ttl-limits\""
)]
enum Names {
    List(Vec<String>),
    Text(String),
}

/// Tells null from what is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A count, or null for none: in words, since serde's own name a type of Rust.
fn count<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<usize>>, D::Error> {
    let value = Value::deserialize(value)?;
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    if count.is_none() && !value.is_null() {
        let why =
            format!("it must be a whole number from 0 on, or null for any number, not {value}");
        return Err(D::Error::custom(why));
    }
    Ok(Some(count))
}

pub(super) async fn show(State(api): State<Api>) -> Answer {
    Ok(Json(api.instance()?.cluster.adjusted().to_value()))
}

pub(super) async fn change(State(api): State<Api>, Body(change): Body<Change>) -> Answer {
    let instance = api.instance()?;
    let adjusted = instance.cluster.adjust(|now| apply(change, now));
    Ok(Json(adjusted?.to_value()))
}

fn wrong<T>(field: &str, why: &dyn std::fmt::Display) -> Result<T, ApiError> {
    Err(ApiError::bad_request(format!("{field}: {why}")))
}

fn apply(change: Change, now: &mut AdjustableSettings) -> Result<(), ApiError> {
    match change.capacity {
        None => {}
        Some(None) => now.capacity = None,
        Some(Some(Size::Bytes(bytes))) => now.capacity = Some(bytes),
        Some(Some(Size::Text(text))) => {
            let size = values::size(&text);
            let size = size.or_else(|why| wrong("capacity", &format!("{text:?} is {why}")))?;
            now.capacity = Some(size);
        }
    }
    if let Some(requests) = change.max_requests {
        now.max_requests = requests;
    }
    if let Some(rows) = change.block {
        let rows = rows.map_or(Vec::new(), |Rows::List(rows)| rows);
        let rows = rows.iter().map(|row| row.parse::<Block>());
        let rows = rows.collect::<Result<Vec<_>, _>>();
        now.blocks = rows.or_else(|error| wrong("block", &error))?;
    }
    if let Some(delay) = change.replication_delay {
        now.replication_delay = delay;
    }
    if let Some(interval) = change.gc_interval {
        now.gc_interval = interval;
    }
    if let Some(names) = change.quirks {
        let text = match names {
            None => None,
            Some(Names::List(names)) => (!names.is_empty()).then(|| names.join(",")),
            Some(Names::Text(text)) => Some(text),
        };
        let quirks = text.map_or(Ok(Quirks::default()), |text| text.parse::<Quirks>());
        now.quirks = quirks.or_else(|error| wrong("quirks", &error))?;
    }
    Ok(())
}
