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
    let code_of = |name: &str| {
        let code = CODES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, code)| *code);
        let names = code_names().join(", ");
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
                    text.ok_or_else(|| FaultError::new(format!("error: {key} must be text")))?;
                match key.as_str() {
                    "code" => error.code = code_of(text)?,
                    "message" => text.clone_into(&mut error.message),
                    "details" => {
                        error.details = BASE64.decode(text).map_err(|why| {
                            FaultError::new(format!("error: details must be base64: {why}"))
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
