//! What a daemon's status means.
//!
//! Daemons wrap the statuses of their scheduler and their storage into the text of an INTERNAL
//! one, each release in its own way. Here such a text is unwrapped, and one function decides the
//! kind of error, the reason to show and the hint.

mod meaning;
mod wrapping;

use serde::Deserialize;

use self::meaning::{HINT_NO_DAEMON, by_code, by_os_error, by_text, os_error, other};
use self::wrapping::unwrap;
use super::grpc::{Code, Status};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind};
use crate::types::options::TaskId;
use crate::types::remedy::Remedy;

/// What the daemon was asked for; the same text can mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Import,
    /// The daemon writes to a path that it was sent.
    ExportByPath {
        force_hard_link: bool,
    },
    /// The daemon sends the content.
    ExportByTransfer,
    /// `stat` or `ls`.
    Query,
}

impl Operation {
    fn is_export(self) -> bool {
        matches!(self, Self::ExportByPath { .. } | Self::ExportByTransfer)
    }
}

/// The error that `status` is, as the cause of a failed attempt.
pub(crate) fn error(status: &Status, operation: Operation, attempt: Attempt) -> Error {
    cause(status, operation).within(attempt)
}

/// The error that `status` is; the caller says what could not be done.
pub(crate) fn cause(status: &Status, operation: Operation) -> Error {
    let verdict = classify(status, operation);
    let error = Error::new(verdict.kind, verdict.reason).with_errno(verdict.errno);
    match verdict.remedy {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

/// The id in `persistent cache task <id> is <state> cannot upload`.
pub(crate) fn existing_task(status: &Status) -> Option<TaskId> {
    let (_, text) = unwrap(status.code, &status.message);
    let text = text
        .strip_prefix("persistent cache task ")?
        .strip_suffix(" cannot upload")?;
    text.rsplit_once(" is ")?.0.parse().ok()
}

#[derive(Debug)]
struct Verdict {
    kind: ErrorKind,
    reason: String,
    remedy: Option<Remedy>,
    /// The number of the error of the daemon's system.
    errno: Option<i32>,
}

fn classify(status: &Status, operation: Operation) -> Verdict {
    if let Some(source) = &status.source {
        // Only this side puts sources into a status: the connection broke.
        return Verdict {
            kind: ErrorKind::Unavailable,
            reason: format!(
                "the connection to dfdaemon was lost: {}",
                innermost(&**source)
            ),
            remedy: other(HINT_NO_DAEMON),
            errno: None,
        };
    }
    let (code, text) = unwrap(status.code, &status.message);
    let errno = os_error(&text);
    // What is not available is no path of ours: a proxy or a scheduler that nobody reaches.
    let by_system = || {
        let number = errno.filter(|_| code != Code::Unavailable)?;
        Some(by_os_error(number, operation))
    };
    let (kind, remedy) = by_text(&text, operation)
        .or_else(by_system)
        .unwrap_or_else(|| by_code(code, operation));
    let reason = match backend_error(&status.details) {
        Some(backend) => format!("{}; {backend}", reason(code, text)),
        None => reason(code, text),
    };
    Verdict {
        kind,
        reason,
        remedy,
        errno,
    }
}

fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn reason(code: Code, text: String) -> String {
    if text.is_empty() {
        code.description().to_owned()
    } else {
        text
    }
}

/// What a backend answered, from details that are JSON of `errordetails.v2.Backend`. Other
/// details are opaque bytes.
fn backend_error(details: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Backend {
        message: String,
        status_code: Option<i32>,
    }

    let Backend {
        message,
        status_code,
    } = serde_json::from_slice(details).ok()?;
    Some(match status_code {
        Some(status) => format!("the backend answered {status}: {message}"),
        None => format!("the backend answered: {message}"),
    })
}

#[cfg(test)]
mod tests;
