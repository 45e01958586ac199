//! Users without rights. CI is root, and drops to one; others cannot become somebody else.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::DFCACHE;
use super::process::fake_dfdaemon;
use super::world::Directory;

/// `nobody`, on most systems.
pub const NOBODY: u32 = 65534;
/// Somebody else without rights.
pub const ANOTHER: u32 = 65533;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a test that needs several users can run; says so if not.
pub fn can_change_users() -> bool {
    if !is_root() {
        super::skipped("only root can run commands as other users");
    }
    is_root()
}

/// The programs where every user may look: where they were built, others may not be allowed to.
pub struct Programs {
    pub fake_dfdaemon: PathBuf,
    pub dfcache: PathBuf,
}

impl Programs {
    pub fn beside(directory: &Directory) -> Self {
        // A process of its own makes the copy: commands of other tests would inherit a file that is
        // open for writing here, and what is open for writing cannot be executed.
        let copy = |from: &Path, name: &str| {
            let to = directory.beside(name);
            let copied = Command::new("cp").arg(from).arg(&to).status().unwrap();
            assert!(copied.success());
            to
        };
        Self {
            fake_dfdaemon: copy(&fake_dfdaemon(), "fake"),
            dfcache: copy(Path::new(DFCACHE), "dfcache"),
        }
    }
}
