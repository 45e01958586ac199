//! Errors: a kind, what failed, why, and what to do about it.
//!
//! The kind decides the exit code, here and nowhere else. What a daemon's status means lives in
//! `wire::status`; how an error is printed lives in `cli`.

use std::error::Error as StdError;
use std::fmt;

use crate::types::options::ValueError;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

type Source = Box<dyn StdError + Send + Sync>;

/// What went wrong, coarsely: scripts decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything that no other kind names.
    Failure,
    /// A command line or a value that makes no sense.
    Usage,
    /// There is no such task, or it has expired.
    NotFound,
    /// A file on this side cannot be read, written or replaced.
    LocalFile,
    /// No daemon, a lost connection, no host with the content: a retry may help.
    Unavailable,
    /// The daemon does not want to: limits, blocklist, full disk, unsupported.
    Refused,
    /// The content is not what was promised.
    Integrity,
    /// The time given for the whole operation is over.
    Timeout,
    /// The task to be imported exists already.
    AlreadyExists,
    /// A signal, or a reader that went away.
    Interrupted(Interruption),
}

/// What broke an operation off from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interruption {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// Another signal that ends a process, by its number.
    Signal(u8),
    /// Whoever read the output closed it.
    ReaderGone,
}

impl ErrorKind {
    /// The exit code of a process that failed so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::LocalFile => 4,
            Self::Unavailable => 5,
            Self::Refused => 6,
            Self::Integrity => 7,
            Self::Timeout => 8,
            Self::AlreadyExists => 9,
            Self::Interrupted(Interruption::Interrupt) => 130,
            Self::Interrupted(Interruption::Terminate) => 143,
            Self::Interrupted(Interruption::Signal(number)) => 128 | number,
            Self::Interrupted(Interruption::ReaderGone) => 141,
        }
    }

    /// The kind's name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::LocalFile => "local_file",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Integrity => "integrity",
            Self::Timeout => "timeout",
            Self::AlreadyExists => "already_exists",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// A failed operation.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hint: None,
        }
    }

    pub(crate) fn local_file(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LocalFile, message)
    }

    pub(crate) fn integrity(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Integrity, message)
    }

    /// Why it failed: another error, or a sentence.
    pub(crate) fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, seen from an operation: `message` says what could not be done, and this
    /// error becomes its cause. Kind and hint stay.
    pub(crate) fn within(mut self, message: impl Into<String>) -> Self {
        Self {
            kind: self.kind,
            message: message.into(),
            hint: self.hint.take(),
            source: Some(Box::new(self)),
        }
    }

    /// What went wrong, coarsely.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What may be done about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Why it failed, outermost cause first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// A value that was not taken is an error of usage.
impl From<ValueError> for Error {
    fn from(source: ValueError) -> Self {
        Self::new(ErrorKind::Usage, "a value makes no sense").because(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_around_a_failure_keeps_its_kind_and_hint() {
        let error = Error::local_file("/x exists")
            .because("File exists")
            .hint("move it away")
            .within("cannot export task 7");
        assert_eq!(error.to_string(), "cannot export task 7");
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert_eq!(error.causes(), ["/x exists", "File exists"]);
        assert_eq!(error.advice(), Some("move it away"));
    }

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
        ];
        let codes: Vec<_> = kinds.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
