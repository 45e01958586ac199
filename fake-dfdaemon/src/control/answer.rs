//! What goes in and out of the handlers: JSON bodies and queries, whose errors name the field and show a right
//! value, and the form of answers. What is done with them is in the handlers.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::call::json::named;
use crate::call::rpc::Rpc;
use crate::dfdaemon::adjustable::SettingsError;
use crate::dfdaemon::values::{self, DURATIONS};
use crate::instance::snapshot::SnapshotError;

/// How long a connection may take to ask for something, also for another thing, before it is closed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The longest body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// An error as the API tells it: a status and a message.
#[derive(Debug)]
pub(super) struct ApiError(StatusCode, String);

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl ToString) -> Self {
        Self(status, message.to_string())
    }

    pub(super) fn bad_request(message: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, message.to_string())
    }

    pub(super) fn not_found(message: impl ToString) -> Self {
        Self(StatusCode::NOT_FOUND, message.to_string())
    }

    pub(super) fn conflict(message: impl ToString) -> Self {
        Self(StatusCode::CONFLICT, message.to_string())
    }

    pub(super) fn method_not_allowed(message: impl ToString) -> Self {
        Self(StatusCode::METHOD_NOT_ALLOWED, message.to_string())
    }

    /// The daemon itself failed.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, with_causes(error))
    }
}

/// An error and what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    message
}

impl From<SettingsError> for ApiError {
    fn from(error: SettingsError) -> Self {
        Self::bad_request(error)
    }
}

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Name { .. } => Self::bad_request(error),
            SnapshotError::NotFound { .. } => Self::not_found(error),
            SnapshotError::CallHangs => Self::conflict(error),
            SnapshotError::NoPreload(_) => Self::conflict(with_causes(&error)),
            SnapshotError::Io(_) | SnapshotError::Start(_) => Self::internal(&error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": {"message": self.1}}))).into_response()
    }
}

/// A field that is a duration.
pub(super) fn duration<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Duration>, D::Error> {
    let value = Value::deserialize(field)?;
    let duration = match &value {
        Value::String(text) => values::duration(text),
        _ => Err(format!("not a text; {DURATIONS}")),
    };
    duration
        .map(Some)
        .map_err(|why| D::Error::custom(format!("{value} is {why}")))
}

/// A field that is a time.
pub(super) fn time<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(field)?;
    let time = values::time(value.as_str().unwrap_or_default());
    time.map(Some)
        .map_err(|why| D::Error::custom(format!("{value} is {why}")))
}

/// A field of a query that is a whole number.
pub(super) fn asked_number<'de, T: FromStr, D: Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(field)?;
    let why = || D::Error::custom(format!("{text:?} is not a whole number such as 2"));
    text.parse().map(Some).map_err(|_| why())
}

/// A field that is a kind of call.
pub(super) fn call<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Rpc>, D::Error> {
    let text = String::deserialize(field)?;
    let call = match Rpc::Unserved.as_str() == text {
        true => Ok(Rpc::Unserved),
        false => text.parse(),
    };
    call.map(Some).map_err(D::Error::custom)
}

/// The fields of a query. An error names the one that it is about.
pub(super) fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(fields)| fields).map_err(|error| {
        let text = error.body_text();
        let why = text.strip_prefix("Failed to deserialize query string: ");
        ApiError::bad_request(why.unwrap_or(&text))
    })
}

/// What a handler answers: an object.
pub(super) type Answer = Result<Json<Value>, ApiError>;

/// The answer that has nothing to say.
pub(super) fn done() -> Answer {
    Ok(Json(json!({})))
}

/// The part of the path that names a host, a task, a fault or a snapshot.
pub(super) struct PathPart(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathPart {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let part = Path::<String>::from_request_parts(parts, state).await;
        part.map(|Path(part)| Self(part))
            .map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// A JSON body, whatever its content type; an empty one is `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = tokio::time::timeout(PATIENCE, Bytes::from_request(request, state));
        let bytes = bytes
            .await
            .map_err(|_| ApiError::bad_request("the body did not arrive in time"))?
            .map_err(ApiError::bad_request)?;
        if bytes.len() > MAX_BODY {
            return Err(ApiError::bad_request("the body is too long"));
        }
        let text: &[u8] = if bytes.trim_ascii().is_empty() {
            b"{}"
        } else {
            &bytes
        };
        // An object: serde would take a list for one, its items for the fields in their order.
        let object: Map<String, Value> = serde_json::from_slice(text).map_err(|error| {
            ApiError::bad_request(format!("the body is not a JSON object: {error}"))
        })?;
        named(Value::Object(object))
            .map(Self)
            .map_err(ApiError::bad_request)
    }
}

/// A body that says nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}
