//! What the emulated release decides, and nothing else does.
//!
//! Release 0.2 stands for daemons up to 1.0.14 as the CLI's reference document describes them,
//! release 1.5 for the present ones.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dfdaemon_api::task_id::TaskIdScheme;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

/// A release of dfdaemon.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, Release};
///
/// let daemon = FakeDfdaemon::builder().release(Release::V1_5).start_blocking()?;
/// assert_eq!(daemon.release().to_string(), "1.5");
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// CRC-32 ids; knows no digest and no overwrite.
    #[default]
    #[serde(rename = "0.2")]
    V0_2,
    /// SHA-256 ids; imports by hard link.
    #[serde(rename = "1.5")]
    V1_5,
}

/// Where a status that a dfdaemon answers with comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The scheduler, over gRPC.
    Scheduler,
    /// The daemon itself.
    Dfdaemon,
}

impl Release {
    /// How the daemon computes task ids.
    pub(crate) fn scheme(self) -> TaskIdScheme {
        match self {
            Self::V0_2 => TaskIdScheme::Crc32,
            Self::V1_5 => TaskIdScheme::Sha256,
        }
    }

    /// Whether request fields that came after 0.2 (`digest`, `overwrite`) are honoured.
    pub(crate) fn knows_new_fields(self) -> bool {
        self == Self::V1_5
    }

    /// Whether an import hard-links its source into the store, where it can.
    pub(crate) fn imports_by_hard_link(self) -> bool {
        self == Self::V1_5
    }

    /// The TTL of a task whose importer gave none, if the release has one.
    pub(crate) fn default_ttl(self) -> Option<Duration> {
        match self {
            Self::V0_2 => None,
            Self::V1_5 => Some(Duration::from_secs(24 * 60 * 60)),
        }
    }

    /// A status that a dfdaemon passes on: INTERNAL, with the inner one in its text.
    pub(crate) fn wrapped(self, origin: Origin, code: Code, message: &str) -> Status {
        Status::internal(match self {
            Self::V0_2 => {
                let headers = match origin {
                    Origin::Scheduler => r#"{"content-type": "application/grpc"}"#,
                    Origin::Dfdaemon => "{}",
                };
                format!(
                    "status: {code:?}, message: {message:?}, details: [], \
                     metadata: MetadataMap {{ headers: {headers} }}"
                )
            }
            Self::V1_5 if message.is_empty() => format!("code: '{}'", code.description()),
            Self::V1_5 => format!("code: '{}', message: {message:?}", code.description()),
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_2 => "0.2",
            Self::V1_5 => "1.5",
        })
    }
}

/// The text names no release that the fake imitates.
///
/// ```
/// use fake_dfdaemon::{Release, UnknownRelease};
///
/// let error: UnknownRelease = "9.9".parse::<Release>().unwrap_err();
/// assert!(error.to_string().contains("9.9"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such release: {0}; there are 0.2 and 1.5")]
pub struct UnknownRelease(String);

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0.2" => Ok(Self::V0_2),
            "1.5" => Ok(Self::V1_5),
            _ => Err(UnknownRelease(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_texts_are_the_documented_ones() {
        let message = "persistent cache task X not found";
        let text = |release: Release, origin| {
            release
                .wrapped(origin, Code::NotFound, message)
                .message()
                .to_owned()
        };
        assert_eq!(
            text(Release::V0_2, Origin::Scheduler),
            r#"status: NotFound, message: "persistent cache task X not found", details: [], metadata: MetadataMap { headers: {"content-type": "application/grpc"} }"#
        );
        assert_eq!(
            text(Release::V0_2, Origin::Dfdaemon),
            r#"status: NotFound, message: "persistent cache task X not found", details: [], metadata: MetadataMap { headers: {} }"#
        );
        assert_eq!(
            text(Release::V1_5, Origin::Scheduler),
            r#"code: 'Some requested entity was not found', message: "persistent cache task X not found""#
        );
        let empty = Release::V1_5.wrapped(Origin::Scheduler, Code::AlreadyExists, "");
        assert_eq!(
            empty.message(),
            "code: 'Some entity that we attempted to create already exists'"
        );
    }

    #[test]
    fn messages_are_escaped_as_rust_does() {
        let status = Release::V1_5.wrapped(Origin::Dfdaemon, Code::Internal, "a \"b\"\n\u{1b}");
        assert_eq!(
            status.message(),
            r#"code: 'Internal error', message: "a \"b\"\n\u{1b}""#
        );
    }

    #[test]
    fn releases_differ_in_ids_fields_links_and_ttls() {
        let decided = |release: Release| {
            (
                release.scheme(),
                release.knows_new_fields(),
                release.imports_by_hard_link(),
                release.default_ttl().map(|ttl| ttl.as_secs()),
            )
        };
        assert_eq!(
            decided(Release::V0_2),
            (TaskIdScheme::Crc32, false, false, None)
        );
        assert_eq!(
            decided(Release::V1_5),
            (TaskIdScheme::Sha256, true, true, Some(86_400))
        );
    }

    #[test]
    fn releases_are_read_as_they_are_written() {
        for release in [Release::V0_2, Release::V1_5] {
            assert_eq!(release.to_string().parse(), Ok(release));
        }
        assert!("1.0".parse::<Release>().is_err());
    }
}
