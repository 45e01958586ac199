//! Whether a state directory is ours alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::StateDirError;

/// In a directory's mode: everybody may write to it, also where a sticky bit keeps what is in it
/// its owner's.
const WORLD_WRITABLE: u32 = 0o0002;
const WORLD_WRITABLE_OR_STICKY: u32 = 0o1002;

/// Another user who can write to the directory could make us serve, or overwrite, what is not ours.
pub(super) fn check_ours(path: &Path) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(path).map_err(io)?;
    let why = if metadata.is_symlink() {
        "it is a symbolic link"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "others may write to it (chmod go-w)"
    } else {
        return Ok(());
    };
    Err(StateDirError::NotOurs {
        path: path.to_owned(),
        why,
    })
}

/// In a directory that everybody may write to, and that is not sticky, everybody may rename what
/// is ours and put something else there. One of root's is let pass: the machine's
/// administrator made it so, as for the volumes of containers, which are theirs alone.
pub(super) fn check_above(path: &Path) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    };
    // The nearest directory that exists. Those below it are made by us.
    let nearest = path.ancestors().skip(1).find(|above| above.exists());
    let Some(nearest) = nearest else {
        return Ok(());
    };
    let nearest = fs::canonicalize(nearest).map_err(io)?;
    let own = rustix::process::geteuid().as_raw();
    for above in nearest.ancestors() {
        let metadata = fs::metadata(above).map_err(io)?;
        let of_others = ![own, 0].contains(&metadata.uid());
        if of_others && metadata.mode() & WORLD_WRITABLE_OR_STICKY == WORLD_WRITABLE {
            return Err(StateDirError::Replaceable {
                path: path.to_owned(),
                above: above.to_owned(),
            });
        }
    }
    Ok(())
}
