//! What a daemon's status means.
//!
//! Daemons wrap the statuses of their scheduler and their storage into the text of an INTERNAL
//! one, each release in its own way. Here such a text is unwrapped, and one function decides the
//! kind of error, the reason to show and the hint.

use std::error::Error as _;

use serde::Deserialize;
use tonic::{Code, Status};

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
    Question,
}

impl Operation {
    fn is_export(self) -> bool {
        matches!(self, Self::ExportByPath { .. } | Self::ExportByTransfer)
    }
}

/// What Rust's and tokio's readers say of a file that ends before what was to be read of it.
const FILE_ENDS_EARLY: [&str; 3] = [
    "unexpected end of file",
    "failed to fill whole buffer",
    "early eof",
];

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
    let (_, text) = unwrap(status.code(), status.message());
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

const HINT_NO_DAEMON: &str = "check that dfdaemon is still running, then try again";
const HINT_RETRY: &str = "try again later";
const HINT_NO_SCHEDULER: &str = "dfdaemon does not work with its scheduler now: check that the scheduler runs, or try again later";
const HINT_UNSUPPORTED: &str = "this dfdaemon is too old for that";

fn classify(status: &Status, operation: Operation) -> Verdict {
    if let Some(source) = status.source() {
        // Only this side puts sources into a status: the connection broke.
        return Verdict {
            kind: ErrorKind::Unavailable,
            reason: format!("the connection to dfdaemon was lost: {}", innermost(source)),
            remedy: other(HINT_NO_DAEMON),
            errno: None,
        };
    }
    let (code, text) = unwrap(status.code(), status.message());
    let errno = os_error(&text);
    // What is not available is no path of ours: a proxy or a scheduler that nobody reaches.
    let by_system = || {
        let number = errno.filter(|_| code != Code::Unavailable)?;
        Some(by_os_error(number, operation))
    };
    let (kind, remedy) = by_text(&text, operation)
        .or_else(by_system)
        .unwrap_or_else(|| by_code(code, operation));
    let reason = match backend_error(status.details()) {
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

type Meaning = (ErrorKind, Option<Remedy>);

fn because(kind: ErrorKind, hint: &str) -> Option<Meaning> {
    Some((kind, other(hint)))
}

fn other(hint: &str) -> Option<Remedy> {
    Some(Remedy::Other(hint.to_owned()))
}

fn by_text(text: &str, operation: Operation) -> Option<Meaning> {
    let not_found = text.ends_with(" not found");
    if not_found && (text.starts_with("persistent cache task ") || text.starts_with("task ")) {
        return because(
            ErrorKind::NotFound,
            "check the id; the task may have expired",
        );
    }
    // A transfer found no parent at all, or lost its last one on the way; or the scheduler forgot an
    // import that took long.
    let is_of_peer = text.starts_with("peer ") || text.starts_with("persistent cache peer ");
    if (not_found && is_of_peer) || text == "no candidate parents found" {
        return because(
            ErrorKind::Unavailable,
            "no host holds the whole content now; try again later, or import it again",
        );
    }
    // The daemon has not announced its host yet, or has no scheduler to ask.
    if (not_found && text.starts_with("host ")) || text == "available schedulers not found" {
        return because(ErrorKind::Unavailable, HINT_NO_SCHEDULER);
    }
    if text.ends_with(" cannot upload") {
        return Some((ErrorKind::AlreadyExists, Some(Remedy::SkipExisting)));
    }
    if let Some(limits) = ttl_limits(text) {
        return Some((ErrorKind::Refused, Some(limits)));
    }
    if text.starts_with("invalid UploadPersistentCacheTask") {
        return Some((ErrorKind::Refused, None));
    }
    if text.starts_with("no space left on device: not enough space") {
        return because(
            ErrorKind::Refused,
            "dfdaemon's own disk is full: free some space on its host, or try again later",
        );
    }
    if text.starts_with("output path ") && text.ends_with(" is already exists") {
        return Some((ErrorKind::LocalFile, Some(Remedy::Overwrite)));
    }
    if text.starts_with("digest mismatch") {
        return Some((ErrorKind::Integrity, None));
    }
    if operation.is_export() && FILE_ENDS_EARLY.iter().any(|end| text.ends_with(end)) {
        return Some((ErrorKind::Integrity, Some(Remedy::AnotherTag)));
    }
    // tonic's texts for an answer that is longer than we take, and for one that is no message.
    if text.starts_with("Error, decoded message length too large")
        || text.starts_with("failed to decode Protobuf message")
    {
        return Some((ErrorKind::Integrity, None));
    }
    // tonic's texts for an answer that ended before its status or its message came.
    if text.starts_with("protocol error: missing grpc-status trailer")
        || text == "Missing response message."
        || text == "Unexpected EOF decoding stream."
    {
        return because(ErrorKind::Unavailable, HINT_NO_DAEMON);
    }
    if text == "Timeout expired" || text == "deadline has elapsed" {
        return Some((ErrorKind::Timeout, Some(Remedy::MoreTime)));
    }
    None
}

/// The limits in `… .Ttl: value must be inside range [5m0s, 168h0m0s]`, of an import.
fn ttl_limits(text: &str) -> Option<Remedy> {
    let (_, range) = text
        .strip_prefix("invalid UploadPersistentCacheTask")?
        .split_once(".Ttl: value must be inside range [")?;
    let (minimum, maximum) = range.split_once(']')?.0.split_once(", ")?;
    Some(Remedy::TtlWithin {
        minimum: minimum.to_owned(),
        maximum: maximum.to_owned(),
    })
}

/// The number in `No such file or directory (os error 2)`, at the end of a text.
fn os_error(text: &str) -> Option<i32> {
    let (_, number) = text.strip_suffix(')')?.rsplit_once("(os error ")?;
    number.parse().ok()
}

/// What the daemon's system told it. Only a path that we sent makes it an error of a local file.
fn by_os_error(number: i32, operation: Operation) -> Meaning {
    use rustix::io::Errno;

    let error = Errno::from_raw_os_error(number);
    let about_space = [Errno::NOSPC, Errno::DQUOT].contains(&error);
    let about_path = [
        Errno::NOENT,
        Errno::ACCESS,
        Errno::PERM,
        Errno::ISDIR,
        Errno::NOTDIR,
        Errno::EXIST,
        Errno::XDEV,
        Errno::ROFS,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::INVAL,
        Errno::MLINK,
        Errno::TXTBSY,
    ]
    .contains(&error);
    match operation {
        Operation::ExportByPath { force_hard_link } if error == Errno::XDEV && force_hard_link => {
            (ErrorKind::LocalFile, Some(Remedy::AllowCopy))
        }
        Operation::ExportByPath { .. } if about_space => (
            ErrorKind::LocalFile,
            other("free some space where the output goes"),
        ),
        Operation::ExportByPath { .. } if about_path => {
            (ErrorKind::LocalFile, Some(Remedy::TransferElsewhere))
        }
        Operation::Import if about_path => (ErrorKind::LocalFile, Some(Remedy::Stage)),
        _ if about_space => (ErrorKind::Refused, other("dfdaemon's own disk is full")),
        _ if [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN].contains(&error) => {
            (ErrorKind::Unavailable, other(HINT_RETRY))
        }
        _ => (ErrorKind::Failure, None),
    }
}

fn by_code(code: Code, operation: Operation) -> Meaning {
    match code {
        Code::NotFound => (ErrorKind::NotFound, None),
        Code::AlreadyExists => (ErrorKind::AlreadyExists, None),
        Code::DeadlineExceeded => (ErrorKind::Timeout, Some(Remedy::MoreTime)),
        // Not by us: whoever waits for an answer has not cancelled.
        Code::Cancelled | Code::Unavailable | Code::ResourceExhausted => {
            (ErrorKind::Unavailable, other(HINT_RETRY))
        }
        Code::Unimplemented => (ErrorKind::Refused, other(HINT_UNSUPPORTED)),
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unauthenticated => (ErrorKind::Refused, None),
        Code::DataLoss => (ErrorKind::Integrity, None),
        Code::Aborted if operation == Operation::Import => (
            ErrorKind::LocalFile,
            other("the file changed while dfdaemon read it; import it when nobody writes to it"),
        ),
        Code::Ok | Code::Unknown | Code::Aborted | Code::Internal => (ErrorKind::Failure, None),
    }
}

/// Statuses are wrapped once, seldom twice; a text that goes on for longer is not honest.
const MAX_WRAPPINGS: usize = 8;

/// Code and text of the status that is wrapped innermost.
fn unwrap(code: Code, text: &str) -> (Code, String) {
    let mut inner = (code, text.to_owned());
    for _ in 0..MAX_WRAPPINGS {
        match wrapped(&inner.1) {
            Some(wrapped) => inner = wrapped,
            None => break,
        }
    }
    inner
}

/// The status in `status: NotFound, message: "…", …` (release 0.2) or in
/// `code: '…', message: "…"` (release 1.5, which leaves out an empty message).
fn wrapped(text: &str) -> Option<(Code, String)> {
    let old = after(text, "status: ").and_then(|rest| {
        let (name, rest) = rest.split_once(", ")?;
        let message = quoted(rest.strip_prefix("message: ")?)?;
        Some((code_where(|code| format!("{code:?}") == name)?, message))
    });
    old.or_else(|| {
        // Descriptions may hold an apostrophe themselves.
        let rest = after(text, "code: '")?;
        let behind = |code: Code| rest.strip_prefix(code.description())?.strip_prefix('\'');
        let code = code_where(|code| behind(code).is_some())?;
        let message = behind(code)?.strip_prefix(", message: ").and_then(quoted);
        Some((code, message.unwrap_or_default()))
    })
}

fn after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.split_once(marker).map(|(_, rest)| rest)
}

fn code_where(is: impl Fn(Code) -> bool) -> Option<Code> {
    (0..=Code::Unauthenticated as i32)
        .map(Code::from)
        .find(|code| is(*code))
}

/// The string that starts with a quotation mark, as Rust's `{:?}` escaped it.
fn quoted(text: &str) -> Option<String> {
    let mut unescaped = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(unescaped),
            '\\' => unescaped.push(match characters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => unicode_escape(&mut characters)?,
                other => other,
            }),
            other => unescaped.push(other),
        }
    }
}

/// The rest of `\u{1b}`, behind the `u`.
fn unicode_escape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let digits: String = characters.by_ref().take_while(|c| *c != '}').collect();
    char::from_u32(u32::from_str_radix(digits.strip_prefix('{')?, 16).ok()?)
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
