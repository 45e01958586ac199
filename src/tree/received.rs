//! The manifest of a tree, as a daemon sends it.

use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::manifest::{self, Entry};
use crate::client::Client;
use crate::content::thread::{finished, on_thread};
use crate::export::ExportRequest;
use crate::types::error::{Error, ErrorKind, Result};

impl Client {
    /// Gets the manifest, which its id proves, and reads it.
    pub(super) async fn manifest(&self, request: &ExportRequest) -> Result<Vec<Entry>> {
        let task = self.stat(&request.task_id).await?;
        let no_tree = || {
            Error::integrity(format!("task {} is not a tree", request.task_id))
                .hint("a tree is what an import of a directory made")
        };
        let lengths = manifest::PREFIX.len() as u64..=manifest::MAX_LENGTH;
        if !lengths.contains(&task.content_length) {
            return Err(no_tree());
        }
        let file = tempfile::tempfile().map_err(|source| {
            let message = format!("cannot write in {}", std::env::temp_dir().display());
            Error::local_file(message).because(source)
        })?;
        let request = ExportRequest {
            verify: true,
            digest: None,
            progress: None,
            ..request.clone()
        };
        let is_other = Arc::new(AtomicBool::new(false));
        let writer = ManifestWriter {
            file: file.try_clone().map_err(|source| {
                Error::new(ErrorKind::Failure, "cannot read the manifest").because(source)
            })?,
            written: 0,
            is_other: Arc::clone(&is_other),
        };
        let exported = self.export_to_blocking_writer(&request, writer).await;
        if is_other.load(Ordering::SeqCst) {
            return Err(no_tree());
        }
        exported?;
        let read = on_thread("manifest", move || {
            let mut file = file;
            file.rewind()
                .map_err(|source| Error::local_file("cannot read the manifest").because(source))?;
            manifest::read(io::BufReader::new(file))
        })?;
        finished(read).await
    }
}

/// Takes a manifest, and nothing else.
struct ManifestWriter {
    file: File,
    written: u64,
    is_other: Arc<AtomicBool>,
}

impl Write for ManifestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at = usize::try_from(self.written).unwrap_or(usize::MAX);
        let expected = manifest::PREFIX.get(at..).unwrap_or_default();
        let length = expected.len().min(bytes.len());
        let too_long = self.written + bytes.len() as u64 > manifest::MAX_LENGTH;
        if bytes[..length] != expected[..length] || too_long {
            self.is_other.store(true, Ordering::SeqCst);
            return Err(io::Error::other("it is not a manifest"));
        }
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
