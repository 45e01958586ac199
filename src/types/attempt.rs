//! What was attempted, as the first line of an error says it.

use std::fmt;
use std::path::PathBuf;

use crate::types::options::TaskId;

#[derive(Clone, Debug)]
pub(crate) enum Attempt {
    Import(PathBuf),
    Export(TaskId),
    Stat(TaskId),
    Verify(TaskId),
    List,
    CalculateId(PathBuf),
    #[cfg(feature = "cli")]
    Diagnose,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(path) => write!(f, "cannot import {}", path.display()),
            Self::Export(id) => write!(f, "cannot export task {id}"),
            Self::Stat(id) => write!(f, "cannot stat task {id}"),
            Self::Verify(id) => write!(f, "cannot verify task {id}"),
            Self::List => f.write_str("cannot list the tasks of this host"),
            #[cfg(feature = "cli")]
            Self::Diagnose => f.write_str("cannot find out what is wrong"),
            Self::CalculateId(path) => write!(f, "cannot calculate the id of {}", path.display()),
        }
    }
}

impl From<Attempt> for String {
    fn from(attempt: Attempt) -> Self {
        attempt.to_string()
    }
}
