//! The calls in a journal's file, ordered by number, with one of them in memory at a time.
//!
//! Lines stand in the order in which calls ended, which for most is the order in which they arrived.
//! The places of the others are noted first, 16 bytes each. Then the file is read through, and each of
//! them is put in where it belongs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::iter::Peekable;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::vec;

use serde::Deserialize;

use super::{Call, Query};

/// How much of the file is read at once, in bytes.
const BUFFER: usize = 64 << 10;

/// What a daemon that goes on, and the order of calls, has to know of a call.
#[derive(Clone, Copy, Deserialize)]
struct Numbered {
    call: u64,
}

/// Whether calls may be appended to the file: it is empty, or begins as a journal does. Its first
/// line may have been cut short.
pub(super) fn is_journal(file: &File) -> io::Result<bool> {
    const BEGINNING: &[u8] = b"{\"call\":";

    let mut bytes = [0; BEGINNING.len()];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let first = bytes.get(..read).unwrap_or_default();
    let line = first.split(|byte| *byte == b'\n').next();
    Ok(line.is_none_or(|line| BEGINNING.starts_with(line)))
}

/// The highest number of a call in the file.
pub(super) fn last_call(file: &Arc<File>) -> io::Result<u64> {
    let mut last = 0;
    let mut lines = Lines::of(file)?;
    while let Some((_, line)) = lines.next()? {
        // Millions of calls may be in it: no more of them than their numbers is needed.
        if let Ok(Numbered { call }) = serde_json::from_slice(line) {
            last = last.max(call);
        }
    }
    Ok(last)
}

/// The calls that are asked for and had ended when this was made, by number.
#[derive(Debug)]
pub(crate) struct Calls {
    file: Arc<File>,
    query: Query,
    lines: Lines,
    /// The highest number so far: a line with a lower one is late.
    highest: u64,
    /// The number of each late call, and the place of its line, ordered.
    late: Peekable<vec::IntoIter<(u64, u64)>>,
    /// A call that late ones come before.
    next_in_time: Option<Call>,
}

impl Calls {
    /// Looks for the late calls. Blocks on the disk, as each step does.
    pub(super) fn find(file: &Arc<File>, query: Query) -> io::Result<Self> {
        let (mut highest, mut late) = (0, Vec::new());
        let mut lines = Lines::of(file)?;
        while let Some((place, line)) = lines.next()? {
            if let Ok(Numbered { call }) = serde_json::from_slice(line) {
                if call < highest {
                    late.push((call, place));
                }
                highest = highest.max(call);
            }
        }
        late.sort_unstable();
        Ok(Self {
            file: Arc::clone(file),
            query,
            lines: Lines::of_first(file, lines.length),
            highest: 0,
            late: late.into_iter().peekable(),
            next_in_time: None,
        })
    }

    fn next_call(&mut self) -> io::Result<Option<Call>> {
        if self.next_in_time.is_none() {
            self.next_in_time = self.read_on()?;
        }
        let before = self.next_in_time.as_ref().map(|call| call.call);
        let is_before = |(number, _): &(u64, u64)| before.is_none_or(|before| *number < before);
        while let Some((number, place)) = self.late.next_if(is_before) {
            let late = self.at(place)?;
            // Where the journal was cleared meanwhile, something else stands.
            let late = late.filter(|call| call.call == number && self.query.matches(call));
            if late.is_some() {
                return Ok(late);
            }
        }
        Ok(self.next_in_time.take())
    }

    /// The next call that is asked for and not late.
    fn read_on(&mut self) -> io::Result<Option<Call>> {
        while let Some((_, line)) = self.lines.next()? {
            let Ok(Numbered { call: number }) = serde_json::from_slice(line) else {
                continue;
            };
            if number < self.highest {
                continue;
            }
            self.highest = number;
            let call = serde_json::from_slice(line).ok();
            if let Some(call) = call.filter(|call| self.query.matches(call)) {
                return Ok(Some(call));
            }
        }
        Ok(None)
    }

    fn at(&self, place: u64) -> io::Result<Option<Call>> {
        let mut lines = Lines::between(&self.file, place, self.lines.length);
        let line = lines.next()?;
        Ok(line.and_then(|(_, line)| serde_json::from_slice(line).ok()))
    }
}

impl Iterator for Calls {
    type Item = io::Result<Call>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_call().transpose()
    }
}

/// The lines of a file, each with its place.
#[derive(Debug)]
struct Lines {
    reader: BufReader<Take<From>>,
    place: u64,
    line: Vec<u8>,
    /// What the file has, or as much of it as is read.
    length: u64,
}

impl Lines {
    fn of(file: &Arc<File>) -> io::Result<Self> {
        Ok(Self::of_first(file, file.metadata()?.len()))
    }

    fn of_first(file: &Arc<File>, length: u64) -> Self {
        Self::between(file, 0, length)
    }

    fn between(file: &Arc<File>, place: u64, length: u64) -> Self {
        let from = From {
            file: Arc::clone(file),
            place,
        };
        let left = length.saturating_sub(place);
        Self {
            reader: BufReader::with_capacity(BUFFER, from.take(left)),
            place,
            line: Vec::new(),
            length,
        }
    }

    fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line)?;
        let place = self.place;
        self.place += read as u64;
        Ok((read > 0).then_some((place, self.line.as_slice())))
    }
}

/// Reads a file from a place on, wherever others are in it. The path is not asked again: something
/// else may be there by now.
#[derive(Debug)]
struct From {
    file: Arc<File>,
    place: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}
