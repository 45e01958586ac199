//! The id of a task, as it may be the name of a file.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id: a SHA-256 in hex.
const MAX_LENGTH: usize = 64;

/// The longest that lies where the id does: one by CRC-32 has ten digits.
const SHORT: usize = 14;

/// The id of a task: lower-case hex digits and nothing else, so that it leads out of no directory. A
/// text of a client that is no such id names no task.
#[derive(Clone)]
pub(crate) struct TaskId(Form);

/// How an id lies in memory. Those by CRC-32 have no memory of their own: of a million tasks each would be
/// one more piece to ask malloc for, and one more to wait for when a task is looked up.
#[derive(Clone)]
enum Form {
    Short(Digits<SHORT>),
    Long(Arc<Digits<MAX_LENGTH>>),
}

#[derive(Clone)]
struct Digits<const N: usize> {
    length: u8,
    digits: [u8; N],
}

impl<const N: usize> Digits<N> {
    /// `None` of a text that is longer.
    fn of(text: &str) -> Option<Self> {
        let mut digits = [0; N];
        digits
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).ok()?;
        Some(Self { length, digits })
    }

    fn text(&self) -> &str {
        let digits = self.digits.get(..usize::from(self.length));
        let text = digits.and_then(|digits| str::from_utf8(digits).ok());
        text.unwrap_or_default()
    }
}

impl TaskId {
    /// What a client or a file says, if it can be an id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = !text.is_empty() && text.bytes().all(is_digit);
        is_id.then(|| Self::new(text)).flatten()
    }

    fn new(text: &str) -> Option<Self> {
        let long = || Some(Form::Long(Arc::new(Digits::of(text)?)));
        let form = Digits::of(text).map(Form::Short).or_else(long);
        form.map(Self)
    }

    /// Any text, as a name of a task in a test.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self::new(text).unwrap()
    }
}

impl Deref for TaskId {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Form::Short(digits) => digits.text(),
            Form::Long(digits) => digits.text(),
        }
    }
}

impl PartialEq for TaskId {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for TaskId {}

impl PartialOrd for TaskId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TaskId {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

/// As of the text that it is borrowed as.
impl Hash for TaskId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskId").field(&&**self).finish()
    }
}

/// So that tasks are found by what a client sent.
impl Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
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
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    #[test]
    fn an_id_takes_no_more_than_a_text_and_is_hashed_and_ordered_as_one() {
        assert_eq!(size_of::<TaskId>(), 16);
        let mut texts: Vec<_> = (1..=MAX_LENGTH)
            .flat_map(|length| ["1", "a"].map(|digit| digit.repeat(length)))
            .collect();
        let hasher = RandomState::new();
        for text in &texts {
            let id = TaskId::parse(text).unwrap();
            assert_eq!(hasher.hash_one(&id), hasher.hash_one(text.as_str()));
            assert_eq!((&*id, format!("{id}")), (&**text, text.clone()));
        }
        let mut ids: Vec<_> = texts.iter().map(|text| TaskId::of(text)).collect();
        texts.sort();
        ids.sort();
        assert!(ids.iter().map(|id| &**id).eq(&texts));
    }

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
