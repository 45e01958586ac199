//! A number of persistent replicas.

use std::num::NonZeroU64;
use std::str::FromStr;

use super::value_error::ValueError;

/// How many persistent replicas a task gets: at least one.
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
    /// The default of an import, as it is written.
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
