//! The SHA-256 of a file, as a manifest has it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::error::Error;
use crate::types::options::Digest;

/// A SHA-256, which takes less memory than its digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sha256Digest(pub(crate) [u8; 32]);

impl Sha256Digest {
    /// The same as a digest that content can be held against.
    pub(super) fn digest(self) -> Result<Digest, Error> {
        format!("sha256:{self}").parse().map_err(|source| {
            Error::integrity("its SHA-256 in the manifest is invalid").because(source)
        })
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = Cow::<str>::deserialize(deserializer)?;
        digits.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Sha256Digest {
    type Err = String;

    fn from_str(digits: &str) -> Result<Self, String> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut digest = Self::default();
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.0.len() || !rest.is_empty() {
            return Err("a sha256 must have 64 digits".to_owned());
        }
        for (byte, [high, low]) in digest.0.iter_mut().zip(pairs) {
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return Err("a sha256 must be lower-case hex".to_owned());
            };
            *byte = high << 4 | low;
        }
        Ok(digest)
    }
}
