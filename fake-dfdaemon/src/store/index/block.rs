//! A block of the index as it is written, below a checksum: which directory it is of, if it has a copy of every
//! record there, and the copies, in the order in which they were listed, as they likely are the next time.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;

use crate::store::disk::{FileTime, Identity};

/// What a block begins with. Its number changes with the form of a block, and of a packed record.
pub(super) const MAGIC: &[u8] = b"fake-dfdaemon index 2\n";

/// The longest copy: others are few.
const MOST_BYTES: usize = 4 << 10;

/// The length of the sum of what follows it, which comes next.
const SUM: usize = 4;

/// What a file or a directory was: inode, seconds and nanoseconds, length.
const IDENTITY: usize = 8 + 8 + 4 + 8;

/// Before name and bytes of a copy: what the file was, and the lengths of both.
const HEAD: usize = IDENTITY + 1 + 2;

/// Stands for the directory if a record of it has no copy.
const NONE: Identity = Identity {
    inode: 0,
    changed: FileTime(0, 0),
    length: 0,
};

/// A copy of a record, and what file it was made of.
pub(super) struct Copy<'a> {
    pub(super) name: &'a OsStr,
    pub(super) identity: Identity,
    /// The record, packed.
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
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// The directory of which it has every record; `NONE` if it lacks one.
    directory: Identity,
    places: Vec<Place>,
    /// The place after that of the last copy that was found.
    next: usize,
    /// The places in the order of their names, once it is needed.
    by_name: Vec<usize>,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            directory: NONE,
            places: Vec::new(),
            next: 0,
            by_name: Vec::new(),
        }
    }
}

impl Block {
    /// Takes its bytes for copies of records. There are none if the block is not whole, or not ours.
    pub(super) fn parse(&mut self) {
        self.places.clear();
        self.by_name.clear();
        self.next = 0;
        self.directory = parse(&self.bytes, &mut self.places).unwrap_or_else(|| {
            self.places.clear();
            NONE
        });
    }

    /// Whether it has a copy of every record of this directory, as the directory is now.
    pub(super) fn is_all_of(&self, directory: Identity) -> bool {
        self.directory == directory && directory != NONE
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

/// Finds the copies in a block, and which directory it is of; `None` if it is not one.
fn parse(block: &[u8], places: &mut Vec<Place>) -> Option<Identity> {
    let (sum, rest) = block.strip_prefix(MAGIC)?.split_first_chunk()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (directory, mut rest) = rest.split_first_chunk()?;
    while !rest.is_empty() {
        let head = block.len() - rest.len() + HEAD;
        let (file, after) = rest.split_first_chunk()?;
        let ([name], after) = after.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let name = head..head + usize::from(*name);
        let bytes = name.end..name.end + usize::from(u16::from_le_bytes(*length));
        rest = after.get(bytes.end - head..)?;
        places.push(Place {
            identity: identity(file)?,
            name,
            bytes,
        });
    }
    identity(directory)
}

fn identity(bytes: &[u8; IDENTITY]) -> Option<Identity> {
    let (inode, rest) = bytes.split_first_chunk()?;
    let (seconds, rest) = rest.split_first_chunk()?;
    let (nanoseconds, rest) = rest.split_first_chunk()?;
    let (length, _) = rest.split_first_chunk()?;
    let seconds = i64::from_le_bytes(*seconds);
    Some(Identity {
        inode: u64::from_le_bytes(*inode),
        changed: FileTime(seconds, u32::from_le_bytes(*nanoseconds)),
        length: u64::from_le_bytes(*length),
    })
}

fn put(identity: Identity, to: &mut Vec<u8>) {
    let FileTime(seconds, nanoseconds) = identity.changed;
    to.extend_from_slice(&identity.inode.to_le_bytes());
    to.extend_from_slice(&seconds.to_le_bytes());
    to.extend_from_slice(&nanoseconds.to_le_bytes());
    to.extend_from_slice(&identity.length.to_le_bytes());
}

/// A block to be written.
#[derive(Debug, Default)]
pub(super) struct NewBlock {
    copies: Vec<u8>,
    len: usize,
    packed: Vec<u8>,
}

impl NewBlock {
    /// Copies a record of a name that is not there yet, as `pack` writes it, unless it is long.
    pub(super) fn push(
        &mut self,
        name: &OsStr,
        identity: Identity,
        pack: impl FnOnce(&mut Vec<u8>),
    ) {
        self.packed.clear();
        pack(&mut self.packed);
        let lengths = (u8::try_from(name.len()), u16::try_from(self.packed.len()));
        let (Ok(name_length), Ok(length)) = lengths else {
            return;
        };
        if self.packed.len() > MOST_BYTES {
            return;
        }
        put(identity, &mut self.copies);
        self.copies.push(name_length);
        self.copies.extend_from_slice(&length.to_le_bytes());
        self.copies.extend_from_slice(name.as_bytes());
        self.copies.extend_from_slice(&self.packed);
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The block as it is written, with the directory that it has a copy of every record of.
    pub(super) fn bytes(&self, directory: Option<Identity>) -> Vec<u8> {
        let mut bytes = [MAGIC, &[0; SUM]].concat();
        bytes.reserve(IDENTITY + self.copies.len());
        put(directory.unwrap_or(NONE), &mut bytes);
        bytes.extend_from_slice(&self.copies);
        let (head, rest) = bytes.split_at_mut(MAGIC.len() + SUM);
        if let Some(place) = head.last_chunk_mut() {
            *place = crc32fast::hash(rest).to_le_bytes();
        }
        bytes
    }

    /// Forgets its copies.
    pub(super) fn clear(&mut self) {
        self.copies.clear();
        self.len = 0;
    }
}
