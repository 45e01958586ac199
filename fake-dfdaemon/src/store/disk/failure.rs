//! What can go wrong with a disk, and when. The steps themselves are in [`crate::store::disk`].

use std::fmt;
use std::io;

use rustix::io::Errno;

/// One thing that the file system is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskOp {
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
pub(crate) enum DiskFailure {
    /// It does not happen.
    Fails(Errno),
    /// If it writes, half of it is written; else it does not happen.
    Torn(Errno),
}

impl DiskFailure {
    pub(crate) fn error(self) -> io::Error {
        let (Self::Fails(errno) | Self::Torn(errno)) = self;
        errno.into()
    }
}

/// Decides of every step whether it goes wrong.
pub(crate) trait FailureInjector: fmt::Debug + Send + Sync {
    /// Called before the step is taken.
    fn at(&self, step: DiskOp) -> Option<DiskFailure>;

    /// Whether syncs that do not fail are left out: they take long, and no process sees them.
    fn skip_syncs(&self) -> bool;
}

/// A failure of the disk for the content that one call writes.
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
    pub(crate) fn failure(self) -> DiskFailure {
        match self {
            Self::NoSpace => DiskFailure::Fails(Errno::NOSPC),
            Self::Error => DiskFailure::Fails(Errno::IO),
            Self::TornWrite => DiskFailure::Torn(Errno::IO),
        }
    }
}
