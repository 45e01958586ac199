//! Contents of files, from a seed: the same in every run.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub const MIB: usize = 1 << 20;
/// The length of pieces when nobody asks for another.
pub const PIECE: usize = 4 * MIB;

/// `length` bytes that do not repeat, by xorshift64*.
pub fn seeded(seed: u64, length: usize) -> Vec<u8> {
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

/// A number below `bound`, from a seed.
pub fn drawn(seed: u64, bound: u64) -> u64 {
    let bytes = seeded(seed, 8);
    u64::from_le_bytes(bytes.try_into().unwrap()) % bound
}

/// Device and inode: what makes two names one file.
pub fn identity(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

/// Everything in a directory, sorted.
pub fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A file system other than that of `beside`, if this machine has one that anybody may write to.
pub fn other_file_system(beside: &Path) -> Option<tempfile::TempDir> {
    let here = fs::metadata(beside).unwrap().dev();
    ["/dev/shm", "/run", "/var/tmp", "/tmp"]
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|there| there.dev() != here))
        .find_map(|path| tempfile::tempdir_in(path).ok())
}

/// Files compared without printing them when they differ.
#[track_caller]
pub fn assert_same_bytes(path: &Path, expected: &[u8]) {
    let actual = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if let Err(difference) = compare(&actual, expected) {
        panic!("{} differs: {difference}", path.display());
    }
}

pub fn compare(actual: &[u8], expected: &[u8]) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    if actual.len() != expected.len() {
        return Err(format!("{} bytes, not {}", actual.len(), expected.len()));
    }
    let at = actual.iter().zip(expected).position(|(a, b)| a != b);
    Err(format!("at byte {}", at.unwrap_or_default()))
}

/// Every file below a directory.
pub fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}
