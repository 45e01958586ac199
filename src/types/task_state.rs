//! The state of a task: how far its import is.

use std::fmt;

use serde::Serialize;

/// How far the import of a task is.
///
/// ```
/// use dfcache::TaskState;
///
/// assert_eq!(TaskState::Succeeded.to_string(), "Succeeded");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It is under way.
    Uploading,
    /// The content is complete.
    Succeeded,
    /// It broke.
    Failed,
    /// Another state, as the daemon wrote it.
    Other(String),
}

impl TaskState {
    /// As a daemon writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Uploading => "Uploading",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Other(state) => state,
        }
    }
}

impl From<String> for TaskState {
    fn from(state: String) -> Self {
        let known = [Self::Uploading, Self::Succeeded, Self::Failed];
        let known = known.into_iter().find(|known| known.as_str() == state);
        known.unwrap_or(Self::Other(state))
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for TaskState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
