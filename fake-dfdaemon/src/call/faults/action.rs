//! What a fault does, and how that is written.

use std::time::Duration;

use bytesize::ByteSize;
use serde_json::{Value, json};
use tonic::Code;

use super::status::{error_from_json, error_to_json};
use super::{ErrorAction, Fault, FaultBuilder, FaultError};

/// What a fault does to the call that it hits.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::{Action, Fault, Rpc};
///
/// for action in [Action::Stall, Action::Reset, Action::Bandwidth(1 << 20)] {
///     let fault = Fault::on(Rpc::Export).action(action);
///     assert!(fault.to_json().starts_with(r#"{"on":"export","do":"#));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answers with a status.
    Error(ErrorAction),
    /// Waits, by the daemon's clock, then goes on.
    Delay(Duration),
    /// The same for a time between these two, which the seed draws for each call.
    DelayBetween(Duration, Duration),
    /// Never answers, until the fault is removed.
    Stall,
    /// Sends content at so many bytes a second, by the daemon's clock.
    Bandwidth(u64),
    /// Closes the connection without a status.
    Reset,
    /// Closes a connection as soon as it is made.
    Refuse,
    /// Closes the sockets of a host and leaves their names: nobody serves them until the fault is
    /// removed.
    Stale,
    /// Answers as a dfdaemon whose host the scheduler does not know yet.
    NoHost,
    /// Answers as a dfdaemon that reaches no scheduler.
    NoScheduler,
    /// Answers as a dfdaemon whose machine is out of CPU or memory.
    Overloaded,
    /// Ends the stream early, as if all were well.
    End,
    /// Leaves a piece out.
    SkipPiece,
    /// Sends a piece twice.
    RepeatPiece,
    /// Sends the pieces in another order.
    ShufflePieces,
    /// Flips a bit of a piece's content; the digest stays.
    CorruptPiece,
    /// Sends a digest that is not the piece's.
    CorruptDigest,
    /// Sends a piece without digest.
    EmptyDigest,
    /// Sends a piece without its content.
    NoContent,
    /// Adds this to a piece's length.
    WrongLength(i64),
    /// Adds this to the content length that the stream starts with.
    WrongContentLength(i64),
    /// The store has no space left.
    NoSpace,
    /// The store's disk fails.
    DiskError,
    /// The store's disk fails when half of the content is written.
    TornWrite,
}

/// Which calls an action makes sense in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    AnyCall,
    /// The pieces of an export, one of which may be named.
    Piece,
    /// The stream of an export as a whole.
    Stream,
    /// Whatever writes to a host's store.
    Store,
    /// Connections, not calls.
    Connection,
}

/// The names of actions that take no argument.
const PLAIN: &[(&str, Action)] = &[
    ("stall", Action::Stall),
    ("reset", Action::Reset),
    ("no_host", Action::NoHost),
    ("no_scheduler", Action::NoScheduler),
    ("overloaded", Action::Overloaded),
    ("end", Action::End),
    ("skip_piece", Action::SkipPiece),
    ("repeat_piece", Action::RepeatPiece),
    ("shuffle_pieces", Action::ShufflePieces),
    ("corrupt_piece", Action::CorruptPiece),
    ("corrupt_digest", Action::CorruptDigest),
    ("empty_digest", Action::EmptyDigest),
    ("no_content", Action::NoContent),
    ("no_space", Action::NoSpace),
    ("disk_error", Action::DiskError),
    ("torn_write", Action::TornWrite),
];

/// The names of actions on connections alone, which no call knows.
const OF_CONNECTIONS: &[(&str, Action)] = &[("refuse", Action::Refuse), ("stale", Action::Stale)];

/// The names of actions that take one.
const WITH_ARGUMENT: &[&str] = &[
    "error",
    "delay",
    "bandwidth",
    "wrong_length",
    "wrong_content_length",
];

