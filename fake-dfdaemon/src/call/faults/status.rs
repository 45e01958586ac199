//! The status that a fault answers with, and the names of status codes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use tonic::{Code, Status};

use super::FaultError;

/// The status that [`Action::Error`](super::Action::Error) answers with.
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

pub(super) fn error_to_json(error: &ErrorAction) -> Value {
    let mut object = Map::new();
    object.insert("code".to_owned(), code_name(error.code).into());
    object.insert("message".to_owned(), error.message.as_str().into());
    if !error.details.is_empty() {
        object.insert("details".to_owned(), BASE64.encode(&error.details).into());
    }
    object.into()
}

/// Reads `"CODE"`, `"CODE:message"` or `{code, message, details}`.
pub(super) fn error_from_json(argument: &Value) -> Result<ErrorAction, FaultError> {
    let mut error = ErrorAction {
        code: Code::Unknown,
        message: "an injected fault".to_owned(),
        details: Vec::new(),
    };
    match argument {
        Value::String(text) => {
            let (code, message) = match text.split_once(':') {
                Some((code, message)) => (code, Some(message)),
                None => (text.as_str(), None),
            };
            error.code = code_from_name(code)?;
            if let Some(message) = message {
                message.clone_into(&mut error.message);
            }
        }
        Value::Object(object) => {
            for (field, value) in object {
                set_field(&mut error, field, value)?;
            }
            if !object.contains_key("code") {
                return Err(FaultError::new("error: the field code is missing"));
            }
        }
        _ => {
            let takes = "error takes a status code such as \"UNAVAILABLE\"";
            return Err(FaultError::new(takes));
        }
    }
    Ok(error)
}

fn code_from_name(name: &str) -> Result<Code, FaultError> {
    let known = CODES.iter().find(|(known, _)| *known == name);
    known.map(|(_, code)| *code).ok_or_else(|| {
        let names = code_names().join(", ");
        FaultError::new(format!("no such status code: {name}; there are {names}"))
    })
}

fn set_field(error: &mut ErrorAction, field: &str, value: &Value) -> Result<(), FaultError> {
    let wrong = |what: String| FaultError::new(format!("error: {what}"));
    let Some(text) = value.as_str() else {
        return Err(wrong(format!("{field} must be text")));
    };
    match field {
        "code" => error.code = code_from_name(text)?,
        "message" => text.clone_into(&mut error.message),
        "details" => {
            let details = BASE64.decode(text);
            error.details =
                details.map_err(|why| wrong(format!("details must be base64: {why}")))?;
        }
        other => {
            let unknown = format!("unknown field {other}; there are code, message, details");
            return Err(wrong(unknown));
        }
    }
    Ok(())
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

/// The names of the codes that are errors.
pub(super) fn code_names() -> [&'static str; CODES.len()] {
    CODES.map(|(name, _)| name)
}

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
