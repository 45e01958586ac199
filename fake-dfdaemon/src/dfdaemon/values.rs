//! Durations, sizes and times as people write them: on the command line, in faults, over the control API. An
//! error completes a sentence that begins with the value, "x is", and shows how to write it. Which values a
//! setting takes is the setting's business.

use std::time::Duration;

use bytesize::ByteSize;
use humantime::DurationError;
use jiff::Timestamp;

/// How to write a duration.
pub(crate) const DURATIONS: &str = "write numbers with units, such as 90s, 30m, 1h30m or 2d";

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| {
        // The parser's own errors tell at which byte it stopped.
        let why = match error {
            DurationError::Empty => "empty".to_owned(),
            _ if text.trim_start().starts_with('-') => "less than nothing".to_owned(),
            DurationError::UnknownUnit { unit, .. } if unit.is_empty() => {
                "a number without a unit".to_owned()
            }
            DurationError::UnknownUnit { unit, .. } => format!("in an unknown unit, {unit}"),
            DurationError::NumberOverflow => "too long, or has too many decimals".to_owned(),
            DurationError::InvalidCharacter(_) | DurationError::NumberExpected(_) => {
                "not a duration".to_owned()
            }
        };
        format!("{why}; {DURATIONS}")
    })
}

/// In bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<ByteSize>();
    let size = size.map_err(|_| "not a size; write bytes, such as 4096, 64KiB or 1.5GiB")?;
    Ok(size.as_u64())
}

pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let time = text.parse().ok();
    time.ok_or_else(|| "not a time in RFC 3339, such as 2030-01-02T03:04:05Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_is_wrong_and_how_to_write_it() {
        for (text, why) in [
            ("", "empty"),
            (" ", "empty"),
            ("x", "not a duration"),
            ("1h-", "not a duration"),
            ("-1h", "less than nothing"),
            ("5", "a number without a unit"),
            ("1h 5", "a number without a unit"),
            ("5 parsecs", "in an unknown unit, parsecs"),
            (
                "99999999999999999999d",
                "too long, or has too many decimals",
            ),
            ("0.5ns", "too long, or has too many decimals"),
        ] {
            assert_eq!(
                duration(text),
                Err(format!("{why}; {DURATIONS}")),
                "{text:?}"
            );
        }
        for example in ["90s", "30m", "1h30m", "2d"] {
            assert!(duration(example).is_ok() && DURATIONS.contains(example));
        }
        for text in ["", "x", "-1", "1 parsec"] {
            assert!(
                size(text).unwrap_err().starts_with("not a size; "),
                "{text:?}"
            );
        }
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert!(time("soon").unwrap_err().ends_with("2030-01-02T03:04:05Z"));
        assert!(time("2030-01-02T03:04:05Z").is_ok());
    }
}
