//! The table of actions: one row each. Enum, builder, grammar, effects, page and API document are made of it.

mod argument;

use std::time::Duration;

use self::argument::{Argument, BANDWIDTH, CONTENT_LENGTH, DELAY, ERROR, LENGTH};
use super::effect::{
    Answer, CallEffect, ConnectionEffect, Effect, PieceEffect, StartDamage, StreamEffect,
    TransferDamage, TransferEffect,
};
use super::piece::PieceDamage;
use super::status::ErrorAction;
use super::{Fault, FaultBuilder};
use crate::dfdaemon::statuses::{host_not_found, no_scheduler, overloaded_machine};
use crate::store::DiskFault;

/// What an action happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A call as such.
    Call,
    /// The pieces of an export, one of which may be named.
    Piece,
    /// The stream of an export as a whole.
    Stream,
    /// Whatever writes to a host's store.
    Store,
    /// A connection, not a call.
    Connection,
    /// A piece on its way between hosts.
    Transfer,
}

/// What is written of an action.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it does, in a sentence.
    pub(crate) does: &'static str,
    pub(crate) scope: Scope,
    /// What it can happen to besides.
    pub(crate) also: &'static [Scope],
    pub(super) takes: Takes,
}

/// The argument of an action.
#[derive(Debug)]
pub(super) enum Takes {
    Nothing(Action),
    Argument(&'static Argument),
}

/// The builder's method of an action with an argument, which takes what the variant takes.
macro_rules! method {
    ($does:literal, $variant:ident($($field:ident: $of:ty),+),) => {};
    ($does:literal, $variant:ident($($field:ident: $of:ty),+), $method:ident) => {
        #[doc = $does]
        pub fn $method(self, $($field: $of),+) -> Fault {
            self.action(Action::$variant($($field),+))
        }
    };
}

/// Makes [`Action`], [`ROWS`], [`Action::effects`] and the builder's methods. A row without argument is
/// `Variant = name in Scope(effect)`, where `name` is that of the builder's method too, and may go on with
/// `also Scope(effect), …`. One with an argument has the name of its method behind `as`, and says what the
/// argument is: how that is read and written stands in `argument.rs`.
macro_rules! actions {
    (
        plain: $(
            #[doc = $does:literal]
            $plain:ident = $method:ident
                in $scope:ident($effect:expr) $(also $($also:ident($other:expr)),+)?;
        )+
        with_argument: $(
            #[doc = $tells:literal]
            $variant:ident($($field:ident: $of:ty),+) = $name:literal $(as $by:ident)?
                in $where:ident($does_there:expr) $(also $($more:ident($does_here:expr)),+)? => $argument:ident;
        )+
    ) => {
        /// What a fault does to the call that it hits.
        ///
        /// ```
        /// use std::time::Duration;
        ///
        /// use fake_dfdaemon::{Action, Fault, Rpc};
        ///
        /// for action in [Action::Stall, Action::Reset, Action::Bandwidth(1 << 20)] {
        ///     let fault = Fault::on(Rpc::Export).action(action);
        ///     assert!(fault.to_json().starts_with(r#"{"on":"export","do":"#));
        /// }
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Action {
            $(#[doc = $tells] $variant($($of),+),)+
            $(#[doc = $does] $plain,)+
        }

        /// Two variants that have a name in common follow each other.
        pub(super) static ROWS: &[Row] = &[
            $(Row {
                name: $name,
                does: $tells,
                scope: Scope::$where,
                also: &[$($(Scope::$more),+)?],
                takes: Takes::Argument(&$argument),
            },)+
            $(Row {
                name: stringify!($method),
                does: $does,
                scope: Scope::$scope,
                also: &[$($(Scope::$also),+)?],
                takes: Takes::Nothing(Action::$plain),
            },)+
        ];

        impl Action {
            /// The action's name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(..) => $name,)+
                    $(Self::$plain => stringify!($method),)+
                }
            }

            pub(super) fn scope(&self) -> Scope {
                match self {
                    $(Self::$variant(..) => Scope::$where,)+
                    $(Self::$plain => Scope::$scope,)+
                }
            }

            /// Whether it can happen there.
            pub(super) fn hits(&self, scope: Scope) -> bool {
                let also: &[Scope] = match self {
                    $(Self::$variant(..) => &[$($(Scope::$more),+)?],)+
                    $(Self::$plain => &[$($(Scope::$also),+)?],)+
                };
                self.scope() == scope || also.contains(&scope)
            }

            /// What it does, at each place where it can happen.
            pub(crate) fn effects(&self) -> Vec<Effect<'_>> {
                match self {
                    $(Self::$variant($($field),+) => {
                        vec![Effect::$where($does_there) $($(, Effect::$more($does_here))+)?]
                    })+
                    $(Self::$plain => vec![Effect::$scope($effect) $($(, Effect::$also($other))+)?],)+
                }
            }
        }

        /// What completes a fault: a method for each action.
        impl FaultBuilder {
            $(method! { $tells, $variant($($field: $of),+), $($by)? })+
            $(
                #[doc = $does]
                pub fn $method(self) -> Fault {
                    self.action(Action::$plain)
                }
            )+
        }
    };
}

