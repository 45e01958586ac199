//! Values that were parsed and are known to be good: what commands work with.
//!
//! The constants here are the limits that help texts, checks and error messages share. What was
//! typed, and under which names, lives in `cli`.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use super::endpoint::Endpoint;
pub(crate) use super::task_id::TaskId;
pub use super::value_error::ValueError;
use bytesize::ByteSize;
pub use dfdaemon_api::digest::Digest;
use dfdaemon_api::piece::MIN_PIECE_LENGTH;

/// The longest duration that the protocol can carry: 10000 years.
const MAX_WIRE_SECONDS: u64 = 315_576_000_000;

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
    /// What an import uses unless told otherwise, as it is written.
    pub const DEFAULT: &str = "1h";

    /// So many minutes.
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

    /// So many hours.
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
    /// What an import has unless told otherwise, as it is written.
    pub const DEFAULT_IMPORT: &str = "30m";
    /// What an export has unless told otherwise, as it is written.
    pub const DEFAULT_EXPORT: &str = "2h";
    /// What a question has unless told otherwise, as it is written.
    pub const DEFAULT_QUESTION: &str = "30s";

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

/// How long nothing may come while content is awaited; 0 is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallTimeout(Option<Duration>);

impl StallTimeout {
    /// What an export has in the program unless told otherwise, as it is written.
    pub const DEFAULT: &str = "15m";

    /// As a duration; none is for ever.
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

fn duration(raw: &str) -> Result<Duration, ValueError> {
    humantime::parse_duration(raw).map_err(|source| ValueError::Duration {
        reason: source.to_string(),
    })
}

/// The length of a task's pieces, in bytes: at least 4 MiB.
///
/// ```
/// use dfcache::PieceLength;
///
/// assert_eq!(PieceLength::from_mib(64), "64mib".parse()?);
/// assert_eq!(PieceLength::try_from(64 << 20)?, PieceLength::from_mib(64));
/// assert!(PieceLength::try_from(1000).is_err());
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLength(u64);

impl PieceLength {
    /// The shortest: 4 MiB.
    pub const MIN: Self = Self(MIN_PIECE_LENGTH);

    /// So many mebibytes.
    ///
    /// # Panics
    ///
    /// If they are less than 4 or more than 2⁴⁴. [`PieceLength::try_from`] takes any number of bytes.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        assert!(4 <= mib && mib < 1 << 44, "a piece length is at least 4mib");
        Self(mib << 20)
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for PieceLength {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let ByteSize(bytes) = raw.trim().parse().map_err(|_| ValueError::Size)?;
        // Sizes that do not fit are saturated by the parser.
        if bytes == u64::MAX {
            return Err(ValueError::Size);
        }
        bytes.try_into()
    }
}

/// For literals, which are of this type.
impl TryFrom<i32> for PieceLength {
    type Error = ValueError;

    fn try_from(bytes: i32) -> Result<Self, ValueError> {
        let bytes = u64::try_from(bytes).map_err(|_| ValueError::ShortPieces)?;
        bytes.try_into()
    }
}

impl TryFrom<u64> for PieceLength {
    type Error = ValueError;

    fn try_from(bytes: u64) -> Result<Self, ValueError> {
        if bytes < Self::MIN.0 {
            return Err(ValueError::ShortPieces);
        }
        Ok(Self(bytes))
    }
}

/// How many persistent replicas a task is to have: at least one.
///
/// ```
/// use dfcache::ReplicaCount;
///
/// assert_eq!(ReplicaCount::try_from(3)?, "3".parse()?);
/// assert!(ReplicaCount::try_from(0).is_err());
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaCount(u64);

impl ReplicaCount {
    /// What an import asks for unless told otherwise, as it is written.
    pub const DEFAULT: &str = "2";

    /// As a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Default for ReplicaCount {
    /// Two.
    fn default() -> Self {
        Self(2)
    }
}

impl FromStr for ReplicaCount {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let count: u64 = raw.parse().map_err(|_| ValueError::ReplicaCount)?;
        count.try_into()
    }
}

impl TryFrom<u64> for ReplicaCount {
    type Error = ValueError;

    fn try_from(count: u64) -> Result<Self, ValueError> {
        let count = NonZeroU64::new(count).ok_or(ValueError::ReplicaCount)?;
        Ok(count.into())
    }
}

impl TryFrom<u32> for ReplicaCount {
    type Error = ValueError;

    fn try_from(count: u32) -> Result<Self, ValueError> {
        u64::from(count).try_into()
    }
}

/// For literals, which are of this type.
impl TryFrom<i32> for ReplicaCount {
    type Error = ValueError;

    fn try_from(count: i32) -> Result<Self, ValueError> {
        let count = u64::try_from(count).map_err(|_| ValueError::ReplicaCount)?;
        count.try_into()
    }
}

impl From<NonZeroU64> for ReplicaCount {
    fn from(count: NonZeroU64) -> Self {
        Self(count.get())
    }
}

/// A value that was given to a request; the first that is invalid is remembered, and reported
/// when the request is used.
pub(crate) fn taken<V, T>(value: T, invalid: &mut Option<ValueError>) -> Option<V>
where
    T: TryInto<V>,
    ValueError: From<T::Error>,
{
    match value.try_into() {
        Ok(value) => Some(value),
        Err(error) => {
            invalid.get_or_insert(error.into());
            None
        }
    }
}

#[cfg(test)]
mod tests;
