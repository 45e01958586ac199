//! The checks of a piece that a parent sends, by a call or by packets.

use std::ops::Range;

use dfdaemon_api::digest::{crc32, parse_piece_digest};

/// What a parent says of a piece, its number, offset and length, must be what was asked for.
pub(super) fn check_place(
    announced: (u32, u64, u64),
    number: u32,
    range: &Range<u64>,
) -> Result<(), String> {
    if announced == (number, range.start, range.end - range.start) {
        return Ok(());
    }
    let (other, offset, length) = announced;
    Err(format!(
        "it sends piece {other} of {length} bytes at {offset} for {number}"
    ))
}

/// The CRC-32 of the content, which must have the digest that the parent says, if it says one.
pub(super) fn check_content(content: &[u8], digest: &str, number: u32) -> Result<u32, String> {
    let actual = crc32(content);
    // There is no digest of content that nobody has read.
    if !digest.is_empty() && parse_piece_digest(digest) != Ok(actual) {
        return Err(format!("piece {number} has not the digest {digest}"));
    }
    Ok(actual)
}
