//! What can go wrong with a disk, and when. The steps themselves are in [`crate::store::disk`].

use std::fmt;
use std::io;

use rustix::io::Errno;

/// One thing that the file system is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    CreateDir,
    Create,
    Open,
    Read,
    List,
    Look,
    /// A part of a file's content, into another file.
    Copy,
    Write,
    Sync,
    SyncDir,
    Rename,
    Remove,
    RemoveTree,
    Link,
    SetMode,
    FreeSpace,
}

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It does not happen.
    Fails(Errno),
    /// If it writes, half of it is written; else it does not happen.
    Torn(Errno),
}

impl Mishap {
    pub(crate) fn error(self) -> io::Error {
        let (Self::Fails(errno) | Self::Torn(errno)) = self;
        errno.into()
    }
}

/// Decides of every step whether it goes wrong.
pub(crate) trait Mishaps: fmt::Debug + Send + Sync {
    /// Called before the step is taken.
    fn at(&self, step: Step) -> Option<Mishap>;

    /// Whether syncs that do not fail are left out: they take long, and no process sees them.
    fn skip_syncs(&self) -> bool;
}

/// Something that is wrong with the disk for whoever writes content in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// Nothing can be written: no space.
    NoSpace,
    /// Nothing can be written: an I/O error.
    Error,
    /// Half can be written, then an I/O error.
    TornWrite,
}

impl DiskFault {
    pub(crate) fn mishap(self) -> Mishap {
        match self {
            Self::NoSpace => Mishap::Fails(Errno::NOSPC),
            Self::Error => Mishap::Fails(Errno::IO),
            Self::TornWrite => Mishap::Torn(Errno::IO),
        }
    }
}
