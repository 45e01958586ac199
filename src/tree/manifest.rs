//! The manifest of a tree: what is in a directory, as the content of one more task.
//!
//! A manifest that comes from a daemon is hostile until it has been checked: every path stays below
//! the directory that the tree is written to, also by way of links, and each is there once.

mod checks;
mod wire;

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};

use self::checks::check_ids;
pub(super) use self::checks::check_paths;
use self::wire::Wire;
pub(crate) use super::sha256::Sha256Digest;
use crate::types::error::{Error, Result};

/// What a manifest of this format begins with.
pub(super) const PREFIX: &[u8] = b"{\"format\":\"dfcache.manifest/1\",\"entries\":[";

/// The longest manifest that is read, in bytes: of some millions of files.
pub(super) const MAX_LENGTH: u64 = 1 << 30;

/// Something in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub(crate) struct Entry {
    /// Below the tree's directory, with `/` between names.
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        length: u64,
        task_id: String,
        sha256: Sha256Digest,
    },
    Link {
        target: String,
    },
}

/// The entries of a manifest that was read and checked.
pub(super) fn read(source: impl io::Read) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Manifest {
        #[expect(dead_code, reason = "the prefix says it already")]
        format: String,
        entries: Vec<Entry>,
    }

    let manifest: Manifest = serde_json::from_reader(source)
        .map_err(|source| Error::integrity("the manifest cannot be read").because(source))?;
    check_paths(&manifest.entries)
        .and_then(|()| check_ids(&manifest.entries))
        .map_err(|why| Error::integrity("the manifest does not describe a tree").because(why))?;
    Ok(manifest.entries)
}

/// Writes the manifest: sorted, without spaces, so that the same tree has the same manifest.
pub(super) fn write(entries: &[Entry], mut to: impl io::Write) -> io::Result<()> {
    to.write_all(PREFIX)?;
    for (number, entry) in entries.iter().enumerate() {
        if number > 0 {
            to.write_all(b",")?;
        }
        serde_json::to_writer(&mut to, entry)?;
    }
    to.write_all(b"]}")?;
    to.flush()
}

/// Every directory of a tree, those included that only the paths of others name.
pub(super) fn directories(entries: &[Entry]) -> BTreeSet<&str> {
    let mut directories = BTreeSet::new();
    for entry in entries {
        if matches!(entry.kind, Kind::Directory { .. }) {
            directories.insert(entry.path.as_str());
        }
        let mut path = entry.path.as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            if !directories.insert(above) {
                break;
            }
            path = above;
        }
    }
    directories
}

#[cfg(test)]
mod tests;
