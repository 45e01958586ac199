//! A file that this side writes and the daemon reads, in a private directory; removed when dropped.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode};

use super::private_directory::{PrivateDirectory, is_as_mighty};
use super::{HOLD, PRIVATE_DIRECTORY, SEARCH_DIRECTORY, Target};

/// Read by a daemon of the same user or of root.
const PRIVATE_FILE: u32 = 0o600;
/// Read by a daemon of another user, that alone knows its name.
const OPEN_FILE: u32 = 0o644;

/// A new file below a directory.
#[derive(Debug)]
pub(crate) struct PrivateFile {
    directory: PrivateDirectory,
    file: File,
}

impl PrivateFile {
    /// Creates it, empty, for a daemon that runs as `daemon_user`, after what killed processes left
    /// in the directory was removed.
    pub(crate) fn create(directory: &Path, daemon_user: Option<u32>) -> io::Result<Self> {
        let held = rustix::fs::openat(CWD, directory, HOLD, Mode::empty())?;
        let beside = directory.join("content");
        let target = Target {
            is_private: false,
            ..Target::in_private(Arc::new(File::from(held)), beside)
        };
        let (directory_mode, file_mode) = if is_as_mighty(daemon_user) {
            (PRIVATE_DIRECTORY, PRIVATE_FILE)
        } else {
            (SEARCH_DIRECTORY, OPEN_FILE)
        };
        let directory = PrivateDirectory::create_with_mode(target, directory_mode)?;
        let disk = directory.target().disk();
        let file = disk.create(directory.directory(), directory.inner_name(), file_mode)?;
        // The umask had its say.
        directory.set_permissions(&file, file_mode)?;
        Ok(Self { directory, file })
    }

    /// The file, open for reading and writing.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where the daemon finds it.
    pub(crate) fn path(&self) -> &Path {
        self.directory.inner()
    }
}
