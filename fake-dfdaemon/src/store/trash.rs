//! Directories that were replaced: renamed at once, and removed in the background, since that takes
//! longer than everything else.

use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, layout};

/// How the names of directories to remove begin; no snapshot's name does.
const OLD: &str = ".old-";

/// An unused path for a directory that will be removed.
pub(crate) fn place(state_dir: &Path) -> PathBuf {
    let name = format!("{OLD}{}", uuid::Uuid::new_v4());
    layout::snapshots(state_dir).join(name)
}

/// Removes what was put out of the way, also by a daemon that was killed.
pub(crate) fn empty(disk: &Disk, state_dir: &Path) -> io::Result<()> {
    let snapshots = layout::snapshots(state_dir);
    if disk.look(&snapshots)?.is_none() {
        return Ok(());
    }
    for (path, _) in disk.list(&snapshots)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(OLD)) {
            disk.remove_tree(&path)?;
        }
    }
    Ok(())
}
