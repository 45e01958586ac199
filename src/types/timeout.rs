//! How long an operation may take, and how long nothing may come.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime::DurationError;

use super::value_error::ValueError;

/// The longest duration that the protocol can carry: 10000 years.
const MAX_WIRE_SECONDS: u64 = 315_576_000_000;

/// How long a whole operation may take.
///
/// ```
/// use std::time::Duration;
///
/// use dfcache::Timeout;
///
/// assert_eq!(Timeout::from(Duration::from_secs(90)), "1m 30s".parse()?);
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(Duration);

impl Timeout {
    /// The program's default for an import, as it is written. A [`Client`](crate::Client) has none.
    pub const DEFAULT_IMPORT: &str = "30m";
    /// The program's default for an export.
    pub const DEFAULT_EXPORT: &str = "2h";
    /// The program's default for `stat`, `ls` and `doctor`.
    pub const DEFAULT_STAT: &str = "30s";

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Timeout {
    /// What is longer than the protocol can carry, 10000 years, is as long as that.
    fn from(timeout: Duration) -> Self {
        Self(timeout.min(Duration::from_secs(MAX_WIRE_SECONDS)))
    }
}

impl FromStr for Timeout {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let timeout = duration(raw)?;
        if timeout.is_zero() {
            return Err(ValueError::ZeroTimeout);
        }
        if timeout > Duration::from_secs(MAX_WIRE_SECONDS) {
            return Err(ValueError::LongTimeout);
        }
        Ok(Self(timeout))
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// How long the daemon may send nothing during an export; 0 is for ever.
///
/// ```
/// use std::time::Duration;
///
/// use dfcache::StallTimeout;
///
/// let stall: StallTimeout = "15m".parse()?;
/// assert_eq!(stall.duration(), Some(Duration::from_secs(900)));
/// assert_eq!("0".parse::<StallTimeout>()?.duration(), None);
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallTimeout(Option<Duration>);

impl StallTimeout {
    /// The program's default for an export, as it is written. An [`ExportRequest`](crate::ExportRequest) has none.
    pub const DEFAULT: &str = "15m";

    /// As a duration; `None` is for ever.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        self.0
    }
}

impl FromStr for StallTimeout {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let stall = duration(raw)?;
        if stall > Duration::from_secs(MAX_WIRE_SECONDS) {
            return Err(ValueError::LongTimeout);
        }
        Ok(Self((!stall.is_zero()).then_some(stall)))
    }
}

/// A duration as it is typed.
pub(super) fn duration(raw: &str) -> Result<Duration, ValueError> {
    humantime::parse_duration(raw).map_err(|error| {
        // The parser's own errors tell at which byte it stopped.
        let reason = match error {
            DurationError::Empty => "empty".to_owned(),
            _ if raw.trim_start().starts_with('-') => "less than nothing".to_owned(),
            DurationError::UnknownUnit { unit, .. } if unit.is_empty() => {
                "a number without a unit".to_owned()
            }
            DurationError::UnknownUnit { unit, .. } => format!("in an unknown unit, {unit}"),
            DurationError::NumberOverflow => "too long, or has too many decimals".to_owned(),
            DurationError::InvalidCharacter(_) | DurationError::NumberExpected(_) => {
                "not a duration".to_owned()
            }
        };
        ValueError::Duration { reason }
    })
}
