//! What a dfdaemon is: its releases, its quirks, its limits, and how its hosts are named.

pub(crate) mod adjustable;
pub(crate) mod limits;
pub(crate) mod quirks;
pub(crate) mod release;

/// The name of a host by its number.
pub(crate) fn host_name(number: usize) -> String {
    format!("host-{number}")
}

/// `<ip>-<hostname>` of a host: each has an address of its own on the loopback interface.
pub(crate) fn host_id(name: &str) -> String {
    let number = name
        .rsplit('-')
        .next()
        .and_then(|number| number.parse::<usize>().ok());
    format!("127.0.0.{}-{name}", number.unwrap_or_default() + 1)
}
