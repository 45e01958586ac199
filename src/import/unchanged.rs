//! Whether the file of an import changed while dfdaemon read it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dfdaemon_api::task_id::{Parameters, TaskIdScheme};

use crate::import::{ImportRequest, file_id};
use crate::types::error::{Error, Result};
use crate::types::options::PieceLength;

/// What the file system tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    links: u64,
}

impl State {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            links: metadata.nlink(),
        }
    }

    pub(super) fn length(self) -> u64 {
        self.length
    }
}

/// Checks that the file at `path` is as it was before it was imported as task `task_id`.
///
/// A writer can put the modification time back, but not the change time. dfdaemon 1.5 sets that one
/// too, with the hard link that it makes: where the number of links differs, the change time tells
/// nothing. Where nothing else differs, the content decides, as its hash is the id.
pub(super) fn check(
    path: &Path,
    before: State,
    request: &ImportRequest,
    task_id: &str,
) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else {
        // Moved away or removed: what dfdaemon had opened was whole.
        return Ok(());
    };
    let now = State::of(&metadata);
    if now == before || now.file != before.file {
        return Ok(());
    }
    if (now.length, now.modified) != (before.length, before.modified) {
        return Err(changed("it changed while it was imported"));
    }
    if now.links != before.links {
        return Ok(());
    }
    if request.content_for_calculating_task_id.is_some() {
        return Err(changed(
            "its change time changed while it was imported, and an id that was made from a text \
             does not tell whether its content did",
        ));
    }
    let scheme = if task_id.len() == SHA256_LENGTH {
        TaskIdScheme::Sha256
    } else {
        TaskIdScheme::Crc32
    };
    let parameters = Parameters {
        tag: request.tag.as_deref(),
        application: request.application.as_deref(),
        piece_length: request.piece_length.map(PieceLength::bytes),
    };
    match file_id(path, scheme, parameters) {
        Ok(id) if id == task_id => Ok(()),
        Ok(_) => Err(changed(
            "it changed while it was imported, and its modification time was put back",
        )),
        // Not for this user to read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(Error::local_file("cannot read it again").because(error)),
    }
}

/// How many digits an id has that is a SHA-256.
const SHA256_LENGTH: usize = 64;

fn changed(why: &str) -> Error {
    Error::local_file(why).hint("import it when nobody writes to it")
}
