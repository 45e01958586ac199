//! Snapshots: tasks, hosts and clock, kept under a name in the state directory and brought back.
//!
//! A snapshot holds hard links: content and records are never written in place, so it costs no
//! space and little time. Faults and journal are no part of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, HostStatus};
use crate::owned;

/// Where snapshots lie, below the state directory.
const SNAPSHOTS: &str = "snapshots";

/// What a snapshot holds besides files.
const ABOUT: &str = "snapshot.json";

/// How the names of what is to be removed begin: no snapshot's does.
const OLD: &str = ".old-";

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// Why there is no such snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A name that is no file's.
    #[error(
        "{name:?} cannot be a snapshot's name: up to {MAX_NAME} letters, digits, '-', '_' and '.', not '.' first"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Nothing was kept under that name.
    #[error("there is no snapshot {name}")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The disk failed.
    #[error("the disk failed")]
    Io(#[from] io::Error),
    /// A host's socket could not be bound again.
    #[error(transparent)]
    Start(#[from] Box<crate::builder::StartError>),
}

/// Hosts and clock at the time of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) now: Timestamp,
    /// By number: running, stopped or left.
    pub(crate) hosts: Vec<HostStatus>,
}

/// Keeps what lies on the disk under a name, in place of an earlier snapshot. Blocks.
pub(crate) fn take(cluster: &Cluster, name: &str, about: &About) -> Result<(), SnapshotError> {
    let target = place(cluster, name)?;
    let beside = target.with_file_name(format!(".{name}.new"));
    remove(&beside)?;
    let roots = cluster.roots();
    cluster.at_rest(|| {
        for (number, root) in roots.iter().enumerate() {
            link_tree(root, &beside.join(number.to_string()))?;
        }
        Ok::<_, io::Error>(())
    })?;
    let about = serde_json::to_vec(about).map_err(io::Error::from)?;
    owned::write(&beside.join(ABOUT), &about)?;
    discard(cluster, &target)?;
    fs::rename(beside, target)?;
    Ok(())
}

/// Whether there is such a snapshot, and what it holds besides files.
pub(crate) fn about(cluster: &Cluster, name: &str) -> Result<About, SnapshotError> {
    let kept = place(cluster, name)?.join(ABOUT);
    match fs::read(kept) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_err(io::Error::from)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SnapshotError::NotFound {
            name: name.to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Brings back what lay on the disk, or nothing at all. Nobody else may touch the state. Blocks.
pub(crate) fn bring_back(cluster: &Cluster, name: Option<&str>) -> Result<(), SnapshotError> {
    let from = name.map(|name| place(cluster, name)).transpose()?;
    for (number, root) in cluster.roots().iter().enumerate() {
        discard(cluster, root)?;
        owned::create_dir_all(root)?;
        if let Some(from) = &from {
            link_tree(&from.join(number.to_string()), root)?;
        }
    }
    cluster.load()?;
    Ok(())
}

fn place(cluster: &Cluster, name: &str) -> Result<PathBuf, SnapshotError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty()
        || name.len() > MAX_NAME
        || name.starts_with('.')
        || !name.bytes().all(is_good)
    {
        return Err(SnapshotError::Name {
            name: name.to_owned(),
        });
    }
    let snapshots = cluster.state_dir().path().join(SNAPSHOTS);
    owned::create_dir_all(&snapshots)?;
    Ok(snapshots.join(name))
}

/// Puts a directory out of the way, to be removed while nobody waits: that takes longer than
/// all the rest. What a killed daemon left of this goes along.
fn discard(cluster: &Cluster, dir: &Path) -> io::Result<()> {
    let snapshots = cluster.state_dir().path().join(SNAPSHOTS);
    owned::create_dir_all(&snapshots)?;
    match fs::rename(
        dir,
        snapshots.join(format!("{OLD}{}", uuid::Uuid::new_v4())),
    ) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    cluster.spawn_blocking(move || {
        let entries = fs::read_dir(&snapshots).into_iter().flatten().flatten();
        for entry in entries {
            let is_old = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(OLD));
            if is_old && let Err(error) = remove(&entry.path()) {
                // Another of these may be at it.
                tracing::debug!(path = %entry.path().display(), %error, "left for the next time");
            }
        }
    });
    Ok(())
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    owned::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else if fs::hard_link(entry.path(), &target).is_err() {
            // Imported by hard link from a file that has as many names as it can.
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
