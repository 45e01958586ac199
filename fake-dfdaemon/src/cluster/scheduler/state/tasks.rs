//! The tasks by their ids. The table stores no ids beside those in the tasks: up to half of its places are
//! empty, and each place would take the memory of an id.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::TaskEntry;

/// The tasks by their ids.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    table: HashTable<Box<TaskEntry>>,
    hasher: RandomState,
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

    /// Puts a task in. There is none with its id.
    pub(super) fn insert(&mut self, entry: TaskEntry) {
        let hash = self.hasher.hash_one(&*entry.task.task_id);
        self.table.insert_unique(hash, Box::new(entry), |entry| {
            self.hasher.hash_one(&*entry.task.task_id)
        });
    }

    /// Takes a task out. The table keeps little more than the room of those that are left: that of its busiest
    /// moment would be there for good.
    pub(super) fn remove(&mut self, id: &str) -> Option<TaskEntry> {
        let found = self.table.find_entry(self.hasher.hash_one(id), is_of(id));
        let (entry, _) = found.ok()?.remove();
        if let Some(less) = less_capacity(self.table.capacity(), self.table.len()) {
            self.table
                .shrink_to(less, |entry| self.hasher.hash_one(&*entry.task.task_id));
        }
        Some(*entry)
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

fn is_of(id: &str) -> impl Fn(&Box<TaskEntry>) -> bool {
    move |entry| &*entry.task.task_id == id
}

/// The capacity that a table of this many tasks should have instead, if its own is far too large.
pub(super) fn less_capacity(capacity: usize, tasks: usize) -> Option<usize> {
    const SPARSE: usize = 8;
    const FEW: usize = 128;
    (capacity > SPARSE * tasks.max(FEW)).then_some(2 * tasks)
}
