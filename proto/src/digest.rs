//! Digests: of pieces (CRC-32, computed by daemons) and of whole content (given by users).
//!
//! A digest of content reads `<algorithm>:<value>` with `sha256` and `sha512` in hex of either
//! case, and `crc32` in decimal or as 8 hex digits. Daemons differ in what they make of the
//! latter, so [`Digest`] accepts both: 8 decimal digits match if either reading does.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// The CRC-32 of content that comes in parts.
pub use crc32fast::Hasher as Crc32;
use sha2::{Digest as _, Sha256, Sha512};

const CRC32_PREFIX: &str = "crc32:";
const CRC32_HEX_LENGTH: usize = 8;
const SHA256_HEX_LENGTH: usize = 64;
const SHA512_HEX_LENGTH: usize = 128;

/// The CRC-32 (IEEE, the zlib one) of `bytes`.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The CRC-32 of a concatenation, from the CRC-32 and the length in bytes of each part, in order.
pub fn combined_crc32(parts: impl IntoIterator<Item = (u32, u64)>) -> u32 {
    let mut whole = Crc32::new();
    for (crc, length) in parts {
        whole.combine(&Crc32::new_with_initial_len(crc, length));
    }
    whole.finalize()
}

/// Writes the CRC-32 of a piece as it travels: `crc32:<decimal>`.
#[must_use]
pub fn piece_digest(crc: u32) -> String {
    format!("{CRC32_PREFIX}{crc}")
}

/// The digest of what is said of a piece, its content's digest included, as peers send it.
#[must_use]
pub fn metadata_digest(number: u32, offset: u64, length: u64, digest: &str) -> String {
    let mut crc32 = Crc32::new();
    crc32.update(&number.to_be_bytes());
    crc32.update(&offset.to_be_bytes());
    crc32.update(&length.to_be_bytes());
    crc32.update(digest.as_bytes());
    piece_digest(crc32.finalize())
}

/// Reads a piece digest as it travels.
///
/// # Errors
///
/// If it is not `crc32:` and a decimal number of 32 bits.
pub fn parse_piece_digest(digest: &str) -> Result<u32, ParseDigestError> {
    digest
        .strip_prefix(CRC32_PREFIX)
        .and_then(parse_decimal)
        .ok_or_else(|| ParseDigestError::Malformed {
            raw: digest.to_owned(),
        })
}

/// A digest that content is promised to have.
///
/// ```
/// # use dfdaemon_api::digest::Digest;
/// let digest: Digest = "crc32:3421780262".parse()?;
/// assert_eq!(digest.to_string(), "crc32:3421780262");
/// assert!("md5:00".parse::<Digest>().is_err());
/// # Ok::<(), dfdaemon_api::digest::ParseDigestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    written: String,
    expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Crc32 {
        decimal: Option<u32>,
        hex: Option<u32>,
    },
    Sha256(String),
    Sha512(String),
}

impl Digest {
    /// The algorithm's name, as it is written.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.expected {
            Expected::Crc32 { .. } => "crc32",
            Expected::Sha256(_) => "sha256",
            Expected::Sha512(_) => "sha512",
        }
    }
}

/// As it was written.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseDigestError::Malformed {
            raw: raw.to_owned(),
        };
        let (algorithm, value) = raw.split_once(':').ok_or_else(malformed)?;
        let hex_of = |length: usize| {
            if value.len() != length {
                let algorithm = algorithm.to_owned();
                return Err(ParseDigestError::Length {
                    algorithm,
                    actual: value.len(),
                    expected: length,
                });
            }
            if !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(malformed());
            }
            Ok(value.to_ascii_lowercase())
        };
        let expected = match algorithm {
            "crc32" => {
                let (decimal, hex) = (parse_decimal(value), parse_crc32_hex(value));
                if decimal.is_none() && hex.is_none() {
                    return Err(ParseDigestError::Crc32 {
                        value: value.to_owned(),
                    });
                }
                Expected::Crc32 { decimal, hex }
            }
            "sha256" => Expected::Sha256(hex_of(SHA256_HEX_LENGTH)?),
            "sha512" => Expected::Sha512(hex_of(SHA512_HEX_LENGTH)?),
            _ => {
                return Err(ParseDigestError::Algorithm {
                    algorithm: algorithm.to_owned(),
                });
            }
        };
        Ok(Self {
            written: raw.to_owned(),
            expected,
        })
    }
}

