//! A block of the index as it is written: copies of records below a checksum, in the order in which they
//! were listed, as they likely are the next time.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;

use crate::store::disk::{FileTime, Identity};

/// What a block begins with.
pub(super) const MAGIC: &[u8] = b"fake-dfdaemon index 1\n";

/// The longest record that is copied: others are few.
const MOST_BYTES: usize = 4 << 10;

/// The longest name of a file.
const MOST_NAME: usize = 255;

/// The length of the sum of what follows it, which comes next.
const SUM: usize = 4;

/// Before name and bytes of a copy: inode, seconds and nanoseconds, and the lengths of both.
const HEAD: usize = 8 + 8 + 4 + 1 + 4;

/// How long a block of so many records can be.
pub(super) fn most(records: usize) -> u64 {
    let most = (HEAD + MOST_NAME + MOST_BYTES).saturating_mul(records);
    u64::try_from(MAGIC.len() + SUM + most).unwrap_or(u64::MAX)
}

/// A copy of a record, and what file it was made of.
pub(super) struct Copy<'a> {
    pub(super) name: &'a OsStr,
    pub(super) identity: Identity,
    pub(super) bytes: &'a [u8],
}

/// Where name and bytes of a copy are.
#[derive(Debug)]
struct Place {
    identity: Identity,
    name: Range<usize>,
    bytes: Range<usize>,
}

/// A block that was read; without copies if there was none.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    places: Vec<Place>,
    /// The place after that of the last copy that was found.
    next: usize,
    /// The places in the order of their names, once it is needed.
    by_name: Vec<usize>,
}

impl Block {
    /// Takes its bytes for copies of records. There are none if the block is not whole, or not ours.
    pub(super) fn parse(&mut self) {
        self.places.clear();
        self.by_name.clear();
        self.next = 0;
        if parse(&self.bytes, &mut self.places).is_none() {
            self.places.clear();
        }
    }

    /// Forgets what it was.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.parse();
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The number of the copy of a record.
    pub(super) fn find(&mut self, name: &OsStr) -> Option<usize> {
        if self.name(self.next) != Some(name.as_bytes()) {
            self.next = self.search(name)?;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    fn search(&mut self, name: &OsStr) -> Option<usize> {
        let mut by_name = std::mem::take(&mut self.by_name);
        if by_name.len() < self.places.len() {
            by_name = (0..self.places.len()).collect();
            by_name.sort_unstable_by_key(|number| self.name(*number));
        }
        let wanted = Some(name.as_bytes());
        let found = by_name.binary_search_by_key(&wanted, |number| self.name(*number));
        let found = found.ok().and_then(|at| by_name.get(at).copied());
        self.by_name = by_name;
        found
    }

    fn name(&self, number: usize) -> Option<&[u8]> {
        self.bytes.get(self.places.get(number)?.name.clone())
    }

    pub(super) fn copy(&self, number: usize) -> Option<Copy<'_>> {
        let place = self.places.get(number)?;
        Some(Copy {
            name: OsStr::from_bytes(self.name(number)?),
            identity: place.identity,
            bytes: self.bytes.get(place.bytes.clone())?,
        })
    }
}

/// Finds the copies in a block; `None` if it is not one.
fn parse(block: &[u8], places: &mut Vec<Place>) -> Option<()> {
    let (sum, mut rest) = block.strip_prefix(MAGIC)?.split_first_chunk()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
        return None;
    }
    while !rest.is_empty() {
        let head = block.len() - rest.len() + HEAD;
        let (inode, after) = rest.split_first_chunk()?;
        let (seconds, after) = after.split_first_chunk()?;
        let (nanoseconds, after) = after.split_first_chunk()?;
        let ([name], after) = after.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let length = u32::from_le_bytes(*length);
        let name = head..head + usize::from(*name);
        let bytes = name.end..name.end.checked_add(usize::try_from(length).ok()?)?;
        rest = after.get(bytes.end - head..)?;
        let seconds = i64::from_le_bytes(*seconds);
        let identity = Identity {
            inode: u64::from_le_bytes(*inode),
            changed: FileTime(seconds, u32::from_le_bytes(*nanoseconds)),
            length: length.into(),
        };
        places.push(Place {
            identity,
            name,
            bytes,
        });
    }
    Some(())
}

/// A block to be written.
#[derive(Debug)]
pub(super) struct NewBlock {
    bytes: Vec<u8>,
    copies: usize,
}

impl Default for NewBlock {
    fn default() -> Self {
        Self {
            bytes: [MAGIC, &[0; SUM]].concat(),
            copies: 0,
        }
    }
}

impl NewBlock {
    /// Copies a record of a name that is not there yet, unless it is long, or not what the file was.
    pub(super) fn push(&mut self, name: &OsStr, identity: Identity, record: &[u8]) {
        let Ok(name_length) = u8::try_from(name.len()) else {
            return;
        };
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        if record.len() > MOST_BYTES || identity.length != u64::from(length) {
            return;
        }
        let FileTime(seconds, nanoseconds) = identity.changed;
        self.bytes.extend_from_slice(&identity.inode.to_le_bytes());
        self.bytes.extend_from_slice(&seconds.to_le_bytes());
        self.bytes.extend_from_slice(&nanoseconds.to_le_bytes());
        self.bytes.push(name_length);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(record);
        self.copies += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.copies
    }

    /// The block as it is written.
    pub(super) fn bytes(&mut self) -> &[u8] {
        let (head, copies) = self.bytes.split_at_mut(MAGIC.len() + SUM);
        let sum: [u8; SUM] = crc32fast::hash(copies).to_le_bytes();
        if let Some(place) = head.last_chunk_mut() {
            *place = sum;
        }
        &self.bytes
    }

    /// Forgets its copies.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(MAGIC.len() + SUM);
        self.copies = 0;
    }
}
