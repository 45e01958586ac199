//! The manifest of a tree: what is in a directory, as the content of one more task.
//!
//! A manifest that comes from a daemon is hostile until it has been checked: every path stays below
//! the directory that the tree is written to, also by way of links, and each is there once.

use std::io;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::error::{Error, Result};

/// What a manifest of this format begins with.
pub(super) const PREFIX: &[u8] = b"{\"format\":\"dfcache.manifest/1\",\"entries\":[";

/// The longest manifest that is read, in bytes: of some millions of files.
pub(super) const MAX_LENGTH: u64 = 1 << 30;

/// Linux takes no longer path.
const MAX_PATH: usize = 4095;
/// Linux takes no longer name.
const MAX_NAME: usize = 255;
/// How many links are followed, as in Linux.
const MAX_LINKS: usize = 40;
const MAX_MODE: u32 = 0o777;

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

/// A SHA-256, which takes less memory than its digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sha256Digest(pub(crate) [u8; 32]);

impl std::fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let digits = std::borrow::Cow::<str>::deserialize(deserializer)?;
        digits.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Sha256Digest {
    type Err = String;

    fn from_str(digits: &str) -> std::result::Result<Self, String> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut digest = Self::default();
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.0.len() || !rest.is_empty() {
            return Err("a sha256 has 64 digits".to_owned());
        }
        for (byte, [high, low]) in digest.0.iter_mut().zip(pairs) {
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return Err("a sha256 is lower-case hex".to_owned());
            };
            *byte = high << 4 | low;
        }
        Ok(digest)
    }
}

/// An entry as it is written: which fields there are depends on the kind.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
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

    fn try_from(wire: Wire) -> std::result::Result<Self, String> {
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
        .map_err(|why| Error::integrity("the manifest is not one of a tree").because(why))?;
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

/// Checks that entries make up one tree and that nothing of it is outside of it.
///
/// # Errors
///
/// Why not, in a sentence that names the entry.
pub(super) fn check_paths(entries: &[Entry]) -> std::result::Result<(), String> {
    let mut total = 0u64;
    for (before, entry) in std::iter::once(None)
        .chain(entries.iter().map(Some))
        .zip(entries)
    {
        let path = &entry.path;
        if let Some(before) = before
            && before.path >= *path
        {
            let how = if before.path == *path {
                "is there twice"
            } else {
                "is not in its place"
            };
            return Err(format!("{path:?} {how}"));
        }
        check_path(path)?;
        if let Some((parent, _)) = path.rsplit_once('/') {
            check_parents(entries, parent, path)?;
        }
        match &entry.kind {
            Kind::Directory { mode } => check_mode(path, *mode)?,
            Kind::File { mode, length, .. } => {
                check_mode(path, *mode)?;
                let fits = i64::try_from(*length).is_ok();
                let sum = total.checked_add(*length).filter(|_| fits);
                total = sum.ok_or_else(|| format!("{path:?} is longer than a file can be"))?;
            }
            Kind::Link { target } => check_link(entries, path, target)?,
        }
    }
    Ok(())
}

fn check_ids(entries: &[Entry]) -> std::result::Result<(), String> {
    let has_id = |entry: &&Entry| match &entry.kind {
        Kind::File { task_id, .. } => (1..=MAX_NAME).contains(&task_id.len()),
        _ => true,
    };
    match entries.iter().find(|entry| !has_id(entry)) {
        Some(entry) => Err(format!("{:?} has no id of a task", entry.path)),
        None => Ok(()),
    }
}

fn check_path(path: &str) -> std::result::Result<(), String> {
    let is_name = |name: &str| !["", ".", ".."].contains(&name) && name.len() <= MAX_NAME;
    if path.len() <= MAX_PATH && !path.contains('\0') && path.split('/').all(is_name) {
        return Ok(());
    }
    let shown: String = path.chars().take(MAX_NAME).collect();
    Err(format!("{shown:?} is no path below a directory"))
}

fn check_mode(path: &str, mode: u32) -> std::result::Result<(), String> {
    if mode <= MAX_MODE {
        return Ok(());
    }
    Err(format!(
        "{path:?} has the mode {mode:04o}, and at most {MAX_MODE:04o} is allowed"
    ))
}

/// What is above an entry must be directories, also those that are not in the manifest.
fn check_parents(entries: &[Entry], parent: &str, path: &str) -> std::result::Result<(), String> {
    let mut above = Some(parent);
    while let Some(parent) = above {
        match find(entries, parent).map(|entry| &entry.kind) {
            // Its own parents are checked where it stands.
            Some(Kind::Directory { .. }) => return Ok(()),
            Some(_) => {
                return Err(format!(
                    "{path:?} is below {parent:?}, which is no directory"
                ));
            }
            None => above = parent.rsplit_once('/').map(|(above, _)| above),
        }
    }
    Ok(())
}

fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    let at = entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
    entries.get(at.ok()?)
}

/// Follows a link through the tree, as the file system will, and finds out whether it leads out.
fn check_link(entries: &[Entry], path: &str, target: &str) -> std::result::Result<(), String> {
    if target.is_empty() || target.len() > MAX_PATH || target.contains('\0') {
        return Err(format!("the link {path:?} leads nowhere"));
    }
    let leads_out = || format!("the link {path:?} leads out of the tree");
    if target.starts_with('/') {
        return Err(leads_out());
    }
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut place: Vec<&str> = parent.split('/').filter(|name| !name.is_empty()).collect();
    // What is still to be walked: the next name is the last.
    let mut ahead: Vec<&str> = target.rsplit('/').collect();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match name {
            "" | "." => continue,
            ".." => {
                place.pop().ok_or_else(leads_out)?;
                continue;
            }
            name => place.push(name),
        }
        let Some(Entry {
            kind: Kind::Link { target },
            ..
        }) = find(entries, &place.join("/"))
        else {
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(format!("the link {path:?} leads round in circles"));
        }
        if target.starts_with('/') {
            return Err(leads_out());
        }
        place.pop();
        ahead.extend(target.rsplit('/'));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
