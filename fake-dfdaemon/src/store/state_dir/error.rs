//! Why a state directory cannot be used.

use std::io;
use std::path::PathBuf;

use crate::dfdaemon::release::Release;

/// Why a state directory cannot be used.
///
/// ```
/// use fake_dfdaemon::{FakeDfdaemon, StartError, StateDirError};
///
/// let first = FakeDfdaemon::start_blocking()?;
/// let second = FakeDfdaemon::builder().state_dir(first.state_dir());
/// let error = second.start_blocking().unwrap_err();
/// assert!(matches!(error, StartError::StateDir(StateDirError::InUse { .. })));
/// # Ok::<(), StartError>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another daemon works in it.
    #[error("the state directory {} is in use by a running fake-dfdaemon", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It was made by another release.
    #[error("the state directory {} was made by --dfdaemon-version {made_by}, not {asked}: its task ids would not fit; use that release, or another directory", path.display())]
    OtherRelease {
        /// The directory.
        path: PathBuf,
        /// The release that it was made by.
        made_by: Release,
        /// The release that was asked for.
        asked: Release,
    },
    /// It holds hosts that would be lost.
    #[error("the state directory {} holds {made_with} hosts, more than the {asked} asked for; use --hosts {made_with}, or another directory", path.display())]
    FewerHosts {
        /// The directory.
        path: PathBuf,
        /// Hosts in it.
        made_with: usize,
        /// Hosts asked for.
        asked: usize,
    },
    /// It was made by another version of fake-dfdaemon, or is damaged.
    #[error("the state directory {} has a format that this fake-dfdaemon does not know; use another directory", path.display())]
    UnknownFormat {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another user, or others may write to it.
    #[error("the state directory {} is not this user's alone: {why}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Everybody may replace it by a directory of theirs.
    #[error("the state directory {} is not safe: {} belongs to another user, and everybody may replace what lies in it; use another directory, or have its owner chmod o-w or +t it", path.display(), above.display())]
    Replaceable {
        /// The directory.
        path: PathBuf,
        /// The one above it that is open to everybody.
        above: PathBuf,
    },
    /// The system refused.
    #[error("cannot use the state directory {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
