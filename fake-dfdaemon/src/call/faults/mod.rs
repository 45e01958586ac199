//! Faults: what shall go wrong, in which call, and where.
//!
//! A [`Fault`] is a value, written as JSON or as `ON[@KEY=VALUE,…]:DO[=ARG]`. What a fault does to a
//! call is done where the call is answered; the [`registry`] decides which call it hits.

mod action;
mod error;
pub(crate) mod reach;
pub(crate) mod registry;
mod spec;

use std::time::Duration;

use tonic::Code;

pub(crate) use self::action::code_name;
#[cfg(feature = "control")]
pub(crate) use self::action::is_code_name;
pub use self::action::{Action, ErrorAction};
pub use self::error::FaultError;
pub use self::registry::FaultGuard;
use super::rpc::Rpc;

/// Something that goes wrong in the calls that it matches.
///
/// ```
/// use fake_dfdaemon::{Code, FakeDfdaemon, Fault, Rpc};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let gone = Fault::on(Rpc::Export).call(2).piece(3).error(Code::Unavailable);
/// assert_eq!(Ok(&gone), "export@call=2,piece=3:error=UNAVAILABLE".parse().as_ref());
/// let _gone = daemon.fault(gone); // until it is dropped
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a fault does nothing until a daemon is given it"]
pub struct Fault {
    /// The call; `None` is any.
    pub(crate) on: Option<Rpc>,
    pub(crate) host: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
    /// The n-th matching call, from 1.
    pub(crate) call: Option<u64>,
    /// At most so many firings.
    pub(crate) times: Option<u64>,
    /// From 0 to 1.
    pub(crate) probability: Option<f64>,
    pub(crate) phase: Option<Phase>,
    /// The piece of an export, by number.
    pub(crate) piece: Option<u32>,
    /// Content of an export that was sent so far, in bytes.
    pub(crate) bytes: Option<u64>,
    pub(crate) action: Action,
}

/// When a fault hits, apart from places in the stream of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the call has any effect.
    Before,
    /// When it has had its effect; the answer is lost.
    After,
}

impl Fault {
    /// A fault in the calls of one kind. It is whole once it is told what to do.
    pub fn on(rpc: Rpc) -> FaultBuilder {
        FaultBuilder::new(Some(rpc))
    }

    /// A fault in every call.
    pub fn on_any() -> FaultBuilder {
        FaultBuilder::new(None)
    }
}

/// Narrows a fault down; what it does completes it. Each action of the grammar has a method.
///
/// ```
/// use fake_dfdaemon::{Action, Code, Fault, Rpc};
///
/// let gone = Fault::on(Rpc::Stat).call(2).error(Code::Unavailable);
/// let short = Fault::on(Rpc::Export).piece(3).wrong_length(-1);
/// assert_eq!(Ok(gone), "stat@call=2:error=UNAVAILABLE".parse());
/// assert_eq!(short, Fault::on(Rpc::Export).piece(3).action(Action::WrongLength(-1)));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault is whole once it is told what to do"]
pub struct FaultBuilder(Fault);

impl FaultBuilder {
    fn new(on: Option<Rpc>) -> Self {
        Self(Fault {
            on,
            host: None,
            task: None,
            tag: None,
            application: None,
            call: None,
            times: None,
            probability: None,
            phase: None,
            piece: None,
            bytes: None,
            action: Action::Stall,
        })
    }

