//! The arguments of actions: how each is read and written, and its JSON Schema.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;

use super::Action;
use crate::call::faults::status::{code_names, error_from_json, error_to_json};
use crate::call::faults::{ErrorAction, Fault, FaultBuilder, FaultError};
use crate::dfdaemon::values;

/// What an action takes.
#[derive(Debug)]
pub(crate) struct Argument {
    /// In a few words.
    pub(crate) is: &'static str,
    pub(crate) example: &'static str,
    /// The action that it makes.
    pub(in crate::call::faults) read: fn(&Value) -> Result<Action, FaultError>,
    /// Its JSON Schema.
    pub(crate) schema: fn() -> Value,
}

pub(super) const ERROR: Argument = Argument {
    is: "CODE:message",
    example: "UNAVAILABLE:gone",
    read: |argument| error_from_json(argument).map(Action::Error),
    schema: || {
        let code = json!({"type": "string", "enum": code_names()});
        let details = json!({"type": "string", "pattern": "^([A-Za-z0-9+/]{4})*$"});
        let properties = json!({"code": code, "message": {"type": "string"}, "details": details});
        let parts = json!({
            "type": "object",
            "properties": properties,
            "required": ["code"],
            "additionalProperties": false,
        });
        json!({"oneOf": [code, parts]})
    },
};

pub(super) const DELAY: Argument = Argument {
    is: "time, or least..most",
    example: "200ms",
    read: |argument| {
        let delay = argument.as_str().and_then(delay_from_text);
        let a_delay = "delay takes a duration such as \"200ms\" or \"200ms..2s\"";
        delay.ok_or_else(|| no_such(a_delay, argument))
    },
    schema: || {
        let span = "[0-9]{1,4} ?(ns|us|ms|s|m|h|d|days?|months?|years?)";
        let time = format!("{span}( ?{span}){{0,8}}");
        json!({"type": "string", "pattern": format!(r"^{time}(\.\.{time})?$")})
    },
};

pub(super) const BANDWIDTH: Argument = Argument {
    is: "bytes a second",
    example: "10MiB",
    read: |argument| {
        let rate = argument
            .as_str()
            .and_then(|text| values::size(text).ok())
            .filter(|rate| *rate > 0);
        let a_rate = "bandwidth takes bytes a second such as \"10MiB\"";
        rate.map(Action::Bandwidth)
            .ok_or_else(|| no_such(a_rate, argument))
    },
    schema: || {
        let pattern = "^([1-9][0-9]{0,8} ?([kKmMgG]i?)?[bB]?|[1-9][0-9]{0,19}[bB])$";
        json!({"type": "string", "pattern": pattern})
    },
};

pub(super) const LENGTH: Argument = Argument {
    is: "added to the length",
    example: "1",
    read: |argument| {
        let by = number(argument)
            .ok_or_else(|| no_such("wrong_length takes a whole number such as -3", argument));
        by.map(Action::WrongLength)
    },
    schema: of_number,
};

pub(super) const CONTENT_LENGTH: Argument = Argument {
    is: "added to the length",
    example: "1",
    read: |argument| {
        let a_number = "wrong_content_length takes a whole number such as -3";
        let by = number(argument).ok_or_else(|| no_such(a_number, argument));
        by.map(Action::WrongContentLength)
    },
    schema: of_number,
};

fn no_such(takes: &str, given: &Value) -> FaultError {
    FaultError::new(format!("{takes}, not {given}"))
}

impl Action {
    /// Its argument as JSON; `true` stands for none.
    pub(in crate::call::faults) fn argument(&self) -> Value {
        match self {
            Self::Error(error) => error_to_json(error),
            Self::Delay(delay) => humantime::format_duration(*delay).to_string().into(),
            Self::DelayBetween(least, most) => {
                let written = |delay: &Duration| humantime::format_duration(*delay).to_string();
                format!("{}..{}", written(least), written(most)).into()
            }
            Self::Bandwidth(rate) => bytes_to_text(*rate).into(),
            Self::WrongLength(by) | Self::WrongContentLength(by) => (*by).into(),
            _ => true.into(),
        }
    }
}

/// The methods of the action `error`, whose argument has parts.
impl FaultBuilder {
    /// Answers with a status.
    pub fn error(self, code: Code) -> Fault {
        self.error_with(code, "an injected fault")
    }

    /// Answers with a status and a message.
    pub fn error_with(self, code: Code, message: impl Into<String>) -> Fault {
        let error = ErrorAction {
            code,
            message: message.into(),
            details: Vec::new(),
        };
        self.action(Action::Error(error))
    }
}

/// A duration, or two that a delay lies between.
fn delay_from_text(text: &str) -> Option<Action> {
    let duration = |text| values::duration(text).ok();
    let Some((least, most)) = text.split_once("..") else {
        return duration(text).map(Action::Delay);
    };
    let (least, most) = (duration(least)?, duration(most)?);
    (least <= most).then_some(Action::DelayBetween(least, most))
}

/// The schema of what [`number`] reads in JSON.
fn of_number() -> Value {
    json!({"oneOf": [{"type": "integer"}, {"const": true}]})
}

/// A number, as such or as text; `true`, which stands for no argument, is 1.
fn number(argument: &Value) -> Option<i64> {
    match argument {
        Value::Bool(true) => Some(1),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A count of bytes in the largest unit that says it exactly: ByteSize would round.
fn bytes_to_text(count: u64) -> String {
    let units = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("KB", 1000),
    ];
    let unit = units.iter().find(|(_, size)| count.is_multiple_of(*size));
    let (name, size) = unit.copied().unwrap_or(("B", 1));
    format!("{}{name}", count / size)
}
