//! Content from a seed: the same in every run, and for another seed another.

/// What is calculated. The rest of what is longer is made of it: unoptimised, a MiB would take more CPU than the
/// programs take to send it.
const BLOCK: usize = 64 << 10;

/// `length` bytes without a pattern. No two blocks are the same, nor is a part of one that lies elsewhere in another:
/// each is the first one, turned by a number of bytes that no other is turned by.
#[must_use]
pub fn seeded(seed: u64, length: usize) -> Vec<u8> {
    let first = calculated(seed, length.min(BLOCK));
    let mut bytes = Vec::with_capacity(length.next_multiple_of(BLOCK));
    for number in 0..length.div_ceil(BLOCK) {
        // These numbers times an odd one are all different below a power of two, and so are the steps between them.
        let triangular = number * (number + 1) / 2;
        let turn = triangular.wrapping_mul(40_503) % first.len();
        bytes.extend_from_slice(&first[turn..]);
        bytes.extend_from_slice(&first[..turn]);
    }
    bytes.truncate(length);
    bytes
}

/// By xorshift64*.
fn calculated(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // By words: a vector that grows would calculate three times as much, unoptimised.
    let mut words = vec![[0; 8]; length.div_ceil(8)];
    for word in &mut words {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        *word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
    }
    let mut bytes = words.into_flattened();
    bytes.truncate(length);
    bytes
}
