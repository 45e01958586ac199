//! Between a client and any dfdaemon, real or fake: calls pass through as they are.
//!
//! [`server`] accepts clients, [`connection`] pairs each with a connection of its own to the daemon,
//! [`relay`] moves the bytes of one call, and a [`tap`] sees them.

pub(crate) mod command;
mod connection;
mod error;
mod options;
mod relay;
mod server;
mod tap;
mod upstream;

pub(crate) use self::error::ProxyError;
pub(crate) use self::options::ProxyCommand;
