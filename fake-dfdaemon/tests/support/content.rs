//! Content for files: the same for the same seed, different for another; and how ids are made of it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dfdaemon_api::task_id::Scheme;

/// `length` bytes without a pattern.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    // By words: a vector that grows would calculate three times as much, unoptimised.
    let mut words = vec![[0; 8]; length.div_ceil(8)];
    for word in &mut words {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *word = (mixed ^ (mixed >> 27)).to_le_bytes();
    }
    let mut bytes = words.into_flattened();
    bytes.truncate(length);
    bytes
}

/// A new file in a directory, with content that no other has.
pub fn new_file(directory: &Path, length: usize) -> (PathBuf, Vec<u8>) {
    static NEXT_SEED: AtomicU64 = AtomicU64::new(1);
    let seed = NEXT_SEED.fetch_add(1, Ordering::Relaxed);
    let bytes = bytes(seed, length);
    let path = directory.join(format!("source-{seed}"));
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

/// How a release, such as 0.2, computes task ids.
pub fn scheme(release: impl Display) -> Scheme {
    match release.to_string().as_str() {
        "0.2" => Scheme::Crc32,
        "1.5" => Scheme::Sha256,
        other => panic!("{other} is no release"),
    }
}
