//! Which bytes of some content have come: pure bookkeeping, no files and no network.
//!
//! A piece's number is not trusted, only its offset and length: what counts is that every byte
//! of the content came, and that pieces do not contradict each other.

use std::collections::BTreeMap;

use thiserror::Error;

/// How many pieces are taken at most: each costs memory. They make 16 TiB of the shortest pieces that
/// a dfdaemon makes, 4 MiB.
const MAX_PIECES: usize = 1 << 22;

/// The pieces that have come, in any order.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    content_length: u64,
    covered: u64,
    /// Length by offset; neither empty nor overlapping.
    pieces: BTreeMap<u64, u64>,
    max_pieces: usize,
}

/// What a piece adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addition {
    /// Bytes that had not come before.
    New,
    /// A piece that has come before, or an empty one.
    Known,
}

impl Coverage {
    /// Nothing of `content_length` bytes.
    pub(crate) fn new(content_length: u64) -> Self {
        Self {
            content_length,
            covered: 0,
            pieces: BTreeMap::new(),
            max_pieces: MAX_PIECES,
        }
    }

    /// Adds the piece of `length` bytes at `offset`. Nothing is added if it fails.
    ///
    /// # Errors
    ///
    /// If it reaches beyond the content, overlaps another piece without being the same, or is one too
    /// many.
    pub(crate) fn add(&mut self, offset: u64, length: u64) -> Result<Addition, CoverageError> {
        let content_length = self.content_length;
        let end = offset
            .checked_add(length)
            .filter(|end| *end <= content_length)
            .ok_or(CoverageError::BeyondEnd {
                offset,
                length,
                content_length,
            })?;
        if length == 0 || self.pieces.get(&offset) == Some(&length) {
            return Ok(Addition::Known);
        }
        // Pieces do not overlap, so the last one that starts before `end` reaches farthest.
        let neighbour = self.pieces.range(..end).next_back();
        if let Some((start, other)) = neighbour
            && start + other > offset
        {
            return Err(CoverageError::Overlap { offset, length });
        }
        if self.pieces.len() >= self.max_pieces {
            return Err(CoverageError::TooMany(self.max_pieces));
        }
        self.pieces.insert(offset, length);
        self.covered += length;
        Ok(Addition::New)
    }

    /// How many bytes have come, each counted once.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// How many pieces have come, each counted once.
    pub(crate) fn piece_count(&self) -> usize {
        self.pieces.len()
    }

    /// Whether every byte has come.
    ///
    /// # Errors
    ///
    /// If bytes are missing, naming the first gap.
    pub(crate) fn complete(&self) -> Result<(), CoverageError> {
        if self.covered == self.content_length {
            return Ok(());
        }
        let mut gap = 0;
        for (offset, length) in &self.pieces {
            if *offset > gap {
                break;
            }
            gap = offset + length;
        }
        Err(CoverageError::Missing {
            offset: gap,
            covered: self.covered,
            content_length: self.content_length,
        })
    }
}

