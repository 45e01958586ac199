//! How a fault is written: as JSON, and as `ON[@KEY=VALUE,…]:DO[=ARG]` on a command line.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::Scope;
use super::{Action, Fault, Phase};
use crate::json::named;
use crate::rpc::Rpc;

/// Why a fault is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl FaultError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A fault as it stands in JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    piece: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(rename = "do")]
    action: Value,
}

impl Fault {
    /// Reads a fault from JSON.
    ///
    /// # Errors
    ///
    /// If a field is unknown, missing or has a bad value; it is named.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        let written: Written =
            named(value.clone()).map_err(|error| FaultError::new(error.to_string()))?;
        let action = Action::from_json(&written.action)?;
        Self::from_written(written, action)
    }

    /// The fault as JSON, the fields that were given.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let written = Written {
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
            action: self.action.to_json(),
        };
        serde_json::to_value(written).unwrap_or_default()
    }

    fn from_written(written: Written, action: Action) -> Result<Self, FaultError> {
        let on = match written.on.as_str() {
            "*" => None,
            on => Some(
                on.parse::<Rpc>()
                    .map_err(|error| FaultError(format!("on: {error}, or *")))?,
            ),
        };
        let phase = match written.phase.as_deref() {
            None => None,
            Some("before") => Some(Phase::Before),
            Some("after") => Some(Phase::After),
            Some(other) => {
                return Err(FaultError(format!(
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
        let refuse = |text: String| Err(FaultError(text));
        if self.call == Some(0) {
            return refuse("call: calls are counted from 1".to_owned());
        }
        if self
            .probability
            .is_some_and(|probability| !(0.0..=1.0).contains(&probability))
        {
            return refuse("probability: from 0 to 1".to_owned());
        }
        if self.piece.is_some() && self.bytes.is_some() {
            return refuse("piece, bytes: one place is enough".to_owned());
        }
        let name = self.action.name();
        let placed = self.piece.is_some() || self.bytes.is_some();
        let streams = matches!(self.on, None | Some(Rpc::Export));
        if placed && !streams {
            return refuse("piece, bytes: only an export has pieces".to_owned());
        }
        match self.action.scope() {
            Scope::AnyCall => {}
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
            Scope::Piece | Scope::Stream => {}
        }
        let placeable = matches!(self.action.scope(), Scope::AnyCall | Scope::Piece);
        if placed && !placeable {
            return refuse(format!("{name}: has no place in the stream"));
        }
        if self.phase.is_some() && (placed || self.action.scope() != Scope::AnyCall) {
            return refuse(
                "phase: goes with error, delay, stall and reset, without a place".to_owned(),
            );
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
            let value: Value =
                serde_json::from_str(text).map_err(|error| FaultError(error.to_string()))?;
            return Self::from_json(&value);
        }
        let (matcher, action) = text.split_once(':').ok_or_else(|| {
            FaultError(format!(
                "{text:?} is not of the form ON[@KEY=VALUE,…]:DO[=ARG]"
            ))
        })?;
        let (on, selectors) = matcher.split_once('@').unwrap_or((matcher, ""));
        let mut written = Written {
            on: on.to_owned(),
            ..Written::default()
        };
        for selector in selectors.split(',').filter(|selector| !selector.is_empty()) {
            let (key, value) = selector
                .split_once('=')
                .ok_or_else(|| FaultError(format!("{selector:?} is not of the form KEY=VALUE")))?;
            written.select(key, value)?;
        }
        let action = Action::from_text(action)?;
        Self::from_written(written, action)
    }
}

impl Written {
    fn select(&mut self, key: &str, value: &str) -> Result<(), FaultError> {
        fn number<T: FromStr>(key: &str, value: &str) -> Result<Option<T>, FaultError> {
            let parsed = value.parse().map(Some);
            parsed.map_err(|_| FaultError(format!("{key}: {value:?} is not a number")))
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
                return Err(FaultError(format!(
                    "unknown key {key}; there are host, task, tag, application, call, times, \
                     probability, phase, piece, bytes"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tonic::Code;

    use super::*;

    #[test]
    fn both_forms_of_the_documented_example_are_the_same_fault() {
        let json = json!({"on":"export","call":2,"piece":3,"do":{"error":{"code":"UNAVAILABLE","message":"gone"}}});
        let written = Fault::on(Rpc::Export)
            .call(2)
            .piece(3)
            .error_with(Code::Unavailable, "gone");
        assert_eq!(Fault::from_json(&json), Ok(written.clone()));
        assert_eq!(
            "export@call=2,piece=3:error=UNAVAILABLE:gone".parse(),
            Ok(written.clone())
        );
        assert_eq!(json.to_string().parse(), Ok(written));
    }

    #[test]
    fn every_action_reads_as_it_is_written() {
        for name in Action::names() {
            let argument = match name {
                "error" => json!({"code": "ABORTED", "message": "m", "details": "/wAB"}),
                "delay" => json!("1s 200ms"),
                "bandwidth" => json!("10MiB"),
                "wrong_length" | "wrong_content_length" => json!(-3),
                _ => json!(true),
            };
            let fault = Fault::from_json(&json!({"on": "export", "do": {name: argument}})).unwrap();
            assert_eq!(fault.action.name(), name);
            assert_eq!(Fault::from_json(&fault.to_json()), Ok(fault));
        }
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (text, named) in [
            ("stat", "ON[@KEY=VALUE,…]:DO[=ARG]"),
            ("upload:stall", "no such call: upload"),
            ("stat:explode", "no such action: explode"),
            ("stat@color=red:stall", "unknown key color"),
            ("stat@call:stall", "\"call\" is not of the form"),
            ("stat@call=0:stall", "call: calls are counted from 1"),
            ("stat@call=x:stall", "call: \"x\" is not a number"),
            ("stat@probability=2:stall", "probability: from 0 to 1"),
            ("stat@phase=during:stall", "phase: no such phase: during"),
            (
                "stat@piece=1:stall",
                "piece, bytes: only an export has pieces",
            ),
            ("export@piece=1,bytes=2:stall", "one place is enough"),
            ("export@piece=1,phase=after:stall", "phase: goes with"),
            ("stat:end", "end: only an export has a stream"),
            (
                "stat:no_space",
                "no_space: only import, export and replicate",
            ),
            ("stat:error=BROKEN", "no such status code: BROKEN"),
            ("stat:delay=soon", "delay takes a duration"),
            ("export:bandwidth=0", "bandwidth takes bytes"),
            ("export:wrong_length=many", "wrong_length takes a number"),
            ("stat:stall=1", "stall takes no argument"),
            (
                "{\"on\":\"stat\",\"do\":{\"stall\":true},\"color\":1}",
                "unknown field `color`",
            ),
            (
                "{\"on\":\"stat\",\"do\":{\"stall\":true,\"reset\":true}}",
                "\"do\" holds one action",
            ),
            ("{\"on\":\"stat\"}", "missing field `do`"),
            (
                "{\"on\":\"stat\",\"call\":\"two\",\"do\":{\"stall\":true}}",
                "call: invalid type",
            ),
            (
                "{\"on\":\"stat\",\"do\":{\"error\":{\"message\":\"x\"}}}",
                "the field code is missing",
            ),
            (
                "{\"on\":\"stat\",\"do\":{\"error\":{\"code\":\"ABORTED\",\"details\":\"?\"}}}",
                "details are base64",
            ),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_fault_or_refused(text in ".{0,60}") {
            if let Ok(fault) = text.parse::<Fault>() {
                prop_assert_eq!(Fault::from_json(&fault.to_json()), Ok(fault));
            }
        }

        #[test]
        fn selectors_read_as_they_are_written(
            host in prop::option::of("[a-z0-9-]{1,8}"), tag in prop::option::of("[a-z ]{1,8}"),
            times in prop::option::of(any::<u64>()), bytes in prop::option::of(any::<u64>()),
        ) {
            let mut selectors = Vec::new();
            selectors.extend(host.map(|host| format!("host={host}")));
            selectors.extend(tag.map(|tag| format!("tag={tag}")));
            selectors.extend(times.map(|times| format!("times={times}")));
            selectors.extend(bytes.map(|bytes| format!("bytes={bytes}")));
            let text = format!("export@{}:reset", selectors.join(","));
            let fault: Fault = text.parse().unwrap();
            prop_assert_eq!(Fault::from_json(&fault.to_json()), Ok(fault));
        }
    }
}
