//! The exchange of all directories of a state for others: wholly, or not at all.
//!
//! The new ones are made ready in one directory. Renamed to [`COMMITTED`] it is the decision: a start
//! that finds it finishes what was begun, one that finds it half made throws it away. As long as the
//! daemon lives, an exchange that fails is undone. An old directory waits beside the new ones, so at
//! any moment each root is at one of two places, and which tells how far it has come.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::Disk;
use crate::store::{layout, trash};

/// The directories to come, being made.
pub(super) const STAGING: &str = ".swap-new";

/// The directories to come, made, and those that were there before.
pub(super) const COMMITTED: &str = ".swap";

/// One exchange.
#[derive(Debug)]
pub(super) struct Swap<'a> {
    pub(super) disk: &'a Disk,
    pub(super) state_dir: &'a Path,
    /// What is exchanged, in the order that the directories to come are numbered.
    pub(super) roots: &'a [PathBuf],
}

impl Swap<'_> {
    /// Makes the directories to come, each by `make`. Nothing has changed if that fails.
    pub(super) fn prepare(&self, make: impl Fn(usize, &Path) -> io::Result<()>) -> io::Result<()> {
        let being_made = self.place(STAGING);
        // A failed one may have left it.
        self.disk.remove_tree(&being_made)?;
        let mut numbers = 0..self.roots.len();
        let made = numbers.try_for_each(|number| {
            let dir = being_made.join(number.to_string());
            self.disk.create_dir_all(&dir)?;
            make(number, &dir)
        });
        made.inspect_err(|_| self.throw_away(&being_made))
    }

    /// Brings the directories to come into place. They are, or after an error those that were
    /// there before.
    pub(super) fn exchange<T>(&self, look_at: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (being_made, decided) = (self.place(STAGING), self.place(COMMITTED));
        let exchanged = (|| {
            self.disk.rename_unsynced(&being_made, &decided)?;
            self.disk.sync_dir(&self.place(""))?;
            self.forward()?;
            let seen = look_at()?;
            self.disk
                .rename_unsynced(&decided, &trash::place(self.state_dir))?;
            Ok(seen)
        })();
        exchanged.inspect_err(|_| {
            if let Err(error) = self.back() {
                tracing::error!(%error, "a restore is half done: start again to finish it");
            }
            self.throw_away(&being_made);
        })
    }

    /// Finishes what a daemon that was killed had decided.
    pub(super) fn finish(&self) -> io::Result<()> {
        let decided = self.place(COMMITTED);
        if self.disk.look(&decided)?.is_some() {
            self.forward()?;
            self.disk
                .rename_unsynced(&decided, &trash::place(self.state_dir))?;
        }
        Ok(())
    }

    fn forward(&self) -> io::Result<()> {
        for (number, root) in self.roots.iter().enumerate() {
            let (new, old) = self.waiting(number);
            if self.disk.look(&new)?.is_none() {
                continue;
            }
            if self.disk.look(root)?.is_some() {
                self.move_dir(root, &old)?;
            }
            self.move_dir(&new, root)?;
        }
        Ok(())
    }

    fn back(&self) -> io::Result<()> {
        let decided = self.place(COMMITTED);
        if self.disk.look(&decided)?.is_none() {
            return Ok(());
        }
        for (number, root) in self.roots.iter().enumerate().rev() {
            let (new, old) = self.waiting(number);
            if self.disk.look(&old)?.is_none() {
                continue;
            }
            if self.disk.look(root)?.is_some() {
                self.move_dir(root, &new)?;
            }
            self.move_dir(&old, root)?;
        }
        self.disk
            .rename_unsynced(&decided, &trash::place(self.state_dir))
    }

    /// Where a root's directory to come waits, and the one that was there before.
    fn waiting(&self, number: usize) -> (PathBuf, PathBuf) {
        let decided = self.place(COMMITTED);
        let old = decided.join(format!("old-{number}"));
        (decided.join(number.to_string()), old)
    }

    fn move_dir(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(parent) = to.parent() {
            self.disk.create_dir_all(parent)?;
        }
        self.disk.rename_unsynced(from, to)?;
        for moved in [to, from] {
            self.disk.sync_dir(moved.parent().unwrap_or(moved))?;
        }
        Ok(())
    }

    fn throw_away(&self, dir: &Path) {
        if let Err(error) = self.disk.remove_tree(dir) {
            tracing::warn!(path = %dir.display(), %error, "left for the next start");
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        layout::snapshots(self.state_dir).join(name)
    }
}
