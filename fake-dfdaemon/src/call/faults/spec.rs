//! How a fault is written: as JSON, and as `ON[@KEY=VALUE,…]:DO[=ARG]` on a command line.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::table::Scope;
use super::{Action, Fault, FaultError, Phase};
use crate::call::json::{named, whole_number};
use crate::call::rpc::Rpc;

/// A fault as it stands in JSON, where fields that are not given are left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultSpec {
    on: String,
    host: Option<String>,
    task: Option<String>,
    tag: Option<String>,
    application: Option<String>,
    #[serde(default, deserialize_with = "whole_number")]
    call: Option<u64>,
    #[serde(default, deserialize_with = "whole_number")]
    times: Option<u64>,
    #[serde(default, deserialize_with = "probability")]
    probability: Option<f64>,
    phase: Option<String>,
    #[serde(default, deserialize_with = "whole_number")]
    piece: Option<u32>,
    #[serde(default, deserialize_with = "whole_number")]
    bytes: Option<u64>,
    #[serde(rename = "do")]
    action: Value,
}

/// A probability as JSON.
fn probability<'de, D: Deserializer<'de>>(field: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(field)?;
    let why = || D::Error::custom(format!("{value} is not a number from 0 to 1, such as 0.5"));
    value.as_f64().map(Some).ok_or_else(why)
}

impl Fault {
    /// Reads a fault from JSON.
    ///
    /// # Errors
    ///
    /// If a field is unknown, missing or has a bad value; it is named.
    pub(crate) fn from_value(value: &Value) -> Result<Self, FaultError> {
        let mut fields = value.as_object().into_iter().flatten();
        // Taken for a field that is left out, it would hit more calls than was meant.
        if let Some((name, _)) = fields.find(|(_, value)| value.is_null()) {
            return Err(FaultError::new(format!("{name}: must not be null")));
        }
        let written: FaultSpec =
            named(value.clone()).map_err(|error| FaultError::new(error.to_string()))?;
        let action = Action::from_value(&written.action)?;
        Self::from_written(written, action)
    }

    /// The fault as JSON, with the fields that were given. Parsed, it is the same fault.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    pub(crate) fn to_value(&self) -> Value {
        let written = FaultSpec {
            on: self.on.map_or("*", Rpc::as_str).to_owned(),
            host: self.host.clone(),
            task: self.task.clone(),
            tag: self.tag.clone(),
            application: self.application.clone(),
            call: self.call,
            times: self.times,
            probability: self.probability,
            phase: self.phase.map(|phase| phase.as_str().to_owned()),
            piece: self.piece,
            bytes: self.bytes,
            action: self.action.to_value(),
        };
        let mut value = serde_json::to_value(written).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        value
    }

    fn from_written(written: FaultSpec, action: Action) -> Result<Self, FaultError> {
        let on = match written.on.as_str() {
            "*" => None,
            on => Some(
                on.parse::<Rpc>()
                    .map_err(|error| FaultError::new(format!("on: {error}, or *")))?,
            ),
        };
        let phase = match written.phase.as_deref() {
            None => None,
            Some("before") => Some(Phase::Before),
            Some("after") => Some(Phase::After),
            Some(other) => {
                return Err(FaultError::new(format!(
                    "phase: no such phase: {other}; there are before, after"
                )));
            }
        };
        let fault = Self {
            on,
            host: written.host,
            task: written.task,
            tag: written.tag,
            application: written.application,
            call: written.call,
            times: written.times,
            probability: written.probability,
            phase,
            piece: written.piece,
            bytes: written.bytes,
            action,
        };
        fault.check()?;
        Ok(fault)
    }

    /// Whether the parts go together.
    pub(super) fn check(&self) -> Result<(), FaultError> {
        let refuse = |text: String| Err(FaultError::new(text));
        if self.call == Some(0) {
            return refuse("call: calls are counted from 1".to_owned());
        }
        if self
            .probability
            .is_some_and(|probability| !(0.0..=1.0).contains(&probability))
        {
            return refuse("probability: must be from 0 to 1, such as 0.5".to_owned());
        }
        if self.piece.is_some() && self.bytes.is_some() {
            return refuse("piece, bytes: give only one of them".to_owned());
        }
        let name = self.action.name();
        if self.on == Some(Rpc::Transfer) {
            return self.check_transfer();
        }
        if self.on == Some(Rpc::Connect) {
            return self.check_connect();
        }
        if self.action.scope() == Scope::Connection {
            return refuse(format!(
                "{name}: acts only on connections; write connect:{name}"
            ));
        }
        let placed = self.piece.is_some() || self.bytes.is_some();
        let streams = matches!(self.on, None | Some(Rpc::Export));
        if placed && !streams {
            return refuse("piece, bytes: only an export has pieces".to_owned());
        }
        match self.action.scope() {
            Scope::Call => {}
            Scope::Piece | Scope::Stream if !streams => {
                return refuse(format!("{name}: only an export has a stream"));
            }
            Scope::Store => {
                let writes = [Rpc::Import, Rpc::Export, Rpc::Replicate];
                if self.on.is_some_and(|on| !writes.contains(&on)) {
                    return refuse(format!(
                        "{name}: only import, export and replicate write to the store"
                    ));
                }
            }
            Scope::Piece | Scope::Stream | Scope::Connection | Scope::Transfer => {}
        }
        let placeable = matches!(self.action.scope(), Scope::Call | Scope::Piece);
        if placed && !placeable {
            return refuse(format!(
                "{name}: acts on no single piece; leave out piece and bytes"
            ));
        }
        if self.phase.is_some() && (placed || self.action.scope() != Scope::Call) {
            let of_calls = Action::names_in(Scope::Call);
            return refuse(format!(
                "phase: goes only with {of_calls}, and not with piece or bytes"
            ));
        }
        Ok(())
    }
}

