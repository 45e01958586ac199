//! The journal's file: whether it is one, what a start has to know of it, and its bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::Deserialize;

use super::index::Index;
use super::line::Line;

/// How much of the file is read at once where line follows line, in bytes.
pub(super) const BUFFER: usize = 64 << 10;

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
        if let Some(line) = Line::parse(&line) {
            index.add_line(&line, place);
            forgot += index.keep(limit);
            last = last.max(line.call);
        } else if let Ok(Numbered { call }) = serde_json::from_slice(&line) {
            last = last.max(call);
        }
        place += read as u64;
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
    pub(super) fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
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
