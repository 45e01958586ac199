//! What actions do, by the place where they act.
//!
//! The table says of each action what it does at each of its places. A place has a type of its own here and does
//! all of it: a new variant does not compile before its place does it, and no other place hears of it.

use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskStartedResponse;
use tonic::Status;

use super::piece::PieceDamage;
use super::status::ErrorAction;
use crate::dfdaemon::release::Release;
use crate::store::DiskFault;

/// What an action does at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect<'a> {
    Call(CallEffect<'a>),
    Piece(PieceEffect),
    Stream(StreamEffect),
    Store(DiskFault),
    Transfer(TransferEffect<'a>),
    Connection(ConnectionEffect),
}

/// What happens to a call as such.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallEffect<'a> {
    /// Answers with a status.
    Answer(Answer<'a>),
    /// Waits for a time between these two, which the armed fault draws.
    Wait(Duration, Duration),
    /// Waits until the fault is removed.
    Stall,
    /// Closes the connection.
    Reset,
}

/// What a call is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'a> {
    Given(&'a ErrorAction),
    /// As a dfdaemon words it, from a host of that name.
    OfDfdaemon(fn(&str, Release) -> Status),
}

/// What happens at a piece of an export.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PieceEffect {
    /// Damages the piece, or ends the stream there.
    Damage(PieceDamage),
    /// From there on, content comes at this many bytes a second.
    Bandwidth(u64),
}

/// What happens to the stream of an export as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StreamEffect {
    /// Sends the pieces in another order.
    Shuffle,
    /// Damages the message that the stream starts with.
    Start(StartDamage),
}

/// What is wrong with the message that the stream of an export starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartDamage {
    /// The content length, and how much is added to it.
    ContentLength(i64),
}

/// What happens to a piece on its way between hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransferEffect<'a> {
    /// Before it comes, to the call or to the transfer.
    Before(CallEffect<'a>),
    /// Once it is there.
    Damage(TransferDamage),
}

/// What is wrong with a piece between hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransferDamage {
    /// It comes at this many bytes a second.
    Bandwidth(u64),
    FlipBit,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectionEffect {
    /// Waits as long as the armed fault draws.
    Wait,
    /// Waits until the fault is removed.
    Stall,
    /// Closes it as soon as it is made.
    Refuse,
    /// Closes the sockets of a host.
    CloseSockets,
}

impl Answer<'_> {
    /// The status, from a host of that name.
    pub(crate) fn status(self, host: &str, release: Release) -> Status {
        match self {
            Self::Given(error) => error.status(),
            Self::OfDfdaemon(status) => status(host, release),
        }
    }
}

impl StartDamage {
    pub(crate) fn apply(self, started: &mut DownloadPersistentCacheTaskStartedResponse) {
        match self {
            Self::ContentLength(by) => {
                started.content_length = started.content_length.saturating_add_signed(by);
            }
        }
    }
}
