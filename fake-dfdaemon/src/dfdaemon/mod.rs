//! What a dfdaemon is: its releases, its quirks, its limits, and how its hosts are named.

pub(crate) mod limits;
pub(crate) mod quirks;
pub(crate) mod release;

/// The name of a host by its number.
pub(crate) fn host_name(number: usize) -> String {
    format!("host-{number}")
}