impl Action {
    /// The name of every action on calls.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let with_argument = WITH_ARGUMENT.iter().copied();
        with_argument.chain(PLAIN.iter().map(|(name, _)| *name))
    }

    /// The names of the actions that take no argument, on calls and on connections.
    pub(crate) fn plain_names() -> impl Iterator<Item = &'static str> {
        Self::plain().map(|(name, _)| *name)
    }

    /// The action's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Delay(_) | Self::DelayBetween(..) => "delay",
            Self::Bandwidth(_) => "bandwidth",
            Self::WrongLength(_) => "wrong_length",
            Self::WrongContentLength(_) => "wrong_content_length",
            plain => Self::plain()
                .find(|(_, action)| action == plain)
                .map_or("", |(name, _)| name),
        }
    }

    /// Actions without an argument.
    fn plain() -> impl Iterator<Item = &'static (&'static str, Self)> {
        PLAIN.iter().chain(OF_CONNECTIONS)
    }

    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::Error(_)
            | Self::Delay(_)
            | Self::DelayBetween(..)
            | Self::Stall
            | Self::Reset
            | Self::NoHost
            | Self::NoScheduler
            | Self::Overloaded => Scope::AnyCall,
            Self::NoSpace | Self::DiskError | Self::TornWrite => Scope::Store,
            Self::ShufflePieces | Self::WrongContentLength(_) => Scope::Stream,
            Self::Refuse | Self::Stale => Scope::Connection,
            _ => Scope::Piece,
        }
    }

    /// Whether it acts on the stream of an export, or at a place in it.
    pub(crate) fn hits_streams(&self) -> bool {
        matches!(self.scope(), Scope::Piece | Scope::Stream)
    }

    /// Whether it hits single pieces: it fires once a call, at its place or at the first piece.
    pub(crate) fn hits_pieces(&self) -> bool {
        self.scope() == Scope::Piece && !matches!(self, Self::Bandwidth(_))
    }

    /// Whether it can happen to a connection that is made.
    pub(super) fn hits_connections(&self) -> bool {
        matches!(
            self,
            Self::Refuse | Self::Stale | Self::Stall | Self::Delay(_) | Self::DelayBetween(..)
        )
    }

    /// Whether it can happen to a piece on its way between hosts.
    pub(super) fn hits_transfers(&self) -> bool {
        matches!(
            self,
            Self::Error(_)
                | Self::Delay(_)
                | Self::DelayBetween(..)
                | Self::Stall
                | Self::Reset
                | Self::Bandwidth(_)
                | Self::CorruptPiece
        )
    }

    /// Reads `NAME` or `NAME=ARGUMENT`.
    pub(super) fn from_text(text: &str) -> Result<Self, FaultError> {
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Value::from(argument)),
            None => (text, Value::Bool(true)),
        };
        Self::from_parts(name, &argument)
    }

    /// Reads `{"NAME": ARGUMENT}`.
    pub(super) fn from_value(value: &Value) -> Result<Self, FaultError> {
        let single = value.as_object().filter(|object| object.len() == 1);
        let single = single.and_then(|object| object.iter().next());
        let (name, argument) = single
            .ok_or_else(|| FaultError::new("\"do\" holds one action, such as {\"stall\":true}"))?;
        Self::from_parts(name, argument)
    }

    pub(super) fn to_value(&self) -> Value {
        let argument = match self {
            Self::Error(error) => error_to_json(error),
            Self::Delay(delay) => humantime::format_duration(*delay).to_string().into(),
            Self::DelayBetween(least, most) => {
                let written = |delay: &Duration| humantime::format_duration(*delay).to_string();
                format!("{}..{}", written(least), written(most)).into()
            }
            Self::Bandwidth(rate) => bytes_to_text(*rate).into(),
            Self::WrongLength(by) | Self::WrongContentLength(by) => (*by).into(),
            _ => true.into(),
        };
        json!({ self.name(): argument })
    }

    fn from_parts(name: &str, argument: &Value) -> Result<Self, FaultError> {
        if let Some((_, action)) = Self::plain().find(|(plain, _)| *plain == name) {
            return match argument {
                Value::Bool(true) => Ok(action.clone()),
                _ => Err(FaultError::new(format!(
                    "{name} takes no argument but true"
                ))),
            };
        }
        let bad = |what: &str| FaultError::new(format!("{name} takes {what}, not {argument}"));
        let text = argument.as_str();
        match name {
            "error" => Ok(Self::Error(error_from_json(argument)?)),
            "delay" => {
                let delay = text.and_then(delay_from_text);
                delay.ok_or_else(|| bad("a duration such as \"200ms\" or \"200ms..2s\""))
            }
            "bandwidth" => {
                let rate = text.and_then(|text| text.parse::<ByteSize>().ok());
                let rate = rate.map(|rate| rate.as_u64()).filter(|rate| *rate > 0);
                rate.map(Self::Bandwidth)
                    .ok_or_else(|| bad("bytes a second such as \"10MiB\""))
            }
            "wrong_length" => Ok(Self::WrongLength(
                number(argument).ok_or_else(|| bad("a number"))?,
            )),
            "wrong_content_length" => Ok(Self::WrongContentLength(
                number(argument).ok_or_else(|| bad("a number"))?,
            )),
            _ => {
                let of_connections = OF_CONNECTIONS.iter().map(|(name, _)| *name);
                let names: Vec<_> = Self::names().chain(of_connections).collect();
                let names = names.join(", ");
                Err(FaultError::new(format!(
                    "no such action: {name}; there are {names}"
                )))
            }
        }
    }
}

