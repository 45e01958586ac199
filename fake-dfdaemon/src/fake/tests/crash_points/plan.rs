//! What a disk does at one of its steps: it fails, or all ends there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::store::{DiskFailure, DiskOp, FailureInjector};

/// What happens at the step that a plan names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happens {
    /// Nothing.
    Nothing,
    /// The process ends before the step, or half way through it: nothing reaches the disk any more.
    Crash { torn: bool },
    /// This one step fails. Those after it do what they should.
    Error(DiskFailure),
    /// The disk is full from this step on: nothing can be made or written, all else works.
    Full,
}

/// Counts the steps of a disk, and lets something happen at one of them.
#[derive(Debug)]
pub(super) struct Plan {
    at: usize,
    happens: Happens,
    /// Whether the file system has no hard links.
    linkless: bool,
    steps: Mutex<Vec<DiskOp>>,
    over: AtomicBool,
}

impl Plan {
    pub(super) fn new(at: usize, happens: Happens, linkless: bool) -> Arc<Self> {
        Arc::new(Self {
            at,
            happens,
            linkless,
            steps: Mutex::default(),
            over: AtomicBool::new(false),
        })
    }

    /// The steps so far.
    pub(super) fn steps(&self) -> Vec<DiskOp> {
        self.steps.lock().unwrap().clone()
    }

    /// Whether the step has come.
    pub(super) fn has_happened(&self) -> bool {
        self.steps.lock().unwrap().len() > self.at
    }

    /// From now on nothing happens.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl FailureInjector for Plan {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        let number = {
            let mut steps = self.steps.lock().unwrap();
            steps.push(step);
            steps.len() - 1
        };
        let (now, later) = (number == self.at, number > self.at);
        let over = self.over.load(Ordering::Relaxed);
        match self.happens {
            Happens::Crash { torn: true } if now => Some(DiskFailure::Torn(Errno::IO)),
            Happens::Crash { .. } if now || later => Some(DiskFailure::Fails(Errno::IO)),
            Happens::Error(failure) if now => Some(failure),
            Happens::Full if (now || later) && !over && takes_space(step) => {
                Some(DiskFailure::Torn(Errno::NOSPC))
            }
            _ if self.linkless && step == DiskOp::Link => Some(DiskFailure::Fails(Errno::XDEV)),
            _ => None,
        }
    }

    fn skip_syncs(&self) -> bool {
        true
    }
}

/// Whether a step can find no space left.
pub(super) fn takes_space(step: DiskOp) -> bool {
    matches!(
        step,
        DiskOp::CreateDir | DiskOp::Create | DiskOp::Link | DiskOp::Copy | DiskOp::Write
    )
}

/// Whether half of a step can be done.
pub(super) fn can_tear(step: DiskOp) -> bool {
    matches!(step, DiskOp::Copy | DiskOp::Write)
}

/// Whether a step leaves the disk other than it was: where a run can end with another outcome.
pub(super) fn changes(step: DiskOp) -> bool {
    !matches!(
        step,
        DiskOp::Open
            | DiskOp::Read
            | DiskOp::List
            | DiskOp::Look
            | DiskOp::FreeSpace
            | DiskOp::Sync
            | DiskOp::SyncDir
    )
}
