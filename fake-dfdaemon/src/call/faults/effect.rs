//! What each action does, for the places that do it.
//!
//! Every action is named here: a new one does not compile before it has an effect. Where effects happen,
//! every effect is named too: a new one does not compile before each place does it or says that it does not.

use std::time::Duration;

use tonic::{Code, Status};

use super::status::ErrorAction;
use super::table::Action;
use crate::dfdaemon::host_id;
use crate::dfdaemon::release::{Origin, Release};
use crate::dfdaemon::statuses::{connection_reset, no_scheduler, overloaded, sockets_closed};
use crate::store::DiskFault;

/// What an action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect<'a> {
    /// Answers the call with a status.
    Answer(Answer<'a>),
    /// Waits for a time between these two, which the armed fault draws.
    Wait(Duration, Duration),
    /// Waits until the fault is removed.
    Stall,
    /// Closes the connection.
    Reset,
    /// Sends content at this many bytes a second.
    Bandwidth(u64),
    /// Damages a piece, or ends the stream at one.
    Piece(PieceDamage),
    /// Sends the pieces in another order.
    Shuffle,
    /// Adds to the content length that the stream starts with.
    ContentLength(i64),
    /// Closes a connection as soon as it is made.
    Refuse,
    /// Closes the sockets of a host.
    CloseSockets,
    /// The store's disk fails.
    Disk(DiskFault),
}

/// What a call is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    Status(&'a ErrorAction),
    NoHost,
    NoScheduler,
    Overloaded,
}

/// What is wrong with a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceDamage {
    Skip,
    Repeat,
    /// The stream ends here.
    End,
    FlipBit,
    WrongDigest,
    NoDigest,
    NoContent,
    /// Its length, and how much is added to it.
    Length(i64),
}

/// What is wrong with a piece between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferDamage {
    /// It comes at this many bytes a second.
    Bandwidth(u64),
    FlipBit,
}

impl Action {
    /// What it does.
    pub(crate) fn effect(&self) -> Effect<'_> {
        match self {
            Self::Error(error) => Effect::Answer(Answer::Status(error)),
            Self::NoHost => Effect::Answer(Answer::NoHost),
            Self::NoScheduler => Effect::Answer(Answer::NoScheduler),
            Self::Overloaded => Effect::Answer(Answer::Overloaded),
            Self::Delay(delay) => Effect::Wait(*delay, *delay),
            Self::DelayBetween(least, most) => Effect::Wait(*least, *most),
            Self::Stall => Effect::Stall,
            Self::Reset => Effect::Reset,
            Self::Bandwidth(rate) => Effect::Bandwidth(*rate),
            Self::End => Effect::Piece(PieceDamage::End),
            Self::SkipPiece => Effect::Piece(PieceDamage::Skip),
            Self::RepeatPiece => Effect::Piece(PieceDamage::Repeat),
            Self::CorruptPiece => Effect::Piece(PieceDamage::FlipBit),
            Self::CorruptDigest => Effect::Piece(PieceDamage::WrongDigest),
            Self::EmptyDigest => Effect::Piece(PieceDamage::NoDigest),
            Self::NoContent => Effect::Piece(PieceDamage::NoContent),
            Self::WrongLength(by) => Effect::Piece(PieceDamage::Length(*by)),
            Self::ShufflePieces => Effect::Shuffle,
            Self::WrongContentLength(by) => Effect::ContentLength(*by),
            Self::Refuse => Effect::Refuse,
            Self::Stale => Effect::CloseSockets,
            Self::NoSpace => Effect::Disk(DiskFault::NoSpace),
            Self::DiskError => Effect::Disk(DiskFault::Error),
            Self::TornWrite => Effect::Disk(DiskFault::TornWrite),
        }
    }

    /// What is wrong with the store's disk.
    pub(crate) fn disk_fault(&self) -> Option<DiskFault> {
        match self.effect() {
            Effect::Disk(fault) => Some(fault),
            Effect::Answer(_)
            | Effect::Wait(..)
            | Effect::Stall
            | Effect::Reset
            | Effect::Bandwidth(_)
            | Effect::Piece(_)
            | Effect::Shuffle
            | Effect::ContentLength(_)
            | Effect::Refuse
            | Effect::CloseSockets => None,
        }
    }

    /// What it does to a piece between hosts once the piece is there. What it does before, it does to the
    /// call or to the transfer.
    pub(crate) fn transfer_damage(&self) -> Option<TransferDamage> {
        match self.effect() {
            Effect::Bandwidth(rate) => Some(TransferDamage::Bandwidth(rate)),
            Effect::Piece(PieceDamage::FlipBit) => Some(TransferDamage::FlipBit),
            // No piece between hosts can have these.
            Effect::Piece(
                PieceDamage::Skip
                | PieceDamage::Repeat
                | PieceDamage::End
                | PieceDamage::WrongDigest
                | PieceDamage::NoDigest
                | PieceDamage::NoContent
                | PieceDamage::Length(_),
            )
            | Effect::Shuffle
            | Effect::ContentLength(_)
            | Effect::Refuse
            | Effect::CloseSockets
            | Effect::Disk(_) => None,
            // Before.
            Effect::Answer(_) | Effect::Wait(..) | Effect::Stall | Effect::Reset => None,
        }
    }

    /// The status that the journal notes of what is no call: a piece on its way, a connection, a host's
    /// sockets.
    pub(crate) fn noted_status(&self) -> Option<Status> {
        match self.effect() {
            Effect::Answer(Answer::Status(error)) => Some(error.status()),
            Effect::Reset | Effect::Refuse => Some(connection_reset()),
            Effect::CloseSockets => Some(sockets_closed()),
            Effect::Answer(Answer::NoHost | Answer::NoScheduler | Answer::Overloaded)
            | Effect::Wait(..)
            | Effect::Stall
            | Effect::Bandwidth(_)
            | Effect::Piece(_)
            | Effect::Shuffle
            | Effect::ContentLength(_)
            | Effect::Disk(_) => None,
        }
    }
}

impl Answer<'_> {
    /// The status, from a host of that name.
    pub(crate) fn status(self, host: &str, release: Release) -> Status {
        match self {
            Self::Status(error) => error.status(),
            Self::NoHost => {
                let text = format!("host {} not found", host_id(host));
                release.wrapped(Origin::Scheduler, Code::NotFound, &text)
            }
            Self::NoScheduler => no_scheduler(),
            Self::Overloaded => overloaded("CPU/memory thresholds are exceeded"),
        }
    }
}
