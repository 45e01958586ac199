//! Between a client and any dfdaemon, real or fake: calls pass through as they are.
//!
//! [`server`] accepts clients, [`connection`] pairs each with a connection of its own to the daemon,
//! [`relay`] moves the bytes of one call, and a [`tap`] sees them.

mod connection;
mod relay;
mod server;
mod tap;
mod upstream;

pub(crate) use self::server::ProxyServer;
pub(crate) use self::tap::Tap;
