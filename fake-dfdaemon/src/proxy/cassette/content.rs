//! Content by its SHA-256, each once.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::{CONTENT_DIRECTORY, ContentMode, ContentRef};

/// How much of a file is read at a time.
const CHUNK: usize = 256 << 10;

/// Where content goes.
#[derive(Clone, Debug)]
pub(crate) struct ContentStore {
    directory: PathBuf,
    mode: ContentMode,
}

impl ContentStore {
    pub(crate) fn new(cassette: &Path, mode: ContentMode) -> Self {
        Self {
            directory: cassette.join(CONTENT_DIRECTORY),
            mode,
        }
    }

    /// Content that comes in parts.
    pub(crate) fn sink(&self) -> io::Result<ContentSink> {
        let file = match self.mode {
            ContentMode::Keep => Some(NamedTempFile::with_prefix_in(".part-", &self.directory)?),
            ContentMode::Hash => None,
        };
        Ok(ContentSink {
            directory: self.directory.clone(),
            file,
            hash: Sha256::new(),
            length: 0,
        })
    }

    /// The content of a file from where it is.
    pub(crate) fn take_file(&self, mut file: &File) -> io::Result<ContentRef> {
        let mut sink = self.sink()?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk)?;
            let Some(read) = chunk.get(..read).filter(|read| !read.is_empty()) else {
                return sink.finish();
            };
            sink.write(read)?;
        }
    }
}

/// Content on its way in. Dropped, nothing is left of it.
#[derive(Debug)]
pub(crate) struct ContentSink {
    directory: PathBuf,
    file: Option<NamedTempFile>,
    hash: Sha256,
    length: u64,
}

impl ContentSink {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    /// The content is complete.
    pub(crate) fn finish(self) -> io::Result<ContentRef> {
        let sha256 = hex(&self.hash.finalize());
        if let Some(file) = self.file {
            match file.persist_noclobber(self.directory.join(&sha256)) {
                // The same content was there before.
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
                placed => {
                    placed?;
                }
            }
        }
        Ok(ContentRef {
            sha256,
            length: self.length,
        })
    }
}

/// The SHA-256 of a file, whose place stays where it is.
pub(super) fn sha256(file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut chunk, at)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hex(&hash.finalize()));
        };
        hash.update(bytes);
        at += read as u64;
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
