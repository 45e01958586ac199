//! The calls that the index names, read from the journal's file or from memory.

use std::io;
use std::sync::Arc;

use super::file::{BUFFER, JournalFile};
use super::index::{Found, IndexEntry, UNWRITTEN};
use super::shared::Shared;
use super::{Call, Query};

/// How much of the file is read at once where lines do not follow each other, in bytes.
const ONE_LINE: usize = 4 << 10;

/// The calls that are asked for and had ended when this was made, by number, one of them in memory
/// at a time. Each step blocks on the disk.
#[derive(Debug)]
pub(crate) struct Calls {
    found: Found,
    query: Query,
    lines: Lines,
}

impl Calls {
    pub(super) fn new(
        shared: &Arc<Shared>,
        file: Option<Arc<JournalFile>>,
        query: Query,
        found: Found,
    ) -> Self {
        Self {
            found,
            query,
            lines: Lines::new(shared, file),
        }
    }
}

impl Iterator for Calls {
    type Item = io::Result<Call>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.found.next()?;
            let call = self.lines.call(entry);
            let call = call.map(|call| call.filter(|call| self.query.matches(call)));
            if let Some(call) = call.transpose() {
                return Some(call);
            }
        }
    }
}

/// The lines that an index names: those of the file, and those that are not in it yet.
#[derive(Debug)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    file: Option<FileLines>,
}

impl Lines {
    /// `file` is the one that was written when the index was looked at.
    pub(super) fn new(shared: &Arc<Shared>, file: Option<Arc<JournalFile>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            file: file.map(FileLines::of),
        }
    }

    /// A call, unless the journal was cleared meanwhile.
    pub(super) fn call(&mut self, mut entry: IndexEntry) -> io::Result<Option<Call>> {
        if entry.place == UNWRITTEN {
            let held = self.shared.held();
            if let Some(line) = held.unwritten(entry.call) {
                drop(held);
                return Ok(serde_json::from_slice(&line).ok());
            }
            // It was written since then.
            let Some(place) = held.index.place_of(entry.call) else {
                return Ok(None);
            };
            entry.place = place;
            let now = held.file.clone();
            drop(held);
            self.look_into(now);
        }
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("the journal is closed"));
        };
        let call: Option<Call> = serde_json::from_slice(file.at(entry.place)?).ok();
        // Where the journal was cleared meanwhile, something else stands.
        Ok(call.filter(|call| call.call == entry.call))
    }

    fn look_into(&mut self, file: Option<Arc<JournalFile>>) {
        let Some(file) = file else { return };
        let is_it = |known: &FileLines| Arc::ptr_eq(&known.file, &file);
        if !self.file.as_ref().is_some_and(is_it) {
            self.file = Some(FileLines::of(file));
        }
    }
}

/// The lines of a file by their places. Most follow each other, so some are read ahead.
#[derive(Debug)]
struct FileLines {
    file: Arc<JournalFile>,
    ahead: Vec<u8>,
    /// Where in the file `ahead` begins.
    place: u64,
}

impl FileLines {
    fn of(file: Arc<JournalFile>) -> Self {
        Self {
            file,
            ahead: Vec::new(),
            place: 0,
        }
    }

    /// The line that begins at a place, or what there is of it.
    fn at(&mut self, place: u64) -> io::Result<&[u8]> {
        let end = self.place + self.ahead.len() as u64;
        let offset = usize::try_from(place.wrapping_sub(self.place)).unwrap_or(usize::MAX);
        let rest = self.ahead.get(offset..).unwrap_or_default();
        if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            return Ok(self.ahead.get(offset..offset + length).unwrap_or_default());
        }
        let follows = (self.place..=end).contains(&place) && end > 0;
        let mut wanted = if follows { BUFFER } else { ONE_LINE };
        self.place = place;
        loop {
            self.ahead.resize(wanted, 0);
            let read = self.file.read_at(&mut self.ahead, place)?;
            let is_end = read < self.ahead.len();
            self.ahead.truncate(read);
            let length = self.ahead.iter().position(|byte| *byte == b'\n');
            if length.is_some() || is_end {
                let length = length.unwrap_or(read);
                return Ok(self.ahead.get(..length).unwrap_or_default());
            }
            wanted = wanted.saturating_mul(4);
        }
    }
}
