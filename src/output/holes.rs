//! Which bytes need not be written: a file that was made longer has zeros already, and no blocks.

use std::ops::Range;

/// Holes are looked for in blocks of this many bytes: those of most file systems.
const BLOCK: u64 = 4 << 10;

/// The parts of `bytes`, which go to `offset`, that are not zeros from one block of the file to the
/// next.
pub(crate) fn data(bytes: &[u8], offset: u64) -> impl Iterator<Item = Range<usize>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let mut next = position;
        while next < bytes.len() {
            let end = end_of_block(next, bytes.len(), offset);
            if !is_zero(&bytes[next..end]) {
                break;
            }
            next = end;
        }
        let start = next;
        while next < bytes.len() {
            let end = end_of_block(next, bytes.len(), offset);
            if is_zero(&bytes[next..end]) {
                break;
            }
            next = end;
        }
        position = next;
        (start < next).then_some(start..next)
    })
}

fn end_of_block(position: usize, length: usize, offset: u64) -> usize {
    let left = BLOCK - (offset + position as u64) % BLOCK;
    usize::try_from(left).map_or(length, |left| length.min(position + left))
}

fn is_zero(block: &[u8]) -> bool {
    // Most blocks of data say so by their first bytes.
    let (words, rest) = block.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_of_zeros_are_left_out_where_the_file_has_its_blocks() {
        let ranges = |bytes: &[u8], offset| {
            let ranges = data(bytes, offset).map(|range| (range.start, range.end));
            ranges.collect::<Vec<_>>()
        };
        let block = 4096;
        assert!(ranges(&[], 0).is_empty());
        assert_eq!(ranges(&[1; 10], 0), [(0, 10)]);
        assert!(ranges(&[0; 10], 7).is_empty());
        let mut bytes = vec![0; 4 * block];
        assert!(ranges(&bytes, 0).is_empty());
        bytes[block] = 1;
        assert_eq!(ranges(&bytes, 0), [(block, 2 * block)]);
        // The same byte lies in another block of the file.
        assert_eq!(ranges(&bytes, 4095), [(1, block + 1)]);
        bytes[4 * block - 1] = 1;
        assert_eq!(
            ranges(&bytes, 0),
            [(block, 2 * block), (3 * block, 4 * block)]
        );
        bytes[2 * block] = 1;
        assert_eq!(ranges(&bytes, 0), [(block, 4 * block)]);
    }

    proptest! {
        #[test]
        fn what_is_left_out_is_zeros(
            runs in prop::collection::vec((any::<bool>(), 1_usize..9000), 0..8),
            offset in 0_u64..10_000,
        ) {
            let bytes: Vec<u8> = runs
                .iter()
                .flat_map(|(zero, length)| vec![u8::from(!zero); *length])
                .collect();
            let mut written = vec![0; bytes.len()];
            let mut end = 0;
            for range in data(&bytes, offset) {
                prop_assert!(range.start >= end && range.start < range.end);
                end = range.end;
                written[range.clone()].copy_from_slice(&bytes[range]);
            }
            prop_assert_eq!(written, bytes);
        }
    }
}
