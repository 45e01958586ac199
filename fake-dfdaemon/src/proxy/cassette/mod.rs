//! What was seen between a client and a daemon, in a directory that a person can read, edit and
//! commit: `cassette.json`, `calls.jsonl` with one call a line, and `content/` by hash.

pub(crate) mod content;
pub(crate) mod read;
pub(crate) mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `cassette.json` says of its form.
pub(crate) const FORMAT: &str = "fake-dfdaemon.cassette/1";

pub(crate) const HEAD_FILE: &str = "cassette.json";
pub(crate) const CALLS_FILE: &str = "calls.jsonl";
pub(crate) const CONTENT_DIRECTORY: &str = "content";

/// Metadata by name, in the order of names.
pub(crate) type Metadata = BTreeMap<String, Vec<String>>;

/// Why a cassette cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CassetteError {
    /// A recording does not mix with what is there.
    #[error("the cassette {} exists and is not empty; record into another directory, or remove it", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// It is no cassette, or one that was edited into none.
    #[error("{}: {why}; {way_out}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        why: String,
        /// What to do about it.
        way_out: &'static str,
    },
    /// The system refused.
    #[error("cannot use the cassette {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// `cassette.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) format: String,
    pub(crate) recorded_at: Timestamp,
    /// The socket of the daemon.
    pub(crate) upstream: String,
    /// The release that the ids of tasks tell of.
    pub(crate) release: Option<String>,
    pub(crate) content: ContentMode,
    #[serde(default)]
    pub(crate) varies: Varies,
}

/// Whether content is in the cassette, or only its hash and length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub(crate) enum ContentMode {
    #[default]
    Keep,
    Hash,
}

/// The fields that another daemon, time or file system makes different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Varies {
    pub(crate) hosts: Vec<String>,
    pub(crate) peers: Vec<String>,
    pub(crate) times: Vec<String>,
    pub(crate) paths: Vec<String>,
}

impl Default for Varies {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            hosts: names(&["host_id", "remote_ip"]),
            peers: names(&["peer_id", "parent_id"]),
            times: names(&[
                "created_at",
                "updated_at",
                "finished_at",
                "failed_at",
                "cost",
            ]),
            paths: names(&["path", "output_path"]),
        }
    }
}

/// A line of `calls.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// Counts calls in the order in which they began, from 1.
    pub(crate) call: u64,
    pub(crate) at: Timestamp,
    /// Such as `/dfdaemon.v2.DfdaemonDownload/StatPersistentCacheTask`.
    pub(crate) method: String,
    /// `grpc-timeout` as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(crate) metadata: Metadata,
    pub(crate) requests: Vec<Message>,
    /// The daemon answered before it had all that the client sent: more may have followed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) requests_cut: bool,
    /// The file that an import named, as it was when the call began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<FileSeen>,
    pub(crate) answer: Answer,
    /// The file that an export by path left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<FileSeen>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// Whether a stream was opened; otherwise the answer is only trailers.
    pub(crate) opened: bool,
    #[serde(default, skip_serializing_if = "is_200")]
    pub(crate) http_status: HttpStatus,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(crate) metadata: Metadata,
    /// From the begin of the call to the head of the answer.
    #[serde(default)]
    pub(crate) head_ms: f64,
    pub(crate) messages: Vec<Message>,
    /// Messages that came behind these, and are not in the cassette: there were too many.
    #[serde(default, skip_serializing_if = "is_0")]
    pub(crate) left_out: u64,
    pub(crate) end: End,
    #[serde(default)]
    pub(crate) end_ms: f64,
}

/// 200, unless something else than gRPC answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct HttpStatus(pub(crate) u16);

impl Default for HttpStatus {
    fn default() -> Self {
        Self(200)
    }
}

fn is_200(status: &HttpStatus) -> bool {
    status.0 == 200
}

// Signature of serde.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(is: &bool) -> bool {
    !is
}

fn is_0(number: &u64) -> bool {
    *number == 0
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum End {
    Status(Status),
    /// The daemon reset the stream, with this HTTP/2 error code.
    Reset(u32),
    /// The daemon's connection broke.
    Broken,
    /// The client went away before the end.
    #[default]
    ClientGone,
}

/// What trailers say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    /// By name, such as `NOT_FOUND`; as it was sent if it is no name of gRPC's; null if it was not.
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// Status details, as they were sent: base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(crate) metadata: Metadata,
}

/// One message of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    /// From the begin of the call to the message's last byte.
    #[serde(default)]
    pub(crate) at_ms: f64,
    /// Its fields, if they say all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<Value>,
    /// Its bytes in base64, if its fields do not say all. They count if both are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<String>,
    /// What stands behind the content, if `raw` stands before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw_tail: Option<String>,
    /// The content of a piece, or the whole of a long message that nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<ContentRef>,
    /// How long the message was to be: the call ended in its middle, and the rest never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) compressed: bool,
    /// Bytes that a `--redact` pattern matched were left out, and with them the message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) redacted: bool,
}

/// Content by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContentRef {
    pub(crate) sha256: String,
    pub(crate) length: u64,
}

/// A file beside the calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSeen {
    pub(crate) kind: FileKind,
    /// Permission bits, octal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<ContentRef>,
    /// Why there is no hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unread: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileKind {
    /// A file that has more names than this one.
    Link,
    /// A file of its own.
    Copy,
    /// Nothing there.
    Absent,
    /// A directory, a symbolic link, a device.
    Other,
}

#[cfg(test)]
mod tests;
