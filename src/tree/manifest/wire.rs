//! An entry as it is written: flat, where each kind has fields of its own.

use serde::{Deserialize, Serialize};

use super::{Entry, Kind, Sha256Digest};

/// An entry as it is written: which fields there are depends on the kind.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    path: String,
    kind: WireKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireKind {
    File,
    Link,
    Directory,
}

impl From<Entry> for Wire {
    fn from(entry: Entry) -> Self {
        let empty = |kind| Self {
            path: entry.path,
            kind,
            mode: None,
            length: None,
            task_id: None,
            sha256: None,
            target: None,
        };
        match entry.kind {
            Kind::Directory { mode } => Self {
                mode: Some(mode),
                ..empty(WireKind::Directory)
            },
            Kind::File {
                mode,
                length,
                task_id,
                sha256,
            } => Self {
                mode: Some(mode),
                length: Some(length),
                task_id: Some(task_id),
                sha256: Some(sha256),
                ..empty(WireKind::File)
            },
            Kind::Link { target } => Self {
                target: Some(target),
                ..empty(WireKind::Link)
            },
        }
    }
}

impl TryFrom<Wire> for Entry {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let Wire {
            path,
            kind,
            mode,
            length,
            task_id,
            sha256,
            target,
        } = wire;
        let kind = match (kind, mode, length, task_id, sha256, target) {
            (WireKind::Directory, Some(mode), None, None, None, None) => Kind::Directory { mode },
            (WireKind::File, Some(mode), Some(length), Some(task_id), Some(sha256), None) => {
                Kind::File {
                    mode,
                    length,
                    task_id,
                    sha256,
                }
            }
            (WireKind::Link, None, None, None, None, Some(target)) => Kind::Link { target },
            _ => return Err(format!("{path:?} does not have the fields of its kind")),
        };
        Ok(Self { path, kind })
    }
}