actions! {
    plain:
    /// Never answers, until the fault is removed.
    Stall = stall in Call(CallEffect::Stall)
        also Transfer(TransferEffect::Before(CallEffect::Stall)), Connection(ConnectionEffect::Stall);
    /// Closes the connection without a status.
    Reset = reset in Call(CallEffect::Reset) also Transfer(TransferEffect::Before(CallEffect::Reset));
    /// Answers as a dfdaemon whose host the scheduler does not know yet: NotFound `host <id> not found`, wrapped.
    NoHost = no_host in Call(CallEffect::Answer(Answer::OfDfdaemon(host_not_found)));
    /// Answers as a dfdaemon that reaches no scheduler: INTERNAL `available schedulers not found`.
    NoScheduler = no_scheduler in Call(CallEffect::Answer(Answer::OfDfdaemon(|_, _| no_scheduler())));
    /// Answers as a dfdaemon whose machine is out of CPU or memory: RESOURCE_EXHAUSTED.
    Overloaded = overloaded in Call(CallEffect::Answer(Answer::OfDfdaemon(|_, _| overloaded_machine())));
    /// Ends the stream early, with the status OK.
    End = end in Piece(PieceEffect::Damage(PieceDamage::End));
    /// Leaves a piece out.
    SkipPiece = skip_piece in Piece(PieceEffect::Damage(PieceDamage::Skip));
    /// Sends a piece twice.
    RepeatPiece = repeat_piece in Piece(PieceEffect::Damage(PieceDamage::Repeat));
    /// Flips a bit of a piece's content; the digest stays.
    CorruptPiece = corrupt_piece in Piece(PieceEffect::Damage(PieceDamage::FlipBit))
        also Transfer(TransferEffect::Damage(TransferDamage::FlipBit));
    /// Sends a digest that is not the piece's.
    CorruptDigest = corrupt_digest in Piece(PieceEffect::Damage(PieceDamage::WrongDigest));
    /// Sends a piece without digest.
    EmptyDigest = empty_digest in Piece(PieceEffect::Damage(PieceDamage::NoDigest));
    /// Sends a piece without its content.
    NoContent = no_content in Piece(PieceEffect::Damage(PieceDamage::NoContent));
    /// Sends the pieces in another order.
    ShufflePieces = shuffle_pieces in Stream(StreamEffect::Shuffle);
    /// Closes a connection as soon as it is made.
    Refuse = refuse in Connection(ConnectionEffect::Refuse);
    /// Closes the sockets of a host and leaves their names: nobody serves them until the fault is removed.
    Stale = stale in Connection(ConnectionEffect::CloseSockets);
    /// The store has no space left.
    NoSpace = no_space in Store(DiskFault::NoSpace);
    /// The store's disk fails.
    DiskError = disk_error in Store(DiskFault::Error);
    /// The store's disk fails when half of the content is written.
    TornWrite = torn_write in Store(DiskFault::TornWrite);

    with_argument:
    /// Answers with a status.
    Error(error: ErrorAction) = "error" in Call(CallEffect::Answer(Answer::Given(error)))
        also Transfer(TransferEffect::Before(CallEffect::Answer(Answer::Given(error)))) => ERROR;
    /// Waits, by the daemon's clock, then goes on.
    Delay(time: Duration) = "delay" as delay in Call(CallEffect::Wait(*time, *time))
        also Transfer(TransferEffect::Before(CallEffect::Wait(*time, *time))), Connection(ConnectionEffect::Wait)
        => DELAY;
    /// Waits for a time between these two, which the fault seed draws for each call, then goes on.
    DelayBetween(least: Duration, most: Duration) = "delay" as delay_between in Call(CallEffect::Wait(*least, *most))
        also Transfer(TransferEffect::Before(CallEffect::Wait(*least, *most))), Connection(ConnectionEffect::Wait)
        => DELAY;
    /// Sends content at this many bytes a second, by the daemon's clock.
    Bandwidth(bytes_per_second: u64) = "bandwidth" as bandwidth in Piece(PieceEffect::Bandwidth(*bytes_per_second))
        also Transfer(TransferEffect::Damage(TransferDamage::Bandwidth(*bytes_per_second))) => BANDWIDTH;
    /// Adds this to a piece's length.
    WrongLength(add: i64) = "wrong_length" as wrong_length in Piece(PieceEffect::Damage(PieceDamage::Length(*add))) => LENGTH;
    /// Adds this to the content length that the stream starts with.
    WrongContentLength(add: i64) = "wrong_content_length" as wrong_content_length
        in Stream(StreamEffect::Start(StartDamage::ContentLength(*add))) => CONTENT_LENGTH;
}
