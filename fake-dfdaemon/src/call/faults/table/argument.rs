//! The arguments of actions: how each is read and written, and the builder's methods for them.

use std::time::Duration;

use bytesize::ByteSize;
use serde_json::Value;
use tonic::Code;

use super::Action;
use crate::call::faults::status::{error_from_json, error_to_json};
use crate::call::faults::{ErrorAction, Fault, FaultBuilder, FaultError};

/// What an action takes.
#[derive(Debug)]
pub(crate) struct Argument {
    /// In a few words.
    pub(crate) is: &'static str,
    pub(crate) example: &'static str,
    /// The action that it makes.
    pub(in crate::call::faults) read: fn(&Value) -> Result<Action, FaultError>,
}

pub(super) const ERROR: Argument = Argument {
    is: "CODE:message",
    example: "UNAVAILABLE:gone",
    read: |argument| error_from_json(argument).map(Action::Error),
};

pub(super) const DELAY: Argument = Argument {
    is: "time, or least..most",
    example: "200ms",
    read: |argument| {
        let delay = argument.as_str().and_then(delay_from_text);
        let a_delay = "delay takes a duration such as \"200ms\" or \"200ms..2s\"";
        delay.ok_or_else(|| no_such(a_delay, argument))
    },
};

pub(super) const BANDWIDTH: Argument = Argument {
    is: "bytes a second",
    example: "10MiB",
    read: |argument| {
        let rate = argument
            .as_str()
            .and_then(|text| text.parse::<ByteSize>().ok());
        let rate = rate.map(|rate| rate.as_u64()).filter(|rate| *rate > 0);
        let a_rate = "bandwidth takes bytes a second such as \"10MiB\"";
        rate.map(Action::Bandwidth)
            .ok_or_else(|| no_such(a_rate, argument))
    },
};

pub(super) const LENGTH: Argument = Argument {
    is: "added to the length",
    example: "1",
    read: |argument| {
        let by = number(argument).ok_or_else(|| no_such("wrong_length takes a number", argument));
        by.map(Action::WrongLength)
    },
};

pub(super) const CONTENT_LENGTH: Argument = Argument {
    is: "added to the length",
    example: "1",
    read: |argument| {
        let a_number = "wrong_content_length takes a number";
        let by = number(argument).ok_or_else(|| no_such(a_number, argument));
        by.map(Action::WrongContentLength)
    },
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

/// What completes a fault: a method for each action that takes an argument.
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

    /// Waits, by the daemon's clock, then goes on.
    pub fn delay(self, delay: Duration) -> Fault {
        self.action(Action::Delay(delay))
    }

    /// Waits for a time between `least` and `most`, which the fault seed draws for each call, then goes
    /// on.
    pub fn delay_between(self, least: Duration, most: Duration) -> Fault {
        self.action(Action::DelayBetween(least, most))
    }

    /// Sends content at this many bytes a second, by the daemon's clock.
    pub fn bandwidth(self, bytes_per_second: u64) -> Fault {
        self.action(Action::Bandwidth(bytes_per_second))
    }

    /// Adds this to a piece's length.
    pub fn wrong_length(self, add: i64) -> Fault {
        self.action(Action::WrongLength(add))
    }

    /// Adds this to the content length that the stream starts with.
    pub fn wrong_content_length(self, add: i64) -> Fault {
        self.action(Action::WrongContentLength(add))
    }
}

/// A duration, or two that a delay lies between.
fn delay_from_text(text: &str) -> Option<Action> {
    let duration = |text| humantime::parse_duration(text).ok();
    let Some((least, most)) = text.split_once("..") else {
        return duration(text).map(Action::Delay);
    };
    let (least, most) = (duration(least)?, duration(most)?);
    (least <= most).then_some(Action::DelayBetween(least, most))
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
