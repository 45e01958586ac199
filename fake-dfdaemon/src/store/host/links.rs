//! Symbolic links in the place of content, with the quirk for those: what they lead to is made, kept open,
//! and goes with its directory.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::HostStore;
use crate::dfdaemon::mutex::Mutex;
use crate::dfdaemon::task_id::TaskId;
use crate::store::aside::aside_of_drop;

/// How many files of a kind stay open. Those that were opened first are closed for others.
const MOST_OPEN: usize = 64;

/// Files that are open for what links of one host lead to.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// What was made below the directory of contents, and where there.
    made: Mutex<VecDeque<(PathBuf, File)>>,
    /// What was read, by the task.
    kept: Mutex<VecDeque<(TaskId, File)>>,
}

impl HostStore {
    /// Opens content of this many bytes. Where it is a symbolic link that leads to nothing, its target
    /// is made, full of zeros, as a dfdaemon does that opens it to write.
    pub(crate) fn open_content_of(&self, id: &TaskId, length: u64) -> io::Result<File> {
        let opened = self.open_content(id);
        match &opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return opened,
        }
        let Some(link) = self.content_link(id) else {
            return opened;
        };
        let target = self.disk.create_through(&link)?;
        target.set_len(length)?;
        let opened = self.open_content(id)?;
        if let Some(place) = self.place_below(&target) {
            push(&self.links.made, (place, target));
        }
        Ok(opened)
    }

    /// Where the content of a task lies, if it is a symbolic link.
    pub(crate) fn content_link(&self, id: &TaskId) -> Option<PathBuf> {
        let path = self.content_path(id);
        let found = self.disk.look(&path).ok().flatten();
        found.filter(Metadata::is_symlink).map(|_| path)
    }

    /// Opens content to read it: what was read through a link before, or else what is there.
    pub(crate) fn open_to_read(&self, id: &TaskId) -> io::Result<File> {
        match self.kept(id) {
            Some(kept) => kept,
            None => self.open_content(id),
        }
    }

    /// The file that is to be read in the place of opened content; none if that is to be read itself. As in a
    /// dfdaemon, the file that was first read through a link stays open, and later reads are of that file, whatever
    /// the link leads to by then. Blocks on the disk.
    pub(crate) fn to_read(&self, id: &TaskId, opened: &File) -> io::Result<Option<File>> {
        if let Some(kept) = self.kept(id) {
            return kept.map(Some);
        }
        if self.content_link(id).is_some() {
            push(&self.links.kept, (id.clone(), opened.try_clone()?));
        }
        Ok(None)
    }

    fn kept(&self, id: &TaskId) -> Option<io::Result<File>> {
        let kept = self.links.kept.lock();
        let kept = kept.iter().find(|(of, _)| of == id);
        kept.map(|(_, file)| file.try_clone())
    }

    /// Closes what was read of a task: it goes, or has come anew. Blocks on the disk.
    pub(super) fn close_kept(&self, id: &TaskId) {
        let mut kept = self.links.kept.lock();
        let place = kept.iter().position(|(of, _)| of == id);
        let closed = place.and_then(|place| kept.remove(place));
        drop(kept);
        drop(closed);
    }

    /// Closes what was read, as the end of a dfdaemon does. Blocks on the disk.
    pub(crate) fn close_all_kept(&self) {
        let closed = std::mem::take(&mut *self.links.kept.lock());
        drop(closed);
    }

    /// Where an open file lies below the directory of contents, if it does.
    fn place_below(&self, file: &File) -> Option<PathBuf> {
        let (path, root) = (self.disk.path_of(file).ok()?, self.root.canonicalize());
        path.strip_prefix(root.ok()?).ok().map(Path::to_owned)
    }

    /// Removes what links led to and was made below the directory of contents. Blocks on the disk.
    pub(crate) fn remove_targets(&self) {
        let made = std::mem::take(&mut *self.links.made.lock());
        for (place, file) in made {
            // What cannot be removed is swept when the state is opened again.
            if let Err(error) = self.disk.remove_open(&self.root, &place, &file) {
                tracing::warn!(place = %place.display(), %error, "a link's target stays");
            }
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        if !kept.is_empty() {
            // Users' files: their file systems may hang.
            aside_of_drop(|| drop(kept));
        }
    }
}

/// Adds a file, and closes another one for it if there are too many.
fn push<T>(open: &Mutex<VecDeque<T>>, file: T) {
    let mut open = open.lock();
    open.push_back(file);
    let closed = (open.len() > MOST_OPEN).then(|| open.pop_front()).flatten();
    drop(open);
    // To close a file may take as long as its file system likes.
    drop(closed);
}
