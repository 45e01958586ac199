//! Some calls of the index, and names as numbers.

/// A call in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call::journal) struct Entry {
    pub(in crate::call::journal) call: u64,
    /// Where its line begins, counted from the first byte that was ever written.
    pub(in crate::call::journal) place: u64,
    pub(super) task: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) status: u16,
    pub(super) host: u16,
    pub(super) rpc: u8,
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
    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
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

    pub(super) fn get(&self, at: usize) -> Option<Entry> {
        Some(Entry {
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
    pub(super) fn number(&self, name: &str) -> Option<u16> {
        let at = self.0.iter().position(|known| **known == *name)?;
        u16::try_from(at).ok()
    }

    pub(super) fn number_or_new(&mut self, name: &str) -> Option<u16> {
        if let Some(number) = self.number(name) {
            return Some(number);
        }
        let number = u16::try_from(self.0.len()).ok()?;
        self.0.push(name.into());
        Some(number)
    }
}
