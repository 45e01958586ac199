//! What a dfdaemon is: its releases, its quirks, its limits, and how its hosts are named. The mutex and the
//! reading of durations and sizes for all rooms are here too, since no room lies below this one.

pub(crate) mod adjustable;
pub(crate) mod blocklist;
pub(crate) mod limits;
pub(crate) mod mutex;
pub(crate) mod quirks;
pub(crate) mod release;
pub(crate) mod request_limit;
pub(crate) mod statuses;
pub(crate) mod task_id;
pub(crate) mod values;

use std::fmt;

/// A host of a fake, by its place among them. Each was made by [`HostNumber::all`], so that there is
/// such a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostNumber(usize);

impl HostNumber {
    pub(crate) const FIRST: Self = Self(0);

    /// The numbers of this many hosts.
    pub(crate) fn all(hosts: usize) -> impl Iterator<Item = Self> + Clone {
        (0..hosts).map(Self)
    }

    /// Its place in a list of all hosts.
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// Its name.
    pub(crate) fn name(self) -> String {
        format!("host-{}", self.0)
    }

    #[cfg(test)]
    pub(crate) const fn of(index: usize) -> Self {
        Self(index)
    }
}

impl fmt::Display for HostNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// `<ip>-<hostname>` of a host: each has an address of its own on the loopback interface.
pub(crate) fn host_id(name: &str) -> String {
    let number = name
        .rsplit('-')
        .next()
        .and_then(|number| number.parse::<usize>().ok());
    format!("127.0.0.{}-{name}", number.unwrap_or_default() + 1)
}
