//! A cassette as it is written: content first, then the line of its call, in one write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::content::ContentStore;
use super::{CALLS_FILE, CONTENT_DIRECTORY, Call, CassetteError, HEAD_FILE, Head};

/// For the user alone: paths and content are in it.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A cassette that is being recorded.
#[derive(Debug)]
pub(crate) struct CassetteWriter {
    path: PathBuf,
    head: Head,
    calls: File,
    /// How much of the file is whole lines.
    length: u64,
}

impl CassetteWriter {
    /// Begins a cassette in a directory that is new or empty.
    pub(crate) fn create(path: &Path, head: Head) -> Result<Self, CassetteError> {
        let io = |source| CassetteError::Io {
            path: path.to_owned(),
            source,
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE);
        builder.create(path).map_err(io)?;
        if fs::read_dir(path).map_err(io)?.next().is_some() {
            return Err(CassetteError::NotEmpty {
                path: path.to_owned(),
            });
        }
        builder.create(path.join(CONTENT_DIRECTORY)).map_err(io)?;
        let calls = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(FILE_MODE)
            .open(path.join(CALLS_FILE))
            .map_err(io)?;
        let writer = Self {
            path: path.to_owned(),
            head,
            calls,
            length: 0,
        };
        writer.write_head().map_err(io)?;
        Ok(writer)
    }

    pub(crate) fn content(&self) -> ContentStore {
        ContentStore::new(&self.path, self.head.content)
    }

    /// Notes the release, once it is known.
    pub(crate) fn set_release(&mut self, release: &str) -> io::Result<()> {
        if self.head.release.is_some() {
            return Ok(());
        }
        self.head.release = Some(release.to_owned());
        self.write_head()
    }

    /// Adds a call whose content is there.
    pub(crate) fn append(&mut self, call: &Call) -> io::Result<()> {
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        let written = self.calls.write_all(&line);
        if written.is_err() {
            // A part of a line would spoil the next one.
            let _ = self.calls.set_len(self.length);
            return written;
        }
        self.length += line.len() as u64;
        Ok(())
    }

    fn write_head(&self) -> io::Result<()> {
        let mut file = NamedTempFile::with_prefix_in(".part-", &self.path)?;
        serde_json::to_writer_pretty(&mut file, &self.head)?;
        file.write_all(b"\n")?;
        file.persist(self.path.join(HEAD_FILE))?;
        Ok(())
    }
}
