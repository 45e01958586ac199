//! What is counted beside the replicas of a task.

/// What the scheduler counts of a host that has no replica for it: exports that failed, an import that broke,
/// replicas that were lost and that others took the place of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) all: u64,
    pub(crate) persistent: u64,
    /// Replicas that were lost: the scheduler offers them to others.
    pub(crate) lost: u64,
    /// How many of these are persistent: they are made again when the host leaves.
    pub(crate) lost_persistent: u64,
}

impl Counted {
    pub(crate) fn add(&mut self, persistent: bool) {
        self.all += 1;
        self.persistent += u64::from(persistent);
    }
}
