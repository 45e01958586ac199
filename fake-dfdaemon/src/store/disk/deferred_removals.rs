//! The files that could not be removed when they should have been. They are tried again at each collection; the next start
//! removes those that stay.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::dfdaemon::mutex::Mutex;

/// Paths whose files nobody has use for.
#[derive(Debug, Default)]
pub(in crate::store) struct DeferredRemovals(Mutex<BTreeSet<PathBuf>>);

impl DeferredRemovals {
    pub(in crate::store) fn add(&self, path: &Path) {
        self.0.lock().insert(path.to_owned());
    }

    /// Notes that a path is used again. Called before anything is put there.
    pub(in crate::store) fn forget(&self, path: &Path) {
        self.0.lock().remove(path);
    }

    pub(in crate::store) fn forget_below(&self, dir: &Path) {
        self.0.lock().retain(|path| !path.starts_with(dir));
    }

    /// Removes each by `remove`, and forgets those that are gone. Nobody gets a path back meanwhile.
    pub(in crate::store) fn sweep(&self, remove: impl Fn(&Path) -> bool) {
        self.0.lock().retain(|path| !remove(path));
    }
}
