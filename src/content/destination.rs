//! Where content goes: into a file, at each piece's offset, or into a stream, in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::io::Errno;

use super::ContentCheck;
use crate::output::disk::{Disk, room};
use crate::output::{cannot_write, holes};
use crate::types::error::{Error, ErrorKind, Interruption, Result};

/// Receives content in parts that neither overlap nor repeat, in any order.
pub(crate) trait Destination: Send + 'static {
    /// Takes the bytes at `offset`, which may yet turn out to be damaged.
    fn write(&mut self, offset: u64, content: Bytes) -> Result<()>;

    /// Called when all that was written until now proved to be what was promised.
    fn verified(&mut self) -> Result<()>;

    /// Called after the last part, if all went well until then.
    fn finish(self) -> Result<()>;
}

/// How much is read back at once, in bytes.
const READ_LENGTH: usize = 256 << 10;

/// A file that content is written into as it comes, hashed as far as there is no gap.
#[derive(Debug)]
pub(crate) struct PositionedWriter {
    file: Arc<File>,
    disk: Disk,
    shown: String,
    /// How long it is going to be, until it is.
    length: Option<u64>,
    /// Whether what is not written reads as zeros.
    has_holes: bool,
    /// What it leaves of the file system's room to others, in bytes.
    leaves: u64,
    check: Option<ContentCheck>,
    /// Hashed so far.
    hashed: u64,
    /// Written beyond a gap: end by start. Empty without a check.
    beyond: BTreeMap<u64, u64>,
    sync: bool,
}

impl PositionedWriter {
    /// `shown` is the file's name for errors.
    pub(crate) fn new(file: Arc<File>, disk: Disk, shown: String) -> Self {
        Self {
            file,
            disk,
            shown,
            length: None,
            has_holes: false,
            leaves: 0,
            check: None,
            hashed: 0,
            beyond: BTreeMap::new(),
            sync: false,
        }
    }

    /// It is a new file, which is going to be so long. Zeros take no space of it.
    pub(crate) fn of_length(self, length: u64) -> Self {
        Self {
            length: Some(length),
            ..self
        }
    }

    pub(crate) fn checked(self, check: Option<ContentCheck>) -> Self {
        Self { check, ..self }
    }

    /// With `sync`, the file is on disk when all is finished.
    pub(crate) fn synced(self, sync: bool) -> Self {
        Self { sync, ..self }
    }

    fn write_at(&mut self, offset: u64, content: &[u8]) -> io::Result<()> {
        if let Some(length) = self.length.take() {
            self.has_holes = self.disk.set_length(&self.file, length)?;
            self.leaves = left_to_others(room(&self.file), length);
        }
        if self.leaves > 0 {
            let data: usize = holes::data(content, offset).map(|data| data.len()).sum();
            if !fits(room(&self.file), data, self.leaves) {
                return Err(Errno::NOSPC.into());
            }
        }
        if self.has_holes {
            self.disk.write_data_at(&self.file, content, offset)
        } else {
            self.disk.write_all_at(&self.file, content, offset)
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        cannot_write(&self.shown, source)
    }

    /// Hashes what lies on disk behind the gap that was just closed.
    fn catch_up(&mut self, check: &mut ContentCheck) -> io::Result<()> {
        while let Some(end) = self.beyond.remove(&self.hashed) {
            let mut buffer = vec![0; READ_LENGTH];
            while self.hashed < end {
                let left = usize::try_from(end - self.hashed).unwrap_or(READ_LENGTH);
                let part = &mut buffer[..left.min(READ_LENGTH)];
                self.file.read_exact_at(part, self.hashed)?;
                check.update(part);
                self.hashed += part.len() as u64;
            }
        }
        Ok(())
    }
}

/// A file that is longer than the room may be full of holes, which only its bytes tell. So it is begun,
/// and given up before the room is all gone: others write there too.
fn left_to_others(room: Option<u64>, length: u64) -> u64 {
    room.filter(|room| *room < length)
        .map_or(0, |room| (room / 16).max(1))
}

/// Whether the room minus the data is at least `leaves`.
fn fits(room: Option<u64>, data: usize, leaves: u64) -> bool {
    data == 0 || room.is_none_or(|room| room >= leaves.saturating_add(data as u64))
}

impl Destination for PositionedWriter {
    fn write(&mut self, offset: u64, content: Bytes) -> Result<()> {
        let written = self.write_at(offset, &content);
        written.map_err(|source| self.failed(source))?;
        let Some(mut check) = self.check.take() else {
            return Ok(());
        };
        let end = offset + content.len() as u64;
        if offset == self.hashed {
            check.update(&content);
            self.hashed = end;
            let caught_up = self.catch_up(&mut check);
            caught_up.map_err(|source| self.failed(source))?;
        } else {
            // A piece that comes in parts makes one entry.
            match self.beyond.range_mut(..offset).next_back() {
                Some((_, last)) if *last == offset => *last = end,
                _ => {
                    self.beyond.insert(offset, end);
                }
            }
        }
        self.check = Some(check);
        Ok(())
    }

