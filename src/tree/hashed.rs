//! A file of a tree, read once for everything that is calculated of it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};
use rustix::fs::OFlags;

use super::manifest::Sha256Digest;
use crate::content::ContentReader;
use crate::import::{CheckedImport, ImportRequest};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::options::PieceLength;

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 256 << 10;

/// A file that was read: what its content hashes to.
pub(super) struct Hashed {
    /// None if a copy is imported.
    pub(super) import: Option<CheckedImport>,
    pub(super) sha256: Sha256Digest,
    ids: [(TaskIdScheme, String); 2],
}

impl Hashed {
    /// Reads the file. Blocks.
    pub(super) fn of(request: ImportRequest, length: u64, is_staged: bool) -> Result<Self> {
        let path = request.path.clone();
        let cannot =
            |source| Error::local_file(format!("cannot read {}", path.display())).because(source);
        let parameters = request.clone();
        let parameters = Parameters {
            tag: parameters.tag.as_deref(),
            application: parameters.application.as_deref(),
            piece_length: parameters.piece_length.map(PieceLength::bytes),
        };
        let import = if is_staged {
            None
        } else {
            Some(request.check()?)
        };
        let file = File::options()
            .read(true)
            // A FIFO that has taken the file's place meanwhile must not block.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .map_err(cannot)?;
        let mut hashers = [TaskIdScheme::Crc32, TaskIdScheme::Sha256].map(TaskIdHasher::new);
        let capacity = usize::try_from(length).unwrap_or(READ_LENGTH);
        let part = capacity.saturating_add(1).min(READ_LENGTH);
        let mut content = ContentReader::new(&file, part);
        let mut hashed = 0;
        while let Some(bytes) = content.next_part().map_err(cannot)? {
            hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
            hashed += bytes.len() as u64;
        }
        if hashed != length {
            return Err(Error::local_file("it changed while it was read"));
        }
        let [crc32, sha256] = hashers;
        let plain = sha256.clone().finish_plain();
        let digest = plain
            .parse()
            .map_err(|why: String| Error::new(ErrorKind::Failure, "cannot hash it").because(why))?;
        Ok(Self {
            import,
            sha256: digest,
            ids: [
                (TaskIdScheme::Crc32, crc32.finish(parameters)),
                (TaskIdScheme::Sha256, sha256.finish(parameters)),
            ],
        })
    }

    pub(super) fn id(&self, scheme: TaskIdScheme) -> &str {
        let [first, second] = &self.ids;
        if first.0 == scheme {
            &first.1
        } else {
            &second.1
        }
    }

    /// By which scheme the file has this id.
    pub(super) fn scheme_of(&self, id: &str) -> Option<TaskIdScheme> {
        let found = self.ids.iter().find(|(_, known)| known == id);
        found.map(|(scheme, _)| *scheme)
    }
}
