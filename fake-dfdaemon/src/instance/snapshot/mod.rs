//! Snapshots: tasks, hosts and clock, kept under a name in the state directory and brought back.
//!
//! A snapshot holds hard links: content and records are never written in place, so it costs no
//! space and little time. Faults and journal are no part of it. Each is replaced by the next one of
//! its name wholly or not at all; how a state is, lives in [`mod@swap`].

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::swap::{STAGING, Swap};
use crate::cluster::{Cluster, HostStatus};
use crate::store::Disk;
use crate::store::{layout, trash};

mod swap;

/// The file of a snapshot's metadata. With it the snapshot is complete.
const METADATA: &str = "snapshot.json";

/// Prefix and suffix of the names of incomplete snapshots. The name of a snapshot cannot begin with a dot.
const NEW: (&str, &str) = (".", ".new");

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// Why a snapshot cannot be taken, restored or removed.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// block_on(daemon.snapshot("before"))?;
/// block_on(daemon.restore("before"))?;
/// assert!(block_on(daemon.restore("never taken")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The name is invalid.
    #[error(
        "{name:?} cannot be a snapshot's name: up to {MAX_NAME} letters, digits, '-', '_' and '.', not '.' first"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// There is no snapshot of this name.
    #[error("there is no snapshot {name}")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A running call does not end, so that the state cannot be replaced.
    #[error("a call does not end because a file system hangs; nothing was changed")]
    CallHangs,
    /// A reset cannot import the preloaded files again.
    #[error("the preloaded files cannot be imported again; nothing was changed")]
    NoPreload(#[source] Box<crate::instance::error::StartError>),
    /// The disk failed.
    #[error("a file of the state cannot be read or written")]
    Io(#[from] io::Error),
    /// A host's socket could not be bound again.
    #[error(transparent)]
    Start(#[from] Box<crate::instance::error::StartError>),
}

/// Hosts and clock at the time of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotMetadata {
    pub(crate) now: Timestamp,
    /// By number: running, stopped or left.
    pub(crate) hosts: Vec<HostStatus>,
}

/// Keeps what lies on the disk under a name, in place of an earlier snapshot. Nobody else takes
/// one meanwhile. Blocks.
pub(crate) fn take(
    cluster: &Cluster,
    name: &str,
    metadata: &SnapshotMetadata,
) -> Result<(), SnapshotError> {
    let target = place(cluster, name)?;
    let disk = cluster.disk();
    let beside = target.with_file_name(format!("{}{name}{}", NEW.0, NEW.1));
    disk.remove_tree(&beside)?;
    let made = cluster
        .scheduler()
        .with_all_tasks_locked(|| {
            let mut roots = cluster.roots().into_iter().enumerate();
            roots.try_for_each(|(number, root)| {
                link_tree(disk, &root, &beside.join(number.to_string()))
            })
        })
        // Last: with it the snapshot is whole.
        .and_then(|()| disk.write_new(&beside.join(METADATA), &serde_json::to_vec(metadata)?))
        .and_then(|()| replace(cluster, &beside, &target));
    made.inspect_err(|_| {
        if let Err(error) = disk.remove_tree(&beside) {
            tracing::warn!(path = %beside.display(), %error, "left for the next start");
        }
    })?;
    Ok(())
}

/// Renames a snapshot to its place. One that was there before is gone, or after an error there.
fn replace(cluster: &Cluster, beside: &Path, target: &Path) -> io::Result<()> {
    let disk = cluster.disk();
    let old = trash::place(cluster.state_dir().path());
    let had_one = disk.look(target)?.is_some();
    if had_one {
        disk.rename_unsynced(target, &old)?;
    }
    if let Err(error) = disk.rename_unsynced(beside, target) {
        if had_one {
            disk.rename_unsynced(&old, target)?;
        }
        return Err(error);
    }
    if had_one {
        cluster.scheduler().empty_trash_soon();
    }
    disk.sync_dir(target.parent().unwrap_or(target))
}

/// A snapshot that can be brought back.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kept {
    name: String,
    /// What time it was in the fake.
    taken_at: Timestamp,
}

/// The snapshots, by name. Nobody takes one meanwhile. Blocks.
pub(crate) fn list(cluster: &Cluster) -> Result<Vec<Kept>, SnapshotError> {
    let disk = cluster.disk();
    let snapshots = layout::snapshots(cluster.state_dir().path());
    if disk.look(&snapshots)?.is_none() {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for (path, _) in disk.list(&snapshots)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        // Those that begin so are being made, or removed.
        if !name.starts_with(NEW.0) && is_whole(disk, &path)? {
            kept.push(Kept {
                name: name.to_owned(),
                taken_at: metadata(cluster, name)?.now,
            });
        }
    }
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(kept)
}

