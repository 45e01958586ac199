//! Content for files: the same for the same seed, different for another; and how ids are made of it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dfdaemon_api::task_id::TaskIdScheme;

pub use testkit::content::seeded as bytes;

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
pub fn scheme(release: impl Display) -> TaskIdScheme {
    match release.to_string().as_str() {
        "0.2" => TaskIdScheme::Crc32,
        "1.5" => TaskIdScheme::Sha256,
        other => panic!("{other} is no release"),
    }
}
