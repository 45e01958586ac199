//! Files to import, and what comes out again.

use std::fs::{self, File, Metadata};
use std::io::{BufWriter, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::Result;

/// Files are compared and written in parts of this length, in bytes.
const PART: usize = 1 << 20;

/// A new file of bytes without holes or repeats, the same for the same seed.
pub(crate) fn fill(path: &Path, length: u64, seed: u64) -> Result<()> {
    let mut file = BufWriter::with_capacity(PART, create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (seed << 1);
    let mut rest = length;
    while rest > 0 {
        // xorshift
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let wanted = usize::try_from(rest)
            .unwrap_or(bytes.len())
            .min(bytes.len());
        file.write_all(bytes.get(..wanted).unwrap_or_default())?;
        rest -= wanted as u64;
    }
    file.flush()?;
    Ok(())
}

/// A new file of nothing but a hole.
pub(crate) fn hole(path: &Path, length: u64) -> Result<()> {
    Ok(create(path)?.set_len(length)?)
}

fn create(path: &Path) -> Result<File> {
    let file = File::create_new(path);
    Ok(file.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Fails if the bytes of two files differ.
pub(crate) fn check(original: &Path, copy: &Path) -> Result<()> {
    let open = |path: &Path| {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let metadata = file.metadata()?;
        Result::Ok((file, metadata))
    };
    let (mut left, original) = open(original)?;
    let (mut right, metadata) = open(copy)?;
    if is_same_file(&metadata, &original) {
        return Ok(());
    }
    if metadata.len() != original.len() {
        return Err(format!("{} has another length", copy.display()).into());
    }
    let (mut ours, mut theirs) = (Vec::with_capacity(PART), Vec::with_capacity(PART));
    loop {
        ours.clear();
        theirs.clear();
        Read::by_ref(&mut left)
            .take(PART as u64)
            .read_to_end(&mut ours)?;
        Read::by_ref(&mut right)
            .take(PART as u64)
            .read_to_end(&mut theirs)?;
        if ours != theirs {
            return Err(format!("{} has other bytes", copy.display()).into());
        }
        if ours.is_empty() {
            return Ok(());
        }
    }
}

/// Whether two names are of one file.
pub(crate) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Bytes that can still be written to the file system of a directory.
pub(crate) fn free_space(directory: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(directory)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Memory that can still be used without swapping, in bytes.
pub(crate) fn free_memory() -> Result<u64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let line = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes
        .ok_or("/proc/meminfo has no MemAvailable")?
        .parse::<u64>()?
        << 10)
}

/// Whether two directories are on one file system.
pub(crate) fn same_file_system(one: &Path, other: &Path) -> Result<bool> {
    Ok(fs::metadata(one)?.dev() == fs::metadata(other)?.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let length = 2 * PART as u64 + 3;
        fill(&path("original"), length, 1).unwrap();
        fill(&path("same"), length, 1).unwrap();
        fill(&path("other"), length, 2).unwrap();
        fill(&path("longer"), length + 1, 1).unwrap();
        hole(&path("hole"), length).unwrap();
        check(&path("original"), &path("same")).unwrap();
        for name in ["other", "longer", "hole"] {
            let error = check(&path("original"), &path(name)).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let mut last = fs::read(path("original")).unwrap();
        *last.last_mut().unwrap() ^= 1;
        fs::write(path("last"), last).unwrap();
        assert!(check(&path("original"), &path("last")).is_err());
    }
}
