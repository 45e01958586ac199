//! Ids of tasks.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::types::value_error::ValueError;

/// The id of a task. Any text that is not empty can be one; only the daemon knows which exist.
///
/// ```
/// use dfcache::TaskId;
///
/// let id = TaskId::try_from("3610204437")?;
/// assert_eq!(id.as_str(), "3610204437");
/// assert_eq!(id, "3610204437");
/// assert!(TaskId::try_from("").is_err());
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TaskId(String);

impl TaskId {
    /// An id as a daemon wrote it, which may be empty: the caller must check.
    pub(crate) fn unchecked(raw: String) -> Self {
        Self(raw)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaskId {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        if raw.is_empty() {
            return Err(ValueError::EmptyTaskId);
        }
        Ok(Self(raw.to_owned()))
    }
}

impl TryFrom<&str> for TaskId {
    type Error = ValueError;

    fn try_from(raw: &str) -> Result<Self, ValueError> {
        raw.parse()
    }
}

impl TryFrom<String> for TaskId {
    type Error = ValueError;

    fn try_from(raw: String) -> Result<Self, ValueError> {
        raw.parse()
    }
}

impl TryFrom<&String> for TaskId {
    type Error = ValueError;

    fn try_from(raw: &String) -> Result<Self, ValueError> {
        raw.parse()
    }
}

impl From<&Self> for TaskId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl PartialEq<str> for TaskId {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for TaskId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == **other
    }
}

impl AsRef<str> for TaskId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