/// Decimal digits and nothing else: `u32::from_str` would take a sign.
fn parse_decimal(value: &str) -> Option<u32> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}

fn parse_crc32_hex(value: &str) -> Option<u32> {
    let digits =
        value.len() == CRC32_HEX_LENGTH && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits
        .then(|| u32::from_str_radix(value, 16).ok())
        .flatten()
}

/// Why a digest cannot be read. The texts are those of a daemon of release 1.5.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// Not `<algorithm>:<value>`, or a value that is not hex.
    #[error("invalid digest: {raw}")]
    Malformed {
        /// What was given.
        raw: String,
    },
    /// An algorithm that nobody computes.
    #[error("invalid digest algorithm: {algorithm}")]
    Algorithm {
        /// What stood before the colon.
        algorithm: String,
    },
    /// A hash of the wrong length.
    #[error("invalid {algorithm} digest length: {actual}, expected {expected}")]
    Length {
        /// `sha256` or `sha512`.
        algorithm: String,
        /// Hex digits given.
        actual: usize,
        /// Hex digits that the algorithm has.
        expected: usize,
    },
    /// Neither a decimal number of 32 bits nor 8 hex digits.
    #[error("invalid crc32 digest: {value}")]
    Crc32 {
        /// What stood behind the colon.
        value: String,
    },
}

/// Computes a digest of content, in order.
#[derive(Clone, Debug)]
pub struct DigestHasher(HasherState);

