//! What a scenario consists of, and what must hold after each of its steps.

use std::collections::BTreeMap;

use crate::dfdaemon::release::Release;

/// What is done, one after the other. Files, hosts and snapshots go by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Import {
        host: usize,
        file: usize,
        replicas: u64,
        short: bool,
    },
    /// An import under the file's id that fails for want of room.
    FailToImport {
        host: usize,
        file: usize,
    },
    /// To the host alone.
    Transfer {
        host: usize,
        file: usize,
    },
    /// To a path, of content that the host holds.
    Export {
        host: usize,
        file: usize,
        overwrite: bool,
    },
    /// Somebody else's file at the path of an export.
    OldOutput {
        file: usize,
    },
    Update {
        host: usize,
        file: usize,
    },
    DeleteCopy {
        host: usize,
        file: usize,
    },
    Delete {
        file: usize,
    },
    Leave(usize),
    Start(usize),
    /// Every task with a short TTL is gone.
    Expire,
    Collect,
    Snapshot(usize),
    Restore(usize),
    Reset,
}

/// A scenario: a fake, files, and what is done with them.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) release: Release,
    pub(super) hosts: usize,
    pub(super) capacity: Option<u64>,
    /// Whether the id of a file is known before it is read.
    pub(super) known_ids: bool,
    /// Whether the file system has no hard links.
    pub(super) linkless: bool,
    /// The files' lengths.
    pub(super) lengths: &'static [usize],
    pub(super) ops: Vec<Op>,
    /// Fewer steps than that it cannot be.
    pub(super) least_steps: usize,
}

/// A task that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promised {
    pub(super) file: usize,
    pub(super) replicas: u64,
    short: bool,
}

/// What must be there: nothing more, nothing less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// By file.
    pub(super) tasks: BTreeMap<usize, Promised>,
    snapshots: BTreeMap<usize, BTreeMap<usize, Promised>>,
    /// By file: whether its output is the new one.
    pub(super) outputs: BTreeMap<usize, bool>,
}

impl Expected {
    /// What must be there after that.
    pub(super) fn after(&self, op: Op) -> Self {
        let mut after = self.clone();
        match op {
            Op::Import {
                file,
                replicas,
                short,
                ..
            } => {
                let promised = Promised {
                    file,
                    replicas,
                    short,
                };
                after.tasks.insert(file, promised);
            }
            Op::Delete { file } => drop(after.tasks.remove(&file)),
            Op::Expire => after.tasks.retain(|_, task| !task.short),
            Op::Export { file, .. } => drop(after.outputs.insert(file, true)),
            Op::OldOutput { file } => drop(after.outputs.insert(file, false)),
            Op::Snapshot(name) => drop(after.snapshots.insert(name, self.tasks.clone())),
            Op::Restore(name) => after.tasks.clone_from(&self.snapshots[&name]),
            Op::Reset => after.tasks.clear(),
            Op::FailToImport { .. }
            | Op::Transfer { .. }
            | Op::Update { .. }
            | Op::DeleteCopy { .. }
            | Op::Leave(_)
            | Op::Start(_)
            | Op::Collect => {}
        }
        after
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = usize> {
        self.snapshots.keys().copied()
    }

    pub(super) fn has_snapshot(&self, name: usize) -> bool {
        self.snapshots.contains_key(&name)
    }
}
