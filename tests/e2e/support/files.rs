//! Files: what they hold, and what lies in directories.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use testkit::content::seeded;

pub const MIB: usize = 1 << 20;
/// The length of pieces when nobody asks for another.
pub const PIECE: usize = 4 * MIB;
/// How much of a file is compared at a time.
const PART: usize = 256 << 10;

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

/// Name, inode, content, permissions and times of a file.
pub fn state(path: &Path) -> impl PartialEq + std::fmt::Debug + use<> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let times = (metadata.mtime(), metadata.mtime_nsec(), metadata.nlink());
    (
        identity(path),
        metadata.mode(),
        times,
        fs::read(path).unwrap(),
    )
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

/// A file compared without printing it when it differs.
#[track_caller]
pub fn assert_same_bytes(path: &Path, expected: &[u8]) {
    if let Err(difference) = compare_file(path, expected) {
        panic!("{} differs: {difference}", path.display());
    }
}

/// By parts: the memory of a whole one would be new each time, and its pages take longer than to compare them.
pub fn compare_file(path: &Path, expected: &[u8]) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut part = vec![0; PART.min(expected.len() + 1)];
    let mut rest = expected;
    loop {
        let read = file.read(&mut part).map_err(failed)?;
        let at = expected.len() - rest.len();
        if read == 0 || read > rest.len() {
            let more = if read == 0 { "" } else { " or more" };
            let (length, expected) = (at + read, expected.len());
            return match length == expected {
                true => Ok(()),
                false => Err(format!("{length} bytes{more}, not {expected}")),
            };
        }
        let same;
        (same, rest) = rest.split_at(read);
        compare(&part[..read], same).map_err(|what| format!("{what} behind byte {at}"))?;
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

#[test]
fn content_is_another_at_every_place_and_for_every_seed() {
    const BLOCK: usize = 64 << 10;
    // Of random bytes, one in 256 is the same.
    let most = BLOCK / 64;
    let blocks: Vec<Vec<u8>> = (1..4)
        .flat_map(|seed| {
            seeded(seed, 8 * BLOCK + 7)
                .chunks(BLOCK)
                .map(Vec::from)
                .collect::<Vec<_>>()
        })
        .collect();
    for (number, one) in blocks.iter().enumerate() {
        for other in &blocks[..number] {
            let same = one.iter().zip(other).filter(|(one, other)| one == other);
            assert!(same.count() <= most, "block {number}");
        }
    }
}

#[test]
fn a_file_that_differs_by_a_byte_or_in_its_length_is_not_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let expected = seeded(1, 2 * PART + 10);
    let compared = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        compare_file(&path, &expected)
    };
    assert_eq!(compared(&expected), Ok(()));
    for at in [0, PART - 1, PART, 2 * PART + 9] {
        let mut other = expected.clone();
        other[at] ^= 1;
        compared(&other).unwrap_err();
    }
    for length in [0, 1, PART, 2 * PART, 2 * PART + 9] {
        let short = compared(&expected[..length]);
        assert_eq!(
            short,
            Err(format!("{length} bytes, not {}", expected.len()))
        );
    }
    compared(&[&expected[..], b"x"].concat()).unwrap_err();
    fs::write(&path, "").unwrap();
    assert_eq!(compare_file(&path, b""), Ok(()));
    fs::remove_file(&path).unwrap();
    compare_file(&path, b"").unwrap_err();
}
