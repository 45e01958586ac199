//! How long a task lives.

use std::str::FromStr;
use std::time::Duration;

use super::timeout::duration;
use super::value_error::ValueError;

/// How long a task lives after its import: from one minute to seven days.
///
/// ```
/// use std::time::Duration;
///
/// use dfcache::Ttl;
///
/// assert_eq!(Ttl::from_hours(2).duration(), Duration::from_secs(7200));
/// assert_eq!("2h".parse::<Ttl>()?, Ttl::from_minutes(120));
/// assert_eq!(Ttl::try_from(Duration::from_secs(7200))?, Ttl::from_hours(2));
/// assert!(Ttl::try_from(Duration::from_secs(1)).is_err());
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(Duration);

impl Ttl {
    /// The shortest: one minute.
    pub const MIN: Self = Self(Duration::from_secs(60));
    /// The longest: seven days.
    pub const MAX: Self = Self(Duration::from_secs(7 * 24 * 60 * 60));
    /// The default of an import, as it is written.
    pub const DEFAULT: &str = "1h";

    /// A TTL in minutes.
    ///
    /// # Panics
    ///
    /// If it is not from one minute to seven days. [`Ttl::try_from`] takes any duration.
    #[must_use]
    pub const fn from_minutes(minutes: u64) -> Self {
        assert!(
            1 <= minutes && minutes <= 7 * 24 * 60,
            "a TTL is from 1m to 7d"
        );
        Self(Duration::from_secs(minutes * 60))
    }

    /// A TTL in hours.
    ///
    /// # Panics
    ///
    /// If it is not from one hour to seven days. [`Ttl::try_from`] takes any duration.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        assert!(1 <= hours && hours <= 7 * 24, "a TTL is from 1m to 7d");
        Self(Duration::from_secs(hours * 60 * 60))
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = ValueError;

    fn try_from(ttl: Duration) -> Result<Self, ValueError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&ttl) {
            return Ok(Self(ttl));
        }
        Err(ValueError::Range {
            what: "a ttl",
            minimum: "1m",
            maximum: "7d",
        })
    }
}

impl Default for Ttl {
    /// One hour.
    fn default() -> Self {
        Self(Duration::from_secs(60 * 60))
    }
}

impl FromStr for Ttl {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        duration(raw)?.try_into()
    }
}
