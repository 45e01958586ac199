//! The exit codes.

use crate::types::error::{ErrorKind, Interruption};

/// SIGPIPE, which ends a process that nobody reads from.
const PIPE: u8 = 13;

/// The exit code of a process that failed so.
#[must_use]
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Failure => 1,
        ErrorKind::Usage => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::LocalFile => 4,
        ErrorKind::Unavailable => 5,
        ErrorKind::Refused => 6,
        ErrorKind::Integrity => 7,
        ErrorKind::Timeout => 8,
        ErrorKind::AlreadyExists => 9,
        ErrorKind::Interrupted(Interruption::Signal(number)) => 128 | number,
        ErrorKind::Interrupted(Interruption::ReaderGone) => 128 | PIPE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_exit_code_of_its_own() {
        let kinds = [
            ErrorKind::Failure,
            ErrorKind::Usage,
            ErrorKind::NotFound,
            ErrorKind::LocalFile,
            ErrorKind::Unavailable,
            ErrorKind::Refused,
            ErrorKind::Integrity,
            ErrorKind::Timeout,
            ErrorKind::AlreadyExists,
            ErrorKind::Interrupted(Interruption::Signal(2)),
            ErrorKind::Interrupted(Interruption::ReaderGone),
        ];
        let codes = kinds.map(exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 130, 141]);
    }
}
