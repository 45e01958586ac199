//! Values of options. What is wrong with one tells how to write it.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::call::clock::ClockMode;
use crate::dfdaemon::release::Release;
use crate::dfdaemon::values;
use crate::instance::settings::MAX_HOSTS;

pub(super) fn hosts(text: &str) -> Result<usize, String> {
    let hosts = text
        .parse()
        .ok()
        .filter(|hosts| (1..=MAX_HOSTS).contains(hosts));
    hosts.ok_or_else(|| format!("it must be a whole number from 1 to {MAX_HOSTS}"))
}

/// One of those that there are, which help and completion list.
pub(super) fn release() -> impl TypedValueParser<Value = Release> {
    PossibleValuesParser::new(["0.2", "1.5"]).try_map(|name| name.parse::<Release>())
}

/// A whole number, which may be 0.
pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    let number = text.parse().ok();
    number.ok_or_else(|| "it must be a whole number, such as 100".to_owned())
}

pub(super) fn journal_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "it must be a whole number of calls, at least 1".to_owned())
}

/// In bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    values::size(text).map_err(|why| format!("it is {why}"))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text).map_err(|why| format!("it is {why}"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().ok();
    address.ok_or_else(|| {
        "it must be an address and a port, such as 127.0.0.1:0 or [::1]:65000".to_owned()
    })
}

/// Permission bits.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "it must be permission bits in octal, such as 0600 or 0666".to_owned())
}

pub(super) fn clock(text: &str) -> Result<ClockMode, String> {
    match text.split_once('=') {
        None if text == "system" => Ok(ClockMode::System),
        None if text == "manual" => Ok(ClockMode::Manual(None)),
        Some(("manual", time)) => {
            let time = values::time(time).map_err(|why| format!("{time:?} is {why}"))?;
            Ok(ClockMode::Manual(Some(time)))
        }
        _ => Err(
            "it must be system, manual, or manual=TIME with a time in RFC 3339, such as manual=2030-01-02T03:04:05Z"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_tells_how_to_write_it() {
        assert_eq!(number::<u64>("7"), Ok(7));
        assert!(number::<u64>("-1").unwrap_err().contains("such as 100"));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        let why = duration("5").unwrap_err();
        assert!(why.starts_with("it is a number without a unit; "), "{why}");
        assert!(size("x").unwrap_err().starts_with("it is not a size; "));
        assert!(address("localhost").unwrap_err().contains("127.0.0.1:0"));
        assert!(address("[::1]:65000").is_ok_and(|address| address.port() == 65000));
        assert_eq!(mode("0640"), Ok(0o640));
        assert!(mode("1777").unwrap_err().contains("such as 0600"));
        assert_eq!(clock("manual"), Ok(ClockMode::Manual(None)));
        assert!(
            clock("manual=soon")
                .unwrap_err()
                .starts_with("\"soon\" is not a time")
        );
    }
}
