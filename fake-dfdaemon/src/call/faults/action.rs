//! What a fault does, and how that is written.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytesize::ByteSize;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use super::FaultError;

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

/// A status to answer with.
///
/// ```
/// use fake_dfdaemon::{Action, Code, ErrorAction, Fault, Rpc};
///
/// let error = ErrorAction {
///     code: Code::Unavailable,
///     message: "gone".to_owned(),
///     details: Vec::new(),
/// };
/// let gone = Fault::on(Rpc::Stat).action(Action::Error(error));
/// assert_eq!(Ok(gone), "stat:error=UNAVAILABLE:gone".parse());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAction {
    /// The status code.
    pub code: Code,
    /// The message.
    pub message: String,
    /// The status details, any bytes.
    pub details: Vec<u8>,
}

impl ErrorAction {
    pub(crate) fn status(&self) -> Status {
        Status::with_details(self.code, &self.message, self.details.clone().into())
    }
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
const PLAIN: [(&str, Action); 16] = [
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
const OF_CONNECTIONS: [(&str, Action); 1] = [("refuse", Action::Refuse)];

/// The names of actions that take one.
const WITH_ARGUMENT: [&str; 5] = [
    "error",
    "delay",
    "bandwidth",
    "wrong_length",
    "wrong_content_length",
];

impl Action {
    /// The name of every action on calls.
    pub fn names() -> impl Iterator<Item = &'static str> {
        WITH_ARGUMENT
            .into_iter()
            .chain(PLAIN.iter().map(|(name, _)| *name))
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
        PLAIN.iter().chain(&OF_CONNECTIONS)
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
            Self::Refuse => Scope::Connection,
            _ => Scope::Piece,
        }
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
            // In bytes: ByteSize would round.
            Self::Bandwidth(rate) => format!("{rate}B").into(),
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
                let names: Vec<_> = Self::names().collect();
                let names = names.join(", ");
                Err(FaultError::new(format!(
                    "no such action: {name}; there are {names}"
                )))
            }
        }
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

fn error_to_json(error: &ErrorAction) -> Value {
    let mut object = Map::new();
    object.insert("code".to_owned(), code_name(error.code).into());
    object.insert("message".to_owned(), error.message.as_str().into());
    if !error.details.is_empty() {
        object.insert("details".to_owned(), BASE64.encode(&error.details).into());
    }
    object.into()
}

/// Reads `"CODE"`, `"CODE:message"` or `{code, message, details}`.
fn error_from_json(argument: &Value) -> Result<ErrorAction, FaultError> {
    let code_of = |name: &str| {
        let code = CODES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, code)| *code);
        let names: Vec<_> = CODES.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        code.ok_or_else(|| {
            FaultError::new(format!("no such status code: {name}; there are {names}"))
        })
    };
    let mut error = ErrorAction {
        code: Code::Unknown,
        message: "an injected fault".to_owned(),
        details: Vec::new(),
    };
    match argument {
        Value::String(text) => match text.split_once(':') {
            Some((code, message)) => {
                error.code = code_of(code)?;
                message.clone_into(&mut error.message);
            }
            None => error.code = code_of(text)?,
        },
        Value::Object(object) => {
            for (key, value) in object {
                let text = value.as_str();
                let text =
                    text.ok_or_else(|| FaultError::new(format!("error: {key} is a text")))?;
                match key.as_str() {
                    "code" => error.code = code_of(text)?,
                    "message" => text.clone_into(&mut error.message),
                    "details" => {
                        error.details = BASE64.decode(text).map_err(|why| {
                            FaultError::new(format!("error: details are base64: {why}"))
                        })?;
                    }
                    other => {
                        return Err(FaultError::new(format!(
                            "error: unknown field {other}; there are code, message, details"
                        )));
                    }
                }
            }
            if !object.contains_key("code") {
                return Err(FaultError::new("error: the field code is missing"));
            }
        }
        _ => {
            return Err(FaultError::new(
                "error takes a status code such as \"UNAVAILABLE\"",
            ));
        }
    }
    Ok(error)
}

/// The status codes by their names on the wire's side. OK is no error.
const CODES: [(&str, Code); 16] = [
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

/// The name of a status code, such as `NOT_FOUND`.
pub(crate) fn code_name(code: Code) -> &'static str {
    CODES
        .iter()
        .find(|(_, known)| *known == code)
        .map_or("OK", |(name, _)| name)
}

/// Whether a status code has this name.
pub(crate) fn is_code_name(name: &str) -> bool {
    name == "OK" || CODES.iter().any(|(known, _)| *known == name)
}

#[cfg(test)]
mod tests;
