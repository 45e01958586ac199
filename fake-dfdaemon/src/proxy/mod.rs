//! Between a client and any dfdaemon, real or fake: calls pass through as they are.
//!
//! [`server`] accepts clients, [`connection`] pairs each with a connection of its own to the daemon,
//! [`relay`] moves the bytes of one call, and a [`tap`] sees them. [`record`] makes a [`cassette`] of what
//! it sees.

mod cassette;
mod connection;
mod frames;
mod messages;
mod paths;
mod piece;
mod record;
mod relay;
mod server;
mod status;
mod tap;
mod upstream;

pub(crate) use self::cassette::{CassetteError, ContentMode};
pub(crate) use self::record::{CassetteRecorder, Pattern, RecordSettings};
pub(crate) use self::server::ProxyServer;
pub(crate) use self::tap::Tap;