    /// The file is nobody's before all is verified.
    fn verified(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if let Some(check) = self.check.take() {
            check.finish()?;
        }
        if self.sync {
            let synced = self.disk.sync(&self.file);
            synced.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }
}

/// Bytes that wait in memory for a gap to close; what comes beyond them waits on disk.
const MAX_WAITING: usize = 64 << 20;

/// Bytes of a piece that wait in memory until it is verified; the rest of it waits on disk. The longest
/// piece that dfdaemon chooses by itself has 64 MiB, an importer may ask for any length, and a server that
/// is hostile ends no piece at all.
const MAX_UNVERIFIED: usize = 72 << 20;

/// What a part costs beside its bytes while it waits, in bytes: a server may send very small pieces.
const ENTRY: usize = 128;

/// Shorter parts of a piece are joined, in bytes: a server may send a byte a frame.
const TINY: usize = 4 << 10;

/// A stream that gets the content in order, whatever order it comes in, and none of a piece before
/// the piece is verified: what a stream got cannot be taken back.
#[derive(Debug)]
pub(crate) struct OrderedWriter<W> {
    writer: W,
    /// The piece that is being received.
    unverified: Vec<(u64, Waiting)>,
    unverified_bytes: usize,
    max_unverified: usize,
    /// Tiny parts of it that came last, joined.
    tiny: (u64, BytesMut),
    check: Option<ContentCheck>,
    written: u64,
    waiting: BTreeMap<u64, Waiting>,
    waiting_bytes: usize,
    max_waiting: usize,
    /// Made when memory is not enough; without a name, so it cannot be left behind.
    spill: Option<File>,
    spill_end: u64,
    /// How many parts wait there. With none, it is filled from its beginning again.
    spilled: usize,
    disk: Disk,
}

#[derive(Debug)]
enum Waiting {
    InMemory(Bytes),
    OnDisk { offset: u64, length: u64 },
}

impl<W: Write + Send + 'static> OrderedWriter<W> {
    pub(crate) fn new(writer: W, check: Option<ContentCheck>) -> Self {
        Self {
            writer,
            unverified: Vec::new(),
            unverified_bytes: 0,
            max_unverified: MAX_UNVERIFIED,
            tiny: (0, BytesMut::new()),
            check,
            written: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            max_waiting: MAX_WAITING,
            spill: None,
            spill_end: 0,
            spilled: 0,
            disk: Disk::default(),
        }
    }

    fn emit(&mut self, content: &[u8]) -> Result<()> {
        if let Some(check) = &mut self.check {
            check.update(content);
        }
        self.writer.write_all(content).map_err(stream_failed)?;
        self.written += content.len() as u64;
        Ok(())
    }

    fn end_tiny(&mut self) -> Result<()> {
        let (offset, content) = std::mem::take(&mut self.tiny);
        if content.is_empty() {
            return Ok(());
        }
        self.keep_unverified(offset, content.freeze())
    }

    fn keep_unverified(&mut self, offset: u64, content: Bytes) -> Result<()> {
        let bytes = content.len() + ENTRY;
        let part = if self.unverified_bytes + bytes <= self.max_unverified {
            self.unverified_bytes += bytes;
            Waiting::InMemory(content)
        } else {
            self.spill(&content)?
        };
        self.unverified.push((offset, part));
        Ok(())
    }

