//! Numbers, sizes, durations and addresses as they are typed. What is wrong with one tells how it
//! looks.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::dfdaemon::release::Release;
use crate::instance::settings::MAX_HOSTS;

pub(super) fn hosts(text: &str) -> Result<usize, String> {
    let hosts = text
        .parse()
        .ok()
        .filter(|hosts| (1..=MAX_HOSTS).contains(hosts));
    hosts.ok_or_else(|| format!("must be 1 to {MAX_HOSTS} hosts"))
}

/// One of those that there are, which help and completion list.
pub(super) fn release() -> impl TypedValueParser<Value = Release> {
    PossibleValuesParser::new(["0.2", "1.5"]).try_map(|name| name.parse::<Release>())
}

/// A whole number, which may be 0.
pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    let number = text.parse().ok();
    number.ok_or_else(|| "must be a whole number, such as 100".to_owned())
}

pub(super) fn journal_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "must be a number of calls, at least 1".to_owned())
}

/// In bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<ByteSize>();
    let size = size.map_err(|_| "sizes look like 4096, 64KiB or 1.5GiB")?;
    Ok(size.as_u64())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; durations look like 90s, 30m, 1h30m or 2d"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().ok();
    address.ok_or_else(|| "addresses look like 127.0.0.1:0 or [::1]:65000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_tells_how_it_looks() {
        assert_eq!(number::<u64>("7"), Ok(7));
        assert!(number::<u64>("-1").unwrap_err().contains("such as 100"));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert!(size("x").unwrap_err().contains("1.5GiB"));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("5").unwrap_err().contains("90s"));
        assert!(address("localhost").unwrap_err().contains("127.0.0.1:0"));
        assert!(address("[::1]:65000").is_ok_and(|address| address.port() == 65000));
    }
}