/// Removes a snapshot: at once by its name, and what it holds a little later. Nobody takes one
/// meanwhile. Blocks.
pub(crate) fn remove(cluster: &Cluster, name: &str) -> Result<(), SnapshotError> {
    let target = place(cluster, name)?;
    let disk = cluster.disk();
    if disk.look(&target)?.is_none() {
        let name = name.to_owned();
        return Err(SnapshotError::NotFound { name });
    }
    disk.rename_unsynced(&target, &trash::place(cluster.state_dir().path()))?;
    cluster.scheduler().empty_trash_soon();
    disk.sync_dir(target.parent().unwrap_or(&target))?;
    Ok(())
}

/// Whether there is such a snapshot, and what it holds besides files.
pub(crate) fn metadata(cluster: &Cluster, name: &str) -> Result<SnapshotMetadata, SnapshotError> {
    let kept = place(cluster, name)?;
    let disk = cluster.disk();
    if disk.look(&kept)?.is_none() {
        let name = name.to_owned();
        return Err(SnapshotError::NotFound { name });
    }
    let bytes = disk.read(&kept.join(METADATA))?;
    Ok(serde_json::from_slice(&bytes).map_err(io::Error::from)?)
}

/// Makes ready what is to be brought back: what a snapshot holds, or nothing at all. Nobody else
/// does so meanwhile, and the state is not touched. Blocks.
pub(crate) fn prepare(cluster: &Cluster, name: Option<&str>) -> Result<(), SnapshotError> {
    let from = name.map(|name| place(cluster, name)).transpose()?;
    let disk = cluster.disk();
    let roots = cluster.roots();
    let swap = swap(cluster, &roots);
    disk.create_dir_all(&layout::snapshots(swap.state_dir))?;
    swap.prepare(|number, dir| {
        let kept = from.as_ref().map(|from| from.join(number.to_string()));
        match kept {
            // It may have been taken when there were fewer hosts.
            Some(kept) if disk.look(&kept)?.is_some() => link_tree(disk, &kept, dir),
            _ => Ok(()),
        }
    })?;
    Ok(())
}

fn swap<'a>(cluster: &'a Cluster, roots: &'a [PathBuf]) -> Swap<'a> {
    Swap {
        disk: cluster.disk(),
        state_dir: cluster.state_dir().path(),
        roots,
    }
}

/// Puts what was [prepared](prepare) in the place of what lies on the disk. After an error all is as
/// it was. Nobody else may touch the state. Blocks.
pub(crate) fn bring_back(cluster: &Cluster) -> Result<(), SnapshotError> {
    let disk = cluster.disk();
    let roots = cluster.roots();
    let swap = swap(cluster, &roots);
    let read = swap.exchange(|| cluster.load());
    let read = read.inspect_err(|_| cluster.scheduler().empty_trash_soon())?;
    for root in &roots {
        disk.forget_removals_below(root);
    }
    cluster.replace_state(read);
    Ok(())
}

/// Finishes, or throws away, what a daemon that was killed left half done. Comes before anything
/// of the state is read.
pub(crate) fn recover(disk: &Disk, state_dir: &Path, hosts: usize) -> io::Result<()> {
    let snapshots = layout::snapshots(state_dir);
    if disk.look(&snapshots)?.is_none() {
        return Ok(());
    }
    let roots = layout::roots(state_dir, hosts);
    let swap = Swap {
        disk,
        state_dir,
        roots: &roots,
    };
    swap.finish()?;
    for (path, _) in disk.list(&snapshots)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let of = name.and_then(|name| name.strip_prefix(NEW.0)?.strip_suffix(NEW.1));
        if name == Some(STAGING) {
            disk.rename_unsynced(&path, &trash::place(state_dir))?;
        } else if let Some(of) = of {
            let target = snapshots.join(of);
            // The one that it was to replace may be out of the way already.
            let finishes = disk.look(&target)?.is_none() && is_whole(disk, &path)?;
            let to = if finishes {
                target
            } else {
                trash::place(state_dir)
            };
            disk.rename_unsynced(&path, &to)?;
        }
    }
    Ok(())
}

fn is_whole(disk: &Disk, snapshot: &Path) -> io::Result<bool> {
    let metadata = snapshot.join(METADATA);
    Ok(disk.look(&metadata)?.is_some()
        && serde_json::from_slice::<SnapshotMetadata>(&disk.read(&metadata)?).is_ok())
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
    let snapshots = layout::snapshots(cluster.state_dir().path());
    cluster.disk().create_dir_all(&snapshots)?;
    Ok(snapshots.join(name))
}

fn link_tree(disk: &Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.create_dir_all(to)?;
    for (path, kind) in disk.list(from)? {
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.join(name);
        if kind.is_dir() {
            link_tree(disk, &path, &target)?;
        } else {
            disk.link_or_copy(&path, &target)?;
        }
    }
    disk.sync_dir(to)
}