    /// Keeps a verified part until the gap before it closes.
    fn put_aside(&mut self, offset: u64, part: Waiting) -> Result<()> {
        let part = match part {
            Waiting::InMemory(content) => {
                let bytes = content.len() + ENTRY;
                if self.waiting_bytes + bytes <= self.max_waiting {
                    self.waiting_bytes += bytes;
                    Waiting::InMemory(content)
                } else {
                    self.spill(&content)?
                }
            }
            on_disk @ Waiting::OnDisk { .. } => on_disk,
        };
        self.waiting.insert(offset, part);
        Ok(())
    }

    fn spill(&mut self, content: &[u8]) -> Result<Waiting> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => {
                let spill = self.disk.create_unnamed();
                self.spill.insert(spill.map_err(spill_failed)?)
            }
        };
        let written = self.disk.write_all_at(spill, content, self.spill_end);
        written.map_err(spill_failed)?;
        let place = Waiting::OnDisk {
            offset: self.spill_end,
            length: content.len() as u64,
        };
        self.spill_end += content.len() as u64;
        self.spilled += 1;
        Ok(place)
    }

    fn emit_part(&mut self, part: Waiting) -> Result<()> {
        match part {
            Waiting::InMemory(content) => self.emit(&content),
            Waiting::OnDisk { offset, length } => {
                self.emit_from_disk(offset, length)?;
                self.spilled -= 1;
                if self.spilled == 0 {
                    self.spill_end = 0;
                }
                Ok(())
            }
        }
    }

    fn emit_from_disk(&mut self, mut offset: u64, mut length: u64) -> Result<()> {
        let mut buffer = vec![0; READ_LENGTH];
        while length > 0 {
            let left = usize::try_from(length).unwrap_or(READ_LENGTH);
            let part = &mut buffer[..left.min(READ_LENGTH)];
            if let Some(spill) = &self.spill {
                spill.read_exact_at(part, offset).map_err(spill_failed)?;
            }
            self.emit(part)?;
            offset += part.len() as u64;
            length -= part.len() as u64;
        }
        Ok(())
    }
}

impl<W: Write + Send + 'static> Destination for OrderedWriter<W> {
    fn write(&mut self, offset: u64, content: Bytes) -> Result<()> {
        let (start, tiny) = &mut self.tiny;
        let follows = *start + tiny.len() as u64 == offset;
        if content.len() >= TINY || !follows || tiny.len() >= READ_LENGTH {
            self.end_tiny()?;
        }
        if content.len() >= TINY {
            return self.keep_unverified(offset, content);
        }
        let (start, tiny) = &mut self.tiny;
        if tiny.is_empty() {
            *start = offset;
        }
        tiny.extend_from_slice(&content);
        Ok(())
    }

    fn verified(&mut self) -> Result<()> {
        self.end_tiny()?;
        self.unverified_bytes = 0;
        for (offset, part) in std::mem::take(&mut self.unverified) {
            if offset == self.written {
                self.emit_part(part)?;
            } else {
                self.put_aside(offset, part)?;
            }
        }
        while let Some(next) = self.waiting.remove(&self.written) {
            if let Waiting::InMemory(content) = &next {
                self.waiting_bytes -= content.len() + ENTRY;
            }
            self.emit_part(next)?;
        }
        self.writer.flush().map_err(stream_failed)
    }

    fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(stream_failed)?;
        match self.check {
            Some(check) => check.finish(),
            None => Ok(()),
        }
    }
}

fn spill_failed(source: io::Error) -> Error {
    let directory = std::env::temp_dir();
    let message = format!("cannot put pieces aside in {}", directory.display());
    Error::local_file(message)
        .because(source)
        .hint("TMPDIR names another directory for temporary files")
}

/// The error of the writer that takes the content.
pub(crate) fn stream_failed(source: io::Error) -> Error {
    let kind = match source.kind() {
        io::ErrorKind::BrokenPipe => ErrorKind::Interrupted(Interruption::ReaderGone),
        _ => ErrorKind::LocalFile,
    };
    Error::new(kind, "cannot write the content to the output").because(source)
}

#[cfg(test)]
mod tests;
