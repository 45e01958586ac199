//! Reading the journal's file: what a start has to know of it, and the lines that the index names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::Deserialize;

use super::index::{Entry, Found, Index, Line, UNWRITTEN};
use super::writer::Shared;
use super::{Call, Query};

/// How much of the file is read at once, in bytes: where line follows line, and where they do not.
const BUFFER: usize = 64 << 10;
const ONE_LINE: usize = 4 << 10;

/// What a daemon that goes on has to know of a line that says nothing else.
#[derive(Clone, Copy, Deserialize)]
struct Numbered {
    call: u64,
}

/// Whether calls may be appended to the file: it is empty, or begins as a journal does. Its first
/// line may have been cut short.
pub(super) fn is_journal(file: &File) -> io::Result<bool> {
    const BEGINNING: &[u8] = b"{\"call\":";

    let mut bytes = [0; BEGINNING.len()];
    let read = read_at(file, &mut bytes, 0)?;
    let first = bytes.get(..read).unwrap_or_default();
    let line = first.split(|byte| *byte == b'\n').next();
    Ok(line.is_none_or(|line| BEGINNING.starts_with(line)))
}

/// What a file holds.
pub(super) struct Contents {
    /// Its last calls.
    pub(super) index: Index,
    /// How many there are before those.
    pub(super) forgot: u64,
    /// The highest number that any line has.
    pub(super) last: u64,
}

/// Reads the file, for the last `limit` calls in it.
pub(super) fn index(file: &Arc<JournalFile>, limit: usize) -> io::Result<Contents> {
    let (mut index, mut forgot, mut last, mut place) = (Index::default(), 0, 0, 0);
    let from = From {
        file: Arc::clone(file),
        place,
    };
    let mut lines = BufReader::with_capacity(BUFFER, from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(Contents {
                index,
                forgot,
                last,
            });
        }
        // Millions of calls may be in it: no more of them than the index takes is made.
        if let Ok(line) = serde_json::from_slice::<Line<'_>>(&line) {
            index.add_line(&line, place);
            forgot += index.keep(limit);
            last = last.max(line.call);
        } else if let Ok(Numbered { call }) = serde_json::from_slice(&line) {
            last = last.max(call);
        }
        place += read as u64;
    }
}

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
    pub(super) fn call(&mut self, mut entry: Entry) -> io::Result<Option<Call>> {
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

/// A file of the journal.
#[derive(Debug)]
pub(super) struct JournalFile {
    pub(super) file: File,
    /// How many bytes were written before its first: the oldest calls were in them.
    pub(super) begins: u64,
}

impl JournalFile {
    /// Fills a buffer from a place on, or as much of it as the file has.
    fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
        read_at(&self.file, buffer, place.saturating_sub(self.begins))
    }
}

/// Fills a buffer from a place on, or as much of it as the file has.
fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, place + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Reads a file from a place on, wherever others are in it. The path is not asked again: something
/// else may be there by now.
#[derive(Debug)]
pub(super) struct From {
    pub(super) file: Arc<JournalFile>,
    pub(super) place: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.file.read_at(buffer, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}