    /// Only calls to this host, such as `host-1`.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.0.host = Some(name.into());
        self
    }

    /// Only calls for this task.
    pub fn task(mut self, id: impl Into<String>) -> Self {
        self.0.task = Some(id.into());
        self
    }

    /// Only calls with this tag, or for a task that has it.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.0.tag = Some(tag.into());
        self
    }

    /// Only calls with this application, or for a task that has it.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.0.application = Some(application.into());
        self
    }

    /// Only the n-th call that matches, from 1. It fires once.
    pub fn call(mut self, number: u64) -> Self {
        self.0.call = Some(number);
        self
    }

    /// At most so many times.
    pub fn times(mut self, times: u64) -> Self {
        self.0.times = Some(times);
        self
    }

    /// In this share of the calls that match, from 0 to 1; which ones depends on the daemon's seed.
    pub fn probability(mut self, probability: f64) -> Self {
        self.0.probability = Some(probability);
        self
    }

    /// Once the call has had its effect, so that only the answer is lost.
    pub fn after(mut self) -> Self {
        self.0.phase = Some(Phase::After);
        self
    }

    /// At this piece of an export, by number.
    pub fn piece(mut self, number: u32) -> Self {
        self.0.piece = Some(number);
        self
    }

    /// Once an export has sent so much content, in bytes.
    pub fn bytes(mut self, sent: u64) -> Self {
        self.0.bytes = Some(sent);
        self
    }

    /// Answers with a status.
    pub fn error(self, code: Code) -> Fault {
        self.error_with(code, "an injected fault")
    }

    /// Answers with a status and a message.
    pub fn error_with(self, code: Code, message: impl Into<String>) -> Fault {
        let error = ErrorAction {
            code,
            message: message.into(),
            details: Vec::new(),
        };
        self.action(Action::Error(error))
    }

    /// Waits, by the daemon's clock, then goes on.
    pub fn delay(self, delay: Duration) -> Fault {
        self.action(Action::Delay(delay))
    }

    /// The same for a time between these two, which the seed draws for each call.
    pub fn delay_between(self, least: Duration, most: Duration) -> Fault {
        self.action(Action::DelayBetween(least, most))
    }

    /// Answers as a dfdaemon whose host the scheduler does not know yet.
    pub fn no_host(self) -> Fault {
        self.action(Action::NoHost)
    }

    /// Answers as a dfdaemon that reaches no scheduler.
    pub fn no_scheduler(self) -> Fault {
        self.action(Action::NoScheduler)
    }

    /// Answers as a dfdaemon whose machine is out of CPU or memory.
    pub fn overloaded(self) -> Fault {
        self.action(Action::Overloaded)
    }

    /// Never answers, until the fault is removed.
    pub fn stall(self) -> Fault {
        self.action(Action::Stall)
    }

    /// Closes the connection without a status.
    pub fn reset(self) -> Fault {
        self.action(Action::Reset)
    }

    /// Sends content at so many bytes a second, by the daemon's clock.
    pub fn bandwidth(self, bytes_per_second: u64) -> Fault {
        self.action(Action::Bandwidth(bytes_per_second))
    }

    /// Ends the stream early, as if all were well.
    pub fn end(self) -> Fault {
        self.action(Action::End)
    }

    /// Leaves a piece out.
    pub fn skip_piece(self) -> Fault {
        self.action(Action::SkipPiece)
    }

    /// Sends a piece twice.
    pub fn repeat_piece(self) -> Fault {
        self.action(Action::RepeatPiece)
    }

    /// Sends the pieces in another order.
    pub fn shuffle_pieces(self) -> Fault {
        self.action(Action::ShufflePieces)
    }

    /// Flips a bit of a piece's content; the digest stays.
    pub fn corrupt_piece(self) -> Fault {
        self.action(Action::CorruptPiece)
    }

    /// Sends a digest that is not the piece's.
    pub fn corrupt_digest(self) -> Fault {
        self.action(Action::CorruptDigest)
    }

    /// Sends a piece without digest.
    pub fn empty_digest(self) -> Fault {
        self.action(Action::EmptyDigest)
    }

    /// Sends a piece without its content.
    pub fn no_content(self) -> Fault {
        self.action(Action::NoContent)
    }

    /// Adds this to a piece's length.
    pub fn wrong_length(self, add: i64) -> Fault {
        self.action(Action::WrongLength(add))
    }

    /// Adds this to the content length that the stream starts with.
    pub fn wrong_content_length(self, add: i64) -> Fault {
        self.action(Action::WrongContentLength(add))
    }

    /// The store has no space left.
    pub fn no_space(self) -> Fault {
        self.action(Action::NoSpace)
    }

    /// The store's disk fails.
    pub fn disk_error(self) -> Fault {
        self.action(Action::DiskError)
    }

    /// The store's disk fails when half of the content is written.
    pub fn torn_write(self) -> Fault {
        self.action(Action::TornWrite)
    }

    /// Any action.
    pub fn action(mut self, action: Action) -> Fault {
        self.0.action = action;
        self.0
    }
}
