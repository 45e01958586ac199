//! Errors: a kind, what failed, why, and what to do about it.
//!
//! What a daemon's status means lives in `wire::status`; how an error is worded for a user of the
//! program, and its exit code, in `cli`.

use std::error::Error as StdError;
use std::{fmt, io};

use crate::types::attempt::Attempt;
use crate::types::options::{Timeout, ValueError};
use crate::types::remedy::Remedy;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

type Source = Box<dyn StdError + Send + Sync>;

/// The kind of an error, for programs to decide by.
///
/// ```
/// use dfcache::{Endpoint, Error, ErrorKind};
///
/// let error = Error::from(Endpoint::new("").unwrap_err());
/// assert_eq!(error.kind(), ErrorKind::Usage);
/// assert_eq!(error.kind().name(), "usage");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Any other failure.
    Failure,
    /// A command line or a value is invalid.
    Usage,
    /// There is no such task, or it has expired.
    NotFound,
    /// A file on this side cannot be read, written or replaced.
    LocalFile,
    /// No daemon, a lost connection, no host with the content: a retry may help.
    Unavailable,
    /// The daemon refuses the call: limits, blocklist, full disk, unsupported.
    Refused,
    /// The content is not what was promised.
    Integrity,
    /// The operation took longer than its timeout.
    Timeout,
    /// The task to be imported exists already.
    AlreadyExists,
    /// A signal, or a reader that went away, ended the operation.
    Interrupted(Interruption),
}

/// What broke an operation off from outside.
///
/// ```
/// use dfcache::{ErrorKind, Interruption};
///
/// let gone = ErrorKind::Interrupted(Interruption::ReaderGone);
/// assert_eq!(gone.name(), "interrupted");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interruption {
    /// A signal that ends a process, by its number.
    Signal(u8),
    /// The reader of the output closed it.
    ReaderGone,
}

impl ErrorKind {
    /// The kind's name, in snake case.
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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use dfcache::{Client, ErrorKind};
///
/// let error = Client::connect("/nowhere.sock").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert!(error.is_retryable());
/// assert_eq!(error.to_string(), "cannot connect to dfdaemon at /nowhere.sock");
/// assert_eq!(error.causes(), ["No such file or directory (os error 2)"]);
/// # }
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
    remedy: Option<Remedy>,
    errno: Option<i32>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            remedy: None,
            errno: None,
        }
    }

    pub(crate) fn local_file(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LocalFile, message)
    }

    pub(crate) fn integrity(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Integrity, message)
    }

    pub(crate) fn timed_out(attempt: Attempt, timeout: Timeout) -> Self {
        let why = match attempt.state() {
            Some(state) => format!("it took longer than {timeout}: {state}"),
            None => format!("it took longer than {timeout}"),
        };
        Self::new(ErrorKind::Timeout, attempt)
            .because(why)
            .with_remedy(Remedy::MoreTime)
    }

    /// Why it failed: another error, or a sentence.
    pub(crate) fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A sentence that says what to do about it.
    pub(crate) fn hint(self, sentence: impl Into<String>) -> Self {
        self.with_remedy(Remedy::Other(sentence.into()))
    }

    pub(crate) fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// The number of the system's error that the daemon met.
    pub(crate) fn with_errno(mut self, errno: Option<i32>) -> Self {
        self.errno = errno;
        self
    }

    /// The same failure, seen from an operation: `message` says what could not be done, and this
    /// error becomes its cause. Kind, remedy and number stay.
    pub(crate) fn within(mut self, message: impl Into<String>) -> Self {
        Self {
            kind: self.kind,
            message: message.into(),
            remedy: self.remedy.take(),
            errno: self.errno,
            source: Some(Box::new(self)),
        }
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later: the daemon was not there or too busy, the
    /// connection was lost, or no host had the content.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&Remedy> {
        self.remedy.as_ref()
    }

    /// The number of the system's error that caused it, if there is one: on this side, or on the
    /// daemon's.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        let mut next = self.source();
        let sources = std::iter::from_fn(|| {
            let source = next?;
            next = source.source();
            Some(source)
        });
        let mut sources = sources.filter_map(|source| source.downcast_ref::<io::Error>());
        self.errno
            .or_else(|| sources.find_map(io::Error::raw_os_error))
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
        Self::new(ErrorKind::Usage, "invalid value").because(source)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::attempt::ReplicasSeen;
    use crate::types::options::TaskId;

    #[test]
    fn an_operation_around_a_failure_keeps_its_kind_and_remedy() {
        let error = Error::local_file("/x exists")
            .because("File exists")
            .hint("move it away")
            .within("cannot export task 7");
        assert_eq!(error.to_string(), "cannot export task 7");
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert_eq!(error.causes(), ["/x exists", "File exists"]);
        let remedy = Remedy::Other("move it away".to_owned());
        assert_eq!(error.remedy(), Some(&remedy));
    }

    #[test]
    fn a_wait_that_is_over_counts_the_replicas_that_were_seen_last() {
        let seen = ReplicasSeen::default();
        let attempt = Attempt::WaitForReplicas(TaskId::unchecked("7".to_owned()), 3, seen.clone());
        let causes = || {
            let timeout = Timeout::from(Duration::from_secs(60));
            Error::timed_out(attempt.clone(), timeout).causes()
        };
        assert_eq!(causes(), ["it took longer than 1m"]);
        seen.note(2);
        seen.note(1);
        let why = "it took longer than 1m: the task had 1 persistent replica, and 3 were asked for";
        assert_eq!(causes(), [why]);
    }
}
