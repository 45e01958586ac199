//! What a disk does at one of its steps: it fails, or all ends there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::store::{Mishap, Mishaps, Step};

/// What happens at the step that a plan names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happens {
    /// Nothing.
    Nothing,
    /// The process ends before the step, or half way through it: nothing reaches the disk any more.
    Crash { torn: bool },
    /// This one step fails. Those after it do what they should.
    Error(Mishap),
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
    steps: Mutex<Vec<Step>>,
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
    pub(super) fn steps(&self) -> Vec<Step> {
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

impl Mishaps for Plan {
    fn at(&self, step: Step) -> Option<Mishap> {
        let number = {
            let mut steps = self.steps.lock().unwrap();
            steps.push(step);
            steps.len() - 1
        };
        let (now, later) = (number == self.at, number > self.at);
        let over = self.over.load(Ordering::Relaxed);
        match self.happens {
            Happens::Crash { torn: true } if now => Some(Mishap::Torn(Errno::IO)),
            Happens::Crash { .. } if now || later => Some(Mishap::Fails(Errno::IO)),
            Happens::Error(mishap) if now => Some(mishap),
            Happens::Full if (now || later) && !over && takes_space(step) => {
                Some(Mishap::Torn(Errno::NOSPC))
            }
            _ if self.linkless && step == Step::Link => Some(Mishap::Fails(Errno::XDEV)),
            _ => None,
        }
    }

    fn skip_syncs(&self) -> bool {
        true
    }
}

/// Whether a step can find no space left.
pub(super) fn takes_space(step: Step) -> bool {
    matches!(
        step,
        Step::CreateDir | Step::Create | Step::Link | Step::Copy | Step::Write
    )
}

/// Whether half of a step can be done.
pub(super) fn can_tear(step: Step) -> bool {
    matches!(step, Step::Copy | Step::Write)
}

/// Whether a step leaves the disk other than it was: where a run can end with another outcome.
pub(super) fn changes(step: Step) -> bool {
    !matches!(
        step,
        Step::Open
            | Step::Read
            | Step::List
            | Step::Look
            | Step::FreeSpace
            | Step::Sync
            | Step::SyncDir
    )
}