impl Fault {
    /// Whether that can happen to a connection that is made.
    fn check_connect(&self) -> Result<(), FaultError> {
        let refuse = |text: String| Err(FaultError::new(text));
        let name = self.action.name();
        if !self.action.hits(Scope::Connection) {
            let known = Action::names_in(Scope::Connection);
            return refuse(format!(
                "{name}: does not act on connections; those that do are {known}"
            ));
        }
        let of_calls = [&self.task, &self.tag, &self.application];
        if of_calls.iter().any(|given| given.is_some()) {
            return refuse("task, tag, application: a connection belongs to no task".to_owned());
        }
        if self.phase.is_some() || self.piece.is_some() || self.bytes.is_some() {
            return refuse("phase, piece, bytes: a connection has none".to_owned());
        }
        let counts = self.call.is_some() || self.times.is_some() || self.probability.is_some();
        if counts && self.closes_sockets() {
            return refuse(format!(
                "call, times, probability: do not apply to {name}, since the connections that it refuses are not counted"
            ));
        }
        Ok(())
    }

    /// Whether that can happen to a piece on its way between hosts.
    fn check_transfer(&self) -> Result<(), FaultError> {
        let refuse = |text: String| Err(FaultError::new(text));
        let name = self.action.name();
        if !self.action.hits(Scope::Transfer) {
            let known = Action::names_in(Scope::Transfer);
            return refuse(format!(
                "{name}: does not act on transfers; those that do are {known}"
            ));
        }
        if self.phase.is_some() || self.bytes.is_some() {
            return refuse("phase, bytes: do not apply to transfers; give a piece".to_owned());
        }
        Ok(())
    }
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// `ON[@KEY=VALUE,…]:DO[=ARG]`, or the JSON object.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim_start().starts_with('{') {
            let value: Value = serde_json::from_str(text).map_err(|error| {
                let form = r#"write it as {"on":"stat","do":{"stall":true}}"#;
                FaultError::new(format!("not JSON: {error}; {form}"))
            })?;
            return Self::from_value(&value);
        }
        let (matcher, action) = text.split_once(':').ok_or_else(|| {
            FaultError::new(format!(
                "{text:?} is not of the form ON[@KEY=VALUE,…]:DO[=ARG], such as export@call=2:stall"
            ))
        })?;
        let (on, selectors) = matcher.split_once('@').unwrap_or((matcher, ""));
        let mut written = FaultSpec {
            on: on.to_owned(),
            ..FaultSpec::default()
        };
        for selector in selectors.split(',').filter(|selector| !selector.is_empty()) {
            let (key, value) = selector.split_once('=').ok_or_else(|| {
                FaultError::new(format!(
                    "{selector:?} is not of the form KEY=VALUE, such as call=2"
                ))
            })?;
            written.select(key, value)?;
        }
        let action = Action::from_text(action)?;
        Self::from_written(written, action)
    }
}

impl FaultSpec {
    fn select(&mut self, key: &str, value: &str) -> Result<(), FaultError> {
        fn number<T: FromStr>(key: &str, value: &str) -> Result<Option<T>, FaultError> {
            let is = match key {
                "probability" => "not a number from 0 to 1, such as 0.5",
                _ if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() => {
                    "too large"
                }
                _ => "not a whole number such as 2",
            };
            let parsed = value.parse().map(Some);
            parsed.map_err(|_| FaultError::new(format!("{key}: {value:?} is {is}")))
        }
        let text = Some(value.to_owned());
        match key {
            "host" => self.host = text,
            "task" => self.task = text,
            "tag" => self.tag = text,
            "application" => self.application = text,
            "phase" => self.phase = text,
            "call" => self.call = number(key, value)?,
            "times" => self.times = number(key, value)?,
            "probability" => self.probability = number(key, value)?,
            "piece" => self.piece = number(key, value)?,
            "bytes" => self.bytes = number(key, value)?,
            _ => {
                return Err(FaultError::new(format!(
                    "unknown key {key}; there are host, task, tag, application, call, times, \
                     probability, phase, piece, bytes"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
