//! How content is cut into pieces.
//!
//! Piece `n` starts at `n * piece_length`; the last one holds the remainder; empty content has
//! none. A piece digest is the CRC-32 of the piece's bytes, see [`crate::digest`].

use std::ops::Range;

/// The shortest piece a task may have, in bytes: 4 MiB.
pub const MIN_PIECE_LENGTH: u64 = 4 << 20;

/// The longest piece a daemon chooses by itself, in bytes: 64 MiB.
pub const MAX_CHOSEN_PIECE_LENGTH: u64 = 64 << 20;

/// How many pieces a daemon aims at before it makes them longer.
const MAX_PIECE_COUNT: u64 = 500;

/// The piece length that a daemon chooses for content of `content_length` bytes when none was
/// requested: the power of two at or above a 500th of it, from 4 MiB to 64 MiB.
#[must_use]
pub fn chosen_piece_length(content_length: u64) -> u64 {
    // Clamped first: `next_power_of_two` overflows near `u64::MAX`.
    (content_length / MAX_PIECE_COUNT)
        .clamp(MIN_PIECE_LENGTH, MAX_CHOSEN_PIECE_LENGTH)
        .next_power_of_two()
}

/// The pieces of one task's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLayout {
    content_length: u64,
    piece_length: u64,
    count: u32,
}

impl PieceLayout {
    /// The layout of `content_length` bytes in pieces of `piece_length` bytes.
    ///
    /// # Errors
    ///
    /// If the piece length is 0, or there would be more pieces than the protocol can number.
    pub fn new(content_length: u64, piece_length: u64) -> Result<Self, LayoutError> {
        if piece_length == 0 {
            return Err(LayoutError::ZeroPieceLength);
        }
        let count = content_length.div_ceil(piece_length);
        let count = u32::try_from(count).map_err(|_| LayoutError::TooManyPieces { count })?;
        Ok(Self {
            content_length,
            piece_length,
            count,
        })
    }

    /// Length of the whole content, in bytes.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// Length of every piece but the last, in bytes.
    #[must_use]
    pub fn piece_length(&self) -> u64 {
        self.piece_length
    }

    /// How many pieces there are; 0 for empty content.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The bytes of piece `number`, or `None` if there is no such piece.
    #[must_use]
    pub fn range(&self, number: u32) -> Option<Range<u64>> {
        if number >= self.count {
            return None;
        }
        let start = u64::from(number) * self.piece_length;
        Some(
            start
                ..self
                    .content_length
                    .min(start.saturating_add(self.piece_length)),
        )
    }

    /// Every piece with its bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Range<u64>)> + use<> {
        let layout = *self;
        (0..self.count).filter_map(move |number| Some((number, layout.range(number)?)))
    }
}

/// Why content cannot be cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A piece length of 0.
    #[error("the piece length is 0")]
    ZeroPieceLength,
    /// A piece's number is a `uint32` on the wire.
    #[error("{count} pieces are more than the protocol can number; use longer pieces")]
    TooManyPieces {
        /// How many pieces there would be.
        count: u64,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn chosen_lengths_are_the_published_ones() {
        for (content_length, piece_length) in [
            (0, 4 * MIB),
            (1, 4 * MIB),
            (2000 * MIB, 4 * MIB),
            (2000 * MIB + 499, 4 * MIB),
            (2000 * MIB + 500, 8 * MIB),
            (4 << 30, 16 * MIB),
            (16 << 30, 64 * MIB),
            (u64::MAX, 64 * MIB),
        ] {
            assert_eq!(
                chosen_piece_length(content_length),
                piece_length,
                "{content_length} bytes"
            );
        }
    }

    #[test]
    fn the_last_piece_holds_the_remainder() {
        let layout = PieceLayout::new(10, 4).unwrap();
        assert_eq!((layout.content_length(), layout.piece_length()), (10, 4));
        assert_eq!(layout.count(), 3);
        let pieces: Vec<_> = layout.iter().collect();
        assert_eq!(pieces, [(0, 0..4), (1, 4..8), (2, 8..10)]);
        assert_eq!(layout.range(3), None);
    }

    #[test]
    fn empty_content_has_no_pieces() {
        let layout = PieceLayout::new(0, 4).unwrap();
        assert_eq!((layout.count(), layout.range(0)), (0, None));
    }

    #[test]
    fn impossible_layouts_are_refused() {
        assert_eq!(PieceLayout::new(1, 0), Err(LayoutError::ZeroPieceLength));
        let count = u64::from(u32::MAX) + 1;
        assert_eq!(
            PieceLayout::new(count, 1),
            Err(LayoutError::TooManyPieces { count })
        );
        assert!(PieceLayout::new(u64::MAX, u64::MAX).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_cover_the_content_exactly_once(length in 0u64..10_000, piece_length in 1u64..300) {
            let layout = PieceLayout::new(length, piece_length).unwrap();
            let mut end = 0;
            for (number, (counted, range)) in layout.iter().enumerate() {
                prop_assert_eq!(number, counted as usize);
                prop_assert_eq!(range.start, end);
                prop_assert!(range.end > range.start && range.end - range.start <= piece_length);
                end = range.end;
            }
            prop_assert_eq!(end, length);
        }

        #[test]
        fn a_chosen_length_is_a_power_of_two_in_its_limits(length in any::<u64>()) {
            let chosen = chosen_piece_length(length);
            prop_assert!(chosen.is_power_of_two());
            prop_assert!((MIN_PIECE_LENGTH..=MAX_CHOSEN_PIECE_LENGTH).contains(&chosen));
            prop_assert!(chosen == MAX_CHOSEN_PIECE_LENGTH || chosen >= length / 500);
        }
    }
}