/// What completes a fault: a method for each action.
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

    /// The same for a time between these two, which the seed draws for each call.
    pub fn delay_between(self, least: Duration, most: Duration) -> Fault {
        self.action(Action::DelayBetween(least, most))
    }

    /// Answers as a dfdaemon whose host the scheduler does not know yet.
    pub fn no_host(self) -> Fault {
        self.action(Action::NoHost)
    }

    /// Answers as a dfdaemon that reaches no scheduler.
    pub fn no_scheduler(self) -> Fault {
        self.action(Action::NoScheduler)
    }

    /// Answers as a dfdaemon whose machine is out of CPU or memory.
    pub fn overloaded(self) -> Fault {
        self.action(Action::Overloaded)
    }

    /// Never answers, until the fault is removed.
    pub fn stall(self) -> Fault {
        self.action(Action::Stall)
    }

    /// Closes the connection without a status.
    pub fn reset(self) -> Fault {
        self.action(Action::Reset)
    }

    /// Closes a connection as soon as it is made.
    pub fn refuse(self) -> Fault {
        self.action(Action::Refuse)
    }

    /// Closes the sockets of a host and leaves their names: nobody serves them until the fault is
    /// removed.
    pub fn stale(self) -> Fault {
        self.action(Action::Stale)
    }

    /// Sends content at so many bytes a second, by the daemon's clock.
    pub fn bandwidth(self, bytes_per_second: u64) -> Fault {
        self.action(Action::Bandwidth(bytes_per_second))
    }

    /// Ends the stream early, as if all were well.
    pub fn end(self) -> Fault {
        self.action(Action::End)
    }

    /// Leaves a piece out.
    pub fn skip_piece(self) -> Fault {
        self.action(Action::SkipPiece)
    }

    /// Sends a piece twice.
    pub fn repeat_piece(self) -> Fault {
        self.action(Action::RepeatPiece)
    }

    /// Sends the pieces in another order.
    pub fn shuffle_pieces(self) -> Fault {
        self.action(Action::ShufflePieces)
    }

    /// Flips a bit of a piece's content; the digest stays.
    pub fn corrupt_piece(self) -> Fault {
        self.action(Action::CorruptPiece)
    }

    /// Sends a digest that is not the piece's.
    pub fn corrupt_digest(self) -> Fault {
        self.action(Action::CorruptDigest)
    }

    /// Sends a piece without digest.
    pub fn empty_digest(self) -> Fault {
        self.action(Action::EmptyDigest)
    }

    /// Sends a piece without its content.
    pub fn no_content(self) -> Fault {
        self.action(Action::NoContent)
    }

    /// Adds this to a piece's length.
    pub fn wrong_length(self, add: i64) -> Fault {
        self.action(Action::WrongLength(add))
    }

    /// Adds this to the content length that the stream starts with.
    pub fn wrong_content_length(self, add: i64) -> Fault {
        self.action(Action::WrongContentLength(add))
    }

    /// The store has no space left.
    pub fn no_space(self) -> Fault {
        self.action(Action::NoSpace)
    }

    /// The store's disk fails.
    pub fn disk_error(self) -> Fault {
        self.action(Action::DiskError)
    }

    /// The store's disk fails when half of the content is written.
    pub fn torn_write(self) -> Fault {
        self.action(Action::TornWrite)
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

#[cfg(test)]
mod tests;
