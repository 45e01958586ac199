//! Between a client and any dfdaemon, real or fake: calls pass through as they are.
//!
//! [`server`] accepts clients, [`connection`] pairs each with a connection of its own to the daemon.
//! If no calls are looked into, the bytes [pass](passage) as they are. Otherwise [`relay`] moves the
//! bytes of each call, and a [`tap`] sees them. [`record`] makes a [`cassette`] of what it sees, and
//! [`replay`] answers from one.

mod calls;
mod cassette;
mod compare;
mod connection;
mod diff;
mod frames;
mod messages;
mod outlet;
mod passage;
mod paths;
mod piece;
mod printable;
mod record;
mod relay;
mod replay;
mod server;
mod status;
mod tap;
mod upstream;
mod windows;

pub(crate) use self::calls::{CallSettings, CallsError, ProxiedCalls};
pub(crate) use self::cassette::{CassetteError, ContentMode};
pub(crate) use self::compare::PathMapping;
pub(crate) use self::connection::Upstream;
#[cfg(feature = "program")]
pub(crate) use self::diff::{DiffError, DiffSettings, diff};
#[cfg(feature = "program")]
pub(crate) use self::printable::{printable, printable_json};
pub(crate) use self::record::{CassetteRecorder, Outcome, Pattern, RecordSettings};
pub(crate) use self::replay::{Order, ReplayClients, ReplaySettings, Replayer, Speed};
pub(crate) use self::server::ProxyServer;
