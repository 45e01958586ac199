//! The file of a journal that is to be opened: locked and checked, and not read yet. Reading a long one takes a
//! while, in which a start opens the rest of its state. How lines are read is in [`super::file`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::runtime::Handle;

use super::file::{self, JournalFile};
use super::readers::Readers;
use super::running::Running;
use super::shared::Shared;
use super::writer::{Put, SHORT, Writer};
use super::{Journal, lock};
use crate::store::private_files;

/// A file that takes longer to read than a thread takes to start, in bytes.
const LONG: u64 = 1 << 20;

/// The file of a journal that is to be opened.
pub(crate) struct Claimed {
    path: PathBuf,
    limit: usize,
    file: JournalFile,
    put: Put,
    length: u64,
    /// Whether it ends in the middle of a line.
    is_cut: bool,
    runtime: Option<Handle>,
}

impl Claimed {
    /// The file at `path`, which lines are written to by `put`.
    pub(super) fn new(path: &Path, limit: usize, put: Put) -> io::Result<Self> {
        let file = private_files::append(path)?;
        lock(&file)?;
        if !file::is_journal(&file)? {
            let why =
                "its first line is not a call of a journal: name a file that does not exist yet";
            return Err(io::Error::other(why));
        }
        let length = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            limit,
            put,
            length,
            // By a daemon that was killed.
            is_cut: !ends_with_a_line(&file, length)?,
            file: JournalFile { file, begins: 0 },
            runtime: Handle::try_current().ok(),
        })
    }

    /// Whether there is so much to read that a thread of its own is worth it.
    pub(crate) fn is_long(&self) -> bool {
        self.length > LONG
    }

    /// Reads it, and goes on where it ends.
    pub(crate) fn read(self) -> io::Result<Journal> {
        let file = Arc::new(self.file);
        let contents = file::index(&file, self.limit)?;
        let last_call = contents.last;
        let shared = Arc::new(Shared::new(&file, contents, self.limit));
        let writer = Writer {
            shared: Arc::clone(&shared),
            path: self.path.clone(),
            file,
            put: self.put,
            is_cut: self.is_cut,
            grows: false,
            looks_at: SHORT,
        };
        writer.start()?;
        Ok(Journal {
            path: self.path,
            shared,
            last_call: AtomicU64::new(last_call),
            running: Running::default(),
            readers: Readers::default(),
            runtime: self.runtime,
        })
    }
}

fn ends_with_a_line(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last == *b"\n")
}
