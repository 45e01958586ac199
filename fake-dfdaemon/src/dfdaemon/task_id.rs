//! The id of a task, as it may be the name of a file.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id: a SHA-256 in hex.
const MAX_LENGTH: usize = 64;

/// The id of a task: lower-case hex digits and nothing else, so that it leads out of no directory. A
/// text of a client that is no such id names no task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId(Arc<str>);

impl TaskId {
    /// What a client or a file says, if it can be an id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_digit);
        is_id.then(|| Self(text.into()))
    }

    /// Any text, as a name of a task in a test.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(text.into())
    }
}

impl Deref for TaskId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// So that tasks are found by what a client sent.
impl Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// Text where it lies, unless it is escaped there: `Cow` alone is always a copy.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no task id")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_daemon_computes_is_an_id() {
        for id in ["0", "107352521", &"af".repeat(32)] {
            assert_eq!(TaskId::parse(id).as_deref(), Some(id));
        }
        for id in [
            "",
            "..",
            "../../etc/passwd",
            "12 ",
            "AF",
            &"a".repeat(65),
            "1.json",
        ] {
            assert_eq!(TaskId::parse(id), None, "{id}");
            let json = serde_json::to_vec(id).unwrap();
            serde_json::from_slice::<TaskId>(&json).unwrap_err();
        }
    }
}