#[derive(Clone, Debug)]
enum HasherState {
    Crc32(Crc32),
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl DigestHasher {
    /// A hasher for content that is promised to have this digest.
    #[must_use]
    pub fn of(promised: &Digest) -> Self {
        Self(match promised.expected {
            Expected::Crc32 { .. } => HasherState::Crc32(Crc32::new()),
            Expected::Sha256(_) => HasherState::Sha256(Sha256::new()),
            Expected::Sha512(_) => HasherState::Sha512(Box::new(Sha512::new())),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            HasherState::Crc32(hasher) => hasher.update(bytes),
            HasherState::Sha256(hasher) => hasher.update(bytes),
            HasherState::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> ActualDigest {
        ActualDigest(match self.0 {
            HasherState::Crc32(hasher) => Actual::Crc32(hasher.finalize()),
            HasherState::Sha256(hasher) => Actual::Sha256(hex(&hasher.finalize())),
            HasherState::Sha512(hasher) => Actual::Sha512(hex(&hasher.finalize())),
        })
    }
}

/// A digest that content turned out to have. Reads `<algorithm>:<value>`, CRC-32 in decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualDigest(Actual);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Actual {
    Crc32(u32),
    Sha256(String),
    Sha512(String),
}

impl ActualDigest {
    /// Whether content that has this digest is what was promised.
    #[must_use]
    pub fn is(&self, promised: &Digest) -> bool {
        match (&promised.expected, &self.0) {
            (Expected::Crc32 { decimal, hex }, Actual::Crc32(crc)) => {
                *decimal == Some(*crc) || *hex == Some(*crc)
            }
            (Expected::Sha256(expected), Actual::Sha256(actual))
            | (Expected::Sha512(expected), Actual::Sha512(actual)) => expected == actual,
            _ => false,
        }
    }
}

impl fmt::Display for ActualDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Actual::Crc32(crc) => f.write_str(&piece_digest(*crc)),
            Actual::Sha256(hex) => write!(f, "sha256:{hex}"),
            Actual::Sha512(hex) => write!(f, "sha512:{hex}"),
        }
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actual(digest: &Digest, content: &[u8]) -> ActualDigest {
        let mut hasher = DigestHasher::of(digest);
        hasher.update(content);
        hasher.finish()
    }

    fn matches(digest: &str, content: &[u8]) -> bool {
        let digest: Digest = digest.parse().unwrap();
        actual(&digest, content).is(&digest)
    }

    #[test]
    fn digests_of_known_content_match() {
        // The check values of CRC-32 ("123456789") and of FIPS 180-4 ("abc").
        assert!(matches("crc32:3421780262", b"123456789"));
        assert!(matches("crc32:cbf43926", b"123456789"));
        assert!(matches("crc32:CBF43926", b"123456789"));
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(matches(&format!("sha256:{sha256}"), b"abc"));
        assert!(matches(
            &format!("sha256:{}", sha256.to_uppercase()),
            b"abc"
        ));
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert!(matches(&format!("sha512:{sha512}"), b"abc"));
        assert!(!matches("crc32:3421780262", b"12345678"));
        assert!(!matches(&format!("sha256:{sha256}"), b"abd"));
    }

    #[test]
    fn a_digest_reads_as_it_was_written_and_knows_its_algorithm() {
        let (sha256, sha512) = ("Ab".repeat(32), "c".repeat(128));
        for (algorithm, value) in [
            ("crc32", "0CBF4392"),
            ("sha256", &sha256),
            ("sha512", &sha512),
        ] {
            let written = format!("{algorithm}:{value}");
            let digest: Digest = written.parse().unwrap();
            assert_eq!(
                (digest.to_string(), digest.algorithm()),
                (written, algorithm)
            );
        }
    }

    #[test]
    fn eight_decimal_digits_match_in_either_reading() {
        let digest: Digest = "crc32:12345678".parse().unwrap();
        for crc in [12_345_678, 0x1234_5678] {
            assert!(ActualDigest(Actual::Crc32(crc)).is(&digest), "{crc}");
        }
        assert!(!ActualDigest(Actual::Crc32(1)).is(&digest));
    }

    #[test]
    fn malformed_digests_are_refused_with_the_daemons_words() {
        let long = "a".repeat(65);
        let not_hex = "g".repeat(64);
        for (raw, text) in [
            ("", "invalid digest: ".to_owned()),
            ("abc", "invalid digest: abc".to_owned()),
            ("md5:abc", "invalid digest algorithm: md5".to_owned()),
            ("SHA256:abc", "invalid digest algorithm: SHA256".to_owned()),
            (
                "sha256:",
                "invalid sha256 digest length: 0, expected 64".to_owned(),
            ),
            (
                &format!("sha256:{long}"),
                "invalid sha256 digest length: 65, expected 64".to_owned(),
            ),
            (
                "sha512:ab",
                "invalid sha512 digest length: 2, expected 128".to_owned(),
            ),
            (
                &format!("sha256:{not_hex}"),
                format!("invalid digest: sha256:{not_hex}"),
            ),
            ("crc32:", "invalid crc32 digest: ".to_owned()),
            ("crc32:+1", "invalid crc32 digest: +1".to_owned()),
            (
                "crc32:4294967296",
                "invalid crc32 digest: 4294967296".to_owned(),
            ),
            ("crc32:abc", "invalid crc32 digest: abc".to_owned()),
        ] {
            assert_eq!(
                raw.parse::<Digest>().unwrap_err().to_string(),
                text,
                "{raw:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_piece_digest_survives_its_writing(crc in any::<u32>()) {
            prop_assert_eq!(parse_piece_digest(&piece_digest(crc)), Ok(crc));
        }

        #[test]
        fn a_combined_crc_is_the_crc_of_the_whole(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
        ) {
            let combined = combined_crc32(parts.iter().map(|part| (crc32(part), part.len() as u64)));
            prop_assert_eq!(combined, crc32(&parts.concat()));
        }

        #[test]
        fn content_matches_the_digest_it_has_and_no_other(
            content in prop::collection::vec(any::<u8>(), 0..300),
            flipped in any::<prop::sample::Index>(),
            algorithm in prop::sample::select(vec!["crc32:0", "sha256", "sha512"]),
        ) {
            let template = match algorithm {
                "sha256" => format!("sha256:{}", "0".repeat(64)),
                "sha512" => format!("sha512:{}", "0".repeat(128)),
                crc32 => crc32.to_owned(),
            };
            let template: Digest = template.parse().unwrap();
            let digest = actual(&template, &content).to_string();
            prop_assert!(matches(&digest, &content));
            if !content.is_empty() {
                let mut other = content.clone();
                other[flipped.index(content.len())] ^= 1;
                prop_assert!(!matches(&digest, &other));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(raw in ".{0,80}") {
            if let Ok(digest) = raw.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), raw);
            }
        }
    }
}
