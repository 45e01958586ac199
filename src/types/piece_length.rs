//! The length of pieces.

use std::str::FromStr;

use bytesize::ByteSize;
use dfdaemon_api::piece::MIN_PIECE_LENGTH;

use super::value_error::ValueError;

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

    /// A length in mebibytes.
    ///
    /// # Panics
    ///
    /// If they are less than 4 or more than 2⁴⁴. [`PieceLength::try_from`] takes any number of bytes.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        assert!(
            4 <= mib && mib < 1 << 44,
            "a piece length must be at least 4mib"
        );
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
