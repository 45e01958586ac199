//! Some calls of the index, and names as numbers.

/// A call in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call::journal) struct IndexEntry {
    pub(in crate::call::journal) call: u64,
    /// Where its line begins, counted from the first byte that was ever written.
    pub(in crate::call::journal) place: u64,
    pub(super) task: u64,
    pub(super) kind: Kind,
}

/// The numbers of a call's RPC, status and host in one word: a count compares a million of them at
/// once, several an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u32);

impl Kind {
    pub(super) fn new(rpc: u8, status: u8, host: u16) -> Self {
        Self(u32::from(host) << 16 | u32::from(status) << 8 | u32::from(rpc))
    }
}

/// Which kinds are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    /// The bits that count.
    mask: u32,
    kind: Kind,
}

impl Kinds {
    pub(super) fn new(rpc: Option<u8>, status: Option<u8>, host: Option<u16>) -> Self {
        let mask = Kind::new(
            rpc.map_or(0, |_| u8::MAX),
            status.map_or(0, |_| u8::MAX),
            host.map_or(0, |_| u16::MAX),
        );
        let kind = Kind::new(
            rpc.unwrap_or_default(),
            status.unwrap_or_default(),
            host.unwrap_or_default(),
        );
        Self { mask: mask.0, kind }
    }

    pub(super) fn is_all(self) -> bool {
        self.mask == 0
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        kind.0 & self.mask == self.kind.0
    }
}

/// Calls by number, one column a field.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) calls: Vec<u64>,
    pub(super) places: Vec<u64>,
    pub(super) tasks: Vec<u64>,
    pub(super) kinds: Vec<Kind>,
}

impl Chunk {
    pub(super) fn insert(&mut self, at: usize, entry: IndexEntry) {
        self.calls.insert(at, entry.call);
        self.places.insert(at, entry.place);
        self.tasks.insert(at, entry.task);
        self.kinds.insert(at, entry.kind);
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.calls.remove(at);
        self.places.remove(at);
        self.tasks.remove(at);
        self.kinds.remove(at);
    }

    pub(super) fn drop_first(&mut self, count: usize) {
        self.calls.drain(..count);
        self.places.drain(..count);
        self.tasks.drain(..count);
        self.kinds.drain(..count);
    }

    pub(super) fn split(&mut self) -> Self {
        let half = self.calls.len() / 2;
        Self {
            calls: self.calls.split_off(half),
            places: self.places.split_off(half),
            tasks: self.tasks.split_off(half),
            kinds: self.kinds.split_off(half),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<IndexEntry> {
        Some(IndexEntry {
            call: *self.calls.get(at)?,
            place: *self.places.get(at)?,
            task: *self.tasks.get(at)?,
            kind: *self.kinds.get(at)?,
        })
    }
}

/// Names as small numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) Vec<Box<str>>);

impl Names {
    pub(super) fn number<N: TryFrom<usize>>(&self, name: &str) -> Option<N> {
        let at = self.0.iter().position(|known| **known == *name)?;
        N::try_from(at).ok()
    }

    pub(super) fn number_or_new<N: TryFrom<usize>>(&mut self, name: &str) -> Option<N> {
        if let Some(number) = self.number(name) {
            return Some(number);
        }
        let number = N::try_from(self.0.len()).ok()?;
        self.0.push(name.into());
        Some(number)
    }
}
