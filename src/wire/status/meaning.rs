//! What a text, an error of the daemon's system or a code means: a kind of error, and what helps.

use super::super::grpc::Code;
use super::Operation;
use crate::types::error::ErrorKind;
use crate::types::remedy::Remedy;

/// What Rust's and tokio's readers say of a file that ends before what was to be read of it.
const FILE_ENDS_EARLY: [&str; 3] = [
    "unexpected end of file",
    "failed to fill whole buffer",
    "early eof",
];

pub(super) const HINT_NO_DAEMON: &str =
    "check that dfdaemon is still running, and that this is its socket; then try again";
pub(super) const HINT_RETRY: &str = "try again later";
const HINT_NO_SCHEDULER: &str = "dfdaemon does not work with its scheduler now: check that the scheduler runs, or try again later";
const HINT_UNSUPPORTED: &str = "this dfdaemon is too old for that";

pub(super) type Meaning = (ErrorKind, Option<Remedy>);

fn because(kind: ErrorKind, hint: &str) -> Option<Meaning> {
    Some((kind, other(hint)))
}

pub(super) fn other(hint: &str) -> Option<Remedy> {
    Some(Remedy::Other(hint.to_owned()))
}

pub(super) fn by_text(text: &str, operation: Operation) -> Option<Meaning> {
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
    // The answer is too long, or no message. A daemon has these texts from tonic; the client uses the same.
    if text.starts_with("Error, decoded message length too large")
        || text.starts_with("failed to decode Protobuf message")
    {
        return Some((ErrorKind::Integrity, None));
    }
    // The answer ended before its status or its message came. The texts are tonic's again.
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
pub(super) fn os_error(text: &str) -> Option<i32> {
    let (_, number) = text.strip_suffix(')')?.rsplit_once("(os error ")?;
    number.parse().ok()
}

/// What an error of the daemon's system means. Only a path that we sent makes it an error of a local file.
pub(super) fn by_os_error(number: i32, operation: Operation) -> Meaning {
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

pub(super) fn by_code(code: Code, operation: Operation) -> Meaning {
    match code {
        Code::NotFound => (ErrorKind::NotFound, None),
        Code::AlreadyExists => (ErrorKind::AlreadyExists, None),
        Code::DeadlineExceeded => (ErrorKind::Timeout, Some(Remedy::MoreTime)),
        // Not by us: we still wait for an answer.
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
