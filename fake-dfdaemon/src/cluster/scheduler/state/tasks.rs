//! The tasks by their ids. The table stores no ids beside those in the tasks: up to half of its places are
//! empty, and each place would take the memory of an id.

use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use jiff::Timestamp;

use super::TaskEntry;
use crate::dfdaemon::task_id::TaskId;

/// The tasks by their ids.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    table: HashTable<Box<TaskEntry>>,
    /// No task expires before: a collector need not look at them all.
    first_expiry: Option<Timestamp>,
    hasher: RandomState,
    /// Which places the tasks have in the table: another number once they may have others, and in each table.
    /// That of no places is 0.
    layout: u64,
}

/// How far somebody has come who looks at every task, a few at a time.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Walk {
    layout: u64,
    place: usize,
}

impl Tasks {
    pub(crate) fn get(&self, id: &str) -> Option<&TaskEntry> {
        let found = self.table.find(self.hasher.hash_one(id), is_of(id));
        found.map(|entry| &**entry)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut TaskEntry> {
        let found = self.table.find_mut(self.hasher.hash_one(id), is_of(id));
        found.map(|entry| &mut **entry)
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    /// Puts a task in, and returns the one that was there with its id.
    pub(super) fn insert(&mut self, entry: TaskEntry) -> Option<TaskEntry> {
        let hash = self.hasher.hash_one(&*entry.task.task_id);
        self.expire_at(entry.expires_at());
        if self.table.len() == self.table.capacity() {
            // There is no free place: it grows, or is tidied up.
            self.lay_out_anew();
        }
        let hash_of = hash_of(&self.hasher);
        match self.table.entry(hash, is_of(&entry.task.task_id), hash_of) {
            Entry::Occupied(mut there) => Some(mem::replace(&mut **there.get_mut(), entry)),
            Entry::Vacant(place) => {
                place.insert(Box::new(entry));
                None
            }
        }
    }

    /// Makes room for so many tasks in all. A table that grows step by step hashes each id at each step, and
    /// few of very many are in the cache of a core.
    pub(crate) fn expect(&mut self, tasks: usize) {
        if tasks > self.table.capacity() {
            let more = tasks - self.table.len();
            self.lay_out_anew();
            self.table.reserve(more, hash_of(&self.hasher));
        }
    }

    /// Takes a task out. The table keeps little more than the room of those that are left: that of its busiest
    /// moment would be there for good.
    pub(super) fn remove(&mut self, id: &str) -> Option<TaskEntry> {
        let found = self.table.find_entry(self.hasher.hash_one(id), is_of(id));
        let (entry, _) = found.ok()?.remove();
        self.trim();
        Some(*entry)
    }

    /// Gives back the room of tasks that are not there, if it is much.
    pub(crate) fn trim(&mut self) {
        if let Some(less) = less_capacity(self.table.capacity(), self.table.len()) {
            self.lay_out_anew();
            self.table.shrink_to(less, hash_of(&self.hasher));
        }
    }

    fn lay_out_anew(&mut self) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        self.layout = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    }

    /// Whether a walk has to begin again, since the tasks lie elsewhere than when it began.
    pub(in crate::cluster) fn begins_again(&self, walk: &mut Walk) -> bool {
        let is_moved = walk.layout != self.layout;
        if is_moved {
            *walk = Walk {
                layout: self.layout,
                place: 0,
            };
        }
        is_moved
    }

    /// The next task of a walk that does not have to begin again.
    pub(in crate::cluster) fn next_of(&self, walk: &mut Walk) -> Option<&TaskEntry> {
        while walk.place < self.table.num_buckets() {
            let entry = self.table.get_bucket(walk.place);
            walk.place += 1;
            if let Some(entry) = entry {
                return Some(entry);
            }
        }
        None
    }

    /// The tasks that have expired and that `may_go`.
    pub(in crate::cluster) fn expired(
        &mut self,
        now: Timestamp,
        may_go: impl Fn(&TaskEntry) -> bool,
    ) -> Vec<TaskId> {
        let mut expired = Vec::new();
        if self.first_expiry.is_none_or(|first| now < first) {
            return expired;
        }
        let mut first_expiry = None;
        for entry in &self.table {
            // Also of one that may go: it is there until it is removed.
            first_expiry = Some(earlier(first_expiry, entry.expires_at()));
            if entry.is_expired(now) && may_go(entry) {
                expired.push(entry.task.task_id.clone());
            }
        }
        self.first_expiry = first_expiry;
        expired
    }

    /// Says that a task expires then.
    pub(crate) fn expire_at(&mut self, at: Timestamp) {
        self.first_expiry = Some(earlier(self.first_expiry, at));
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TaskEntry> {
        self.table.iter().map(|entry| &**entry)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut TaskEntry> {
        self.table.iter_mut().map(|entry| &mut **entry)
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }
}

fn earlier(one: Option<Timestamp>, other: Timestamp) -> Timestamp {
    one.map_or(other, |one| one.min(other))
}

fn hash_of(hasher: &RandomState) -> impl Fn(&Box<TaskEntry>) -> u64 {
    move |entry| hasher.hash_one(&*entry.task.task_id)
}

fn is_of(id: &str) -> impl Fn(&Box<TaskEntry>) -> bool {
    move |entry| &*entry.task.task_id == id
}

/// The capacity that a table of this many tasks should have instead, if its own is far too large.
pub(super) fn less_capacity(capacity: usize, tasks: usize) -> Option<usize> {
    const SPARSE: usize = 8;
    const FEW: usize = 128;
    (capacity > SPARSE * tasks.max(FEW)).then_some(2 * tasks)
}