/// Why pieces do not make up the content. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum CoverageError {
    /// More pieces than are taken.
    #[error("there are more than {0} pieces")]
    TooMany(usize),
    /// A piece outside the content.
    #[error(
        "a piece of {length} bytes at {offset} lies beyond the {content_length} bytes that were announced"
    )]
    BeyondEnd {
        /// Where the piece starts.
        offset: u64,
        /// How long it is.
        length: u64,
        /// How long the content is.
        content_length: u64,
    },
    /// A piece that contradicts another one.
    #[error("a piece of {length} bytes at {offset} overlaps another one")]
    Overlap {
        /// Where the piece starts.
        offset: u64,
        /// How long it is.
        length: u64,
    },
    /// Bytes that never came.
    #[error("only {covered} of {content_length} bytes came; the first gap is at {offset}")]
    Missing {
        /// The first byte that is missing.
        offset: u64,
        /// How many bytes came.
        covered: u64,
        /// How many there should be.
        content_length: u64,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repeated_piece_counts_once() {
        let mut coverage = Coverage::new(10);
        assert_eq!(coverage.add(4, 6), Ok(Addition::New));
        assert_eq!(coverage.add(4, 6), Ok(Addition::Known));
        assert_eq!((coverage.covered(), coverage.piece_count()), (6, 1));
    }

    #[test]
    fn only_so_many_pieces_are_taken() {
        let mut coverage = Coverage::new(10);
        coverage.max_pieces = 2;
        coverage.add(0, 1).unwrap();
        coverage.add(1, 1).unwrap();
        assert_eq!(coverage.add(2, 1), Err(CoverageError::TooMany(2)));
        assert_eq!(coverage.add(1, 1), Ok(Addition::Known));
    }

    #[test]
    fn pieces_beyond_the_content_are_refused() {
        let mut coverage = Coverage::new(10);
        for (offset, length) in [(0, 11), (10, 1), (u64::MAX, 1), (1, u64::MAX), (11, 0)] {
            let refused = CoverageError::BeyondEnd {
                offset,
                length,
                content_length: 10,
            };
            assert_eq!(coverage.add(offset, length), Err(refused));
        }
        assert_eq!(coverage.covered(), 0);
    }

    #[test]
    fn the_first_gap_is_named() {
        let mut coverage = Coverage::new(12);
        coverage.add(0, 4).unwrap();
        coverage.add(8, 4).unwrap();
        let missing = CoverageError::Missing {
            offset: 4,
            covered: 8,
            content_length: 12,
        };
        assert_eq!(coverage.complete(), Err(missing));
        assert_eq!(
            coverage.add(3, 6),
            Err(CoverageError::Overlap {
                offset: 3,
                length: 6
            })
        );
        coverage.add(4, 4).unwrap();
        assert_eq!(coverage.complete(), Ok(()));
    }

    #[test]
    fn empty_content_is_complete_and_the_longest_costs_nothing() {
        assert_eq!(Coverage::new(0).complete(), Ok(()));
        assert!(Coverage::new(u64::MAX).complete().is_err());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map_of_bytes(
            pieces in prop::collection::vec((0u64..40, 0u64..12), 0..30),
        ) {
            let mut coverage = Coverage::new(40);
            let mut bytes = [None; 40];
            for piece @ (offset, length) in pieces {
                let inside = offset + length <= 40;
                let range = offset as usize..(offset + length).min(40) as usize;
                let expected_new = inside && length > 0 && bytes[range.clone()].iter().all(Option::is_none);
                let known = inside && bytes[range.clone()].iter().all(|owner| *owner == Some(piece));
                match coverage.add(offset, length) {
                    Ok(Addition::New) => {
                        prop_assert!(expected_new);
                        bytes[range].fill(Some(piece));
                    }
                    Ok(Addition::Known) => prop_assert!(known),
                    Err(_) => prop_assert!(!expected_new && !known),
                }
            }
            let covered = bytes.iter().flatten().count() as u64;
            prop_assert_eq!(coverage.covered(), covered);
            prop_assert_eq!(coverage.complete().is_ok(), covered == 40);
        }

        #[test]
        fn any_order_of_all_pieces_is_complete(
            (length, piece_length, order) in (1u64..500, 1u64..60).prop_flat_map(|(length, piece)| {
                let numbers: Vec<u64> = (0..length.div_ceil(piece)).collect();
                (Just(length), Just(piece), Just(numbers).prop_shuffle())
            }),
        ) {
            let mut coverage = Coverage::new(length);
            for number in order {
                prop_assert!(coverage.complete().is_err());
                let offset = number * piece_length;
                let added = coverage.add(offset, piece_length.min(length - offset));
                prop_assert_eq!(added, Ok(Addition::New));
            }
            prop_assert_eq!(coverage.complete(), Ok(()));
        }
    }
}
