//! Faults: what goes wrong, in which call, and where.
//!
//! A [`Fault`] is a value, written as JSON or as `ON[@KEY=VALUE,…]:DO[=ARG]`. What a fault does to a
//! call is done where the call is answered; the [`registry`] decides which call it hits.

mod action;
pub(crate) mod effect;
mod error;
mod guard;
pub(crate) mod piece;
pub(crate) mod reach;
pub(crate) mod registry;
mod spec;
mod status;
mod table;

pub use self::error::FaultError;
pub use self::guard::FaultGuard;
pub use self::status::ErrorAction;
pub(crate) use self::status::code_name;
#[cfg(feature = "control")]
pub(crate) use self::status::is_code_name;
pub use self::table::Action;
use super::rpc::Rpc;

/// A fault: what goes wrong, and in which calls.
///
/// Not every action can act on every call, nor with every selector: `docs/faults.md` has the table.
/// Parsing or arming a fault that cannot act fails.
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
    /// At most this many firings.
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
    /// A fault in the calls of one kind. An action completes it.
    pub fn on(rpc: Rpc) -> FaultBuilder {
        FaultBuilder::new(Some(rpc))
    }

    /// Whether hosts must look after their sockets when it comes and goes.
    pub(crate) fn closes_sockets(&self) -> bool {
        self.action == Action::Stale
    }

    /// A fault in every call.
    pub fn on_any() -> FaultBuilder {
        FaultBuilder::new(None)
    }
}

/// Selects the calls that a fault hits. The method of an action, such as [`error`](Self::error),
/// completes the fault.
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
#[must_use = "a fault needs an action"]
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

    /// Hits only the n-th matching call, counted from 1, once.
    pub fn call(mut self, number: u64) -> Self {
        self.0.call = Some(number);
        self
    }

    /// Fires at most this often.
    pub fn times(mut self, times: u64) -> Self {
        self.0.times = Some(times);
        self
    }

    /// Hits each matching call with this probability, from 0 to 1. The daemon's fault seed decides
    /// which ones.
    pub fn probability(mut self, probability: f64) -> Self {
        self.0.probability = Some(probability);
        self
    }

    /// Acts after the call has had its effect: only the answer is lost.
    pub fn after(mut self) -> Self {
        self.0.phase = Some(Phase::After);
        self
    }

    /// Acts at the piece of an export with this number.
    pub fn piece(mut self, number: u32) -> Self {
        self.0.piece = Some(number);
        self
    }

    /// Acts when an export has sent this many bytes of content.
    pub fn bytes(mut self, sent: u64) -> Self {
        self.0.bytes = Some(sent);
        self
    }

    /// Completes the fault with any action.
    pub fn action(mut self, action: Action) -> Fault {
        self.0.action = action;
        self.0
    }
}
