//! The way of a file's bytes into the store: one pass that copies and hashes, pieces in parallel.
//!
//! Digests are taken of the very bytes that are stored, not of a second look at the source: one that
//! changes meanwhile gives content that still is what its digests and its id say.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use dfdaemon_api::digest::{combined_crc32, crc32};
use dfdaemon_api::piece::PieceLayout;
use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};

use super::cancel::CancelFlag;
use super::disk::{Buffer, Disk, FoundData};

/// Pieces that one import copies and hashes at a time, at most.
const MAX_WORKERS: usize = 4;

/// Copies `source` into `target`, if there is one, and returns the CRC-32 of each piece.
///
/// # Errors
///
/// Those of the disk; `UnexpectedEof` if the source is shorter than the layout; `Interrupted` if
/// cancelled.
pub(crate) fn ingest(
    disk: &Disk,
    source: &File,
    target: Option<&File>,
    layout: PieceLayout,
    cancel: &CancelFlag,
) -> io::Result<Vec<u32>> {
    if target.is_some() && layout.count() == 0 {
        disk.check_sound()?;
    }
    cancel.check()?;
    // What shares its blocks is only read, as what is not to be stored.
    let pass = match target {
        Some(target) if disk.share(source, target, layout.content_length())? => (target, None),
        _ => (source, target),
    };
    let pass = Pass {
        disk,
        source: pass.0,
        found: FoundData::default(),
        target: pass.1,
        layout,
        cancel,
        next: AtomicU32::new(0),
        failure: OnceLock::new(),
        crc32: (0..layout.count()).map(|_| AtomicU32::new(0)).collect(),
    };
    let workers = workers(layout.count());
    // The others end with the scope, which passes a panic of theirs on.
    thread::scope(|scope| {
        for _ in 1..workers {
            // Where there is no thread, those that there are do its part.
            let _ = thread::Builder::new().spawn_scoped(scope, || pass.work());
        }
        pass.work();
    });
    if let Some(failure) = pass.failure.into_inner() {
        return Err(failure);
    }
    // Behind the last data there may be a hole.
    if let Some(target) = pass.target
        && target.metadata()?.len() < layout.content_length()
    {
        target.set_len(layout.content_length())?;
    }
    let crc32 = pass.crc32.into_iter().map(AtomicU32::into_inner);
    Ok(crc32.collect())
}

/// How many threads to use for this many pieces.
fn workers(pieces: u32) -> usize {
    if pieces <= 1 {
        // Asking for the machine's cores reads files, as many as the import of a small one.
        return 1;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.min(MAX_WORKERS).min(pieces as usize)
}

/// One import's pass over its file, shared by the workers.
struct Pass<'a> {
    disk: &'a Disk,
    source: &'a File,
    found: FoundData,
    target: Option<&'a File>,
    layout: PieceLayout,
    cancel: &'a CancelFlag,
    next: AtomicU32,
    /// The first error. It ends all workers, and what they make of that is not it.
    failure: OnceLock<io::Error>,
    crc32: Vec<AtomicU32>,
}

impl Pass<'_> {
    /// Takes pieces until there are none left, or one has failed.
    fn work(&self) {
        let mut buffer = Buffer::new(self.layout.piece_length().min(self.layout.content_length()));
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = self.layout.range(number) else {
                return;
            };
            match (
                self.piece(range, &mut buffer),
                self.crc32.get(number as usize),
            ) {
                (Ok(crc), Some(slot)) => slot.store(crc, Ordering::Relaxed),
                (Ok(_), None) => return,
                (Err(error), _) => {
                    let _ = self.failure.set(error);
                    return;
                }
            }
        }
    }

    fn piece(&self, range: Range<u64>, buffer: &mut Buffer) -> io::Result<u32> {
        let go_on = || self.cancel.check().is_ok() && self.failure.get().is_none();
        let is_new = |target| self.disk.is_unwritten(target, &range);
        if self.disk.is_hole(self.source, &range) && self.target.is_none_or(is_new) {
            self.cancel.check()?;
            return Ok(crc32_of_zeros(range.end - range.start));
        }
        let mut hasher = crc32fast::Hasher::new();
        let mut hash = |bytes: &[u8]| hasher.update(bytes);
        match self.target {
            Some(target) => {
                let (disk, source) = (self.disk, (self.source, &self.found));
                disk.copy_showing(source, target, range, &go_on, buffer, hash)?;
            }
            None => in_chunks(self.disk, self.source, range, buffer, |chunk| {
                hash(chunk);
                self.cancel.check()
            })?,
        }
        Ok(hasher.finalize())
    }
}

/// The CRC-32 of this many zeros, without looking at them.
fn crc32_of_zeros(length: u64) -> u32 {
    let one = (crc32(&[0]), 1);
    let (crc32, _) = (0..u64::BITS - length.leading_zeros()).rev().fold(
        (crc32(&[]), 0),
        |(crc32, length_so_far), bit| {
            let twice = [(crc32, length_so_far); 2].into_iter();
            let more = (length >> bit & 1 == 1).then_some(one);
            let length_so_far = length_so_far * 2 + u64::from(more.is_some());
            (combined_crc32(twice.chain(more)), length_so_far)
        },
    );
    crc32
}

/// The CRC-32 of a part of a file.
pub(crate) fn crc32_of(disk: &Disk, file: &File, range: Range<u64>) -> io::Result<u32> {
    if disk.is_hole(file, &range) {
        return Ok(crc32_of_zeros(range.end - range.start));
    }
    let mut hasher = crc32fast::Hasher::new();
    for_each_chunk(disk, file, range, |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    Ok(hasher.finalize())
}

/// The id of a file that was ingested, from its piece digests where the scheme allows it.
///
/// # Errors
///
/// Those of the disk; `Interrupted` if cancelled.
pub(crate) fn id_of(
    disk: &Disk,
    file: &File,
    scheme: TaskIdScheme,
    layout: PieceLayout,
    crc32: Option<&[u32]>,
    parameters: Parameters<'_>,
    cancel: &CancelFlag,
) -> io::Result<String> {
    let hasher = match (scheme, crc32) {
        (TaskIdScheme::Crc32, Some(crc32)) => {
            let lengths = layout.iter().map(|(_, range)| range.end - range.start);
            let combined = combined_crc32(crc32.iter().copied().zip(lengths));
            TaskIdHasher::from_crc32(combined, layout.content_length())
        }
        _ => {
            let mut hasher = TaskIdHasher::new(scheme);
            let whole = 0..layout.content_length();
            for_each_chunk(disk, file, whole, |chunk| {
                hasher.update(chunk);
                cancel.check()
            })?;
            hasher
        }
    };
    Ok(hasher.finish(parameters))
}

/// Reads a part of a file in order, in chunks that stay in a core's cache, until `with` fails.
pub(crate) fn for_each_chunk(
    disk: &Disk,
    file: &File,
    range: Range<u64>,
    with: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = Buffer::new(range.end - range.start);
    in_chunks(disk, file, range, &mut buffer, with)
}

fn in_chunks(
    disk: &Disk,
    file: &File,
    range: Range<u64>,
    buffer: &mut Buffer,
    mut with: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let found = FoundData::default();
    let mut position = range.start;
    while position < range.end {
        let chunk = disk.read_next((file, &found), position, range.end - position, buffer)?;
        with(chunk)?;
        position += chunk.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn file(disk: &Disk, dir: &Path, name: &str, bytes: &[u8]) -> File {
        let path = dir.join(name);
        disk.write_new(&path, bytes).unwrap();
        disk.open(&path).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn ingested_content_digests_and_id_are_the_files(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            piece_length in 1u64..500,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::new(false);
            let source = file(&disk, dir.path(), "source", &bytes);
            let target = disk.create(&dir.path().join("target")).unwrap();
            let layout = PieceLayout::new(bytes.len() as u64, piece_length).unwrap();
            let flag = CancelFlag::default();
            let digests = ingest(&disk, &source, Some(&target), layout, &flag).unwrap();
            let chunks = bytes.chunks(usize::try_from(piece_length).unwrap());
            prop_assert_eq!(&digests, &chunks.map(crc32).collect::<Vec<_>>());
            prop_assert_eq!(ingest(&disk, &source, None, layout, &flag).unwrap(), digests.clone());
            prop_assert_eq!(fs::read(dir.path().join("target")).unwrap(), bytes.clone());
            for scheme in [TaskIdScheme::Crc32, TaskIdScheme::Sha256] {
                let mut hasher = TaskIdHasher::new(scheme);
                hasher.update(&bytes);
                let id = hasher.finish(Parameters::default());
                for known in [None, Some(digests.as_slice())] {
                    let parameters = Parameters::default();
                    let computed = id_of(&disk, &target, scheme, layout, known, parameters, &flag);
                    prop_assert_eq!(computed.unwrap(), id.clone());
                }
            }
        }
    }

    #[test]
    fn zeros_that_nobody_looks_at_have_the_digest_of_zeros() {
        for length in [0, 1, 2, 3, 4095, 4096, 70_001] {
            let zeros = vec![0; length];
            assert_eq!(crc32_of_zeros(length as u64), crc32(&zeros), "{length}");
        }
    }

    #[test]
    fn a_sparse_file_is_ingested_as_it_is() {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};

        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let source = disk.create(&dir.path().join("source")).unwrap();
        source.set_len(40 << 20).unwrap();
        source.write_all_at(b"data", 13 << 20).unwrap();
        let bytes = fs::read(dir.path().join("source")).unwrap();
        let target = disk.create(&dir.path().join("target")).unwrap();
        let layout = PieceLayout::new(40 << 20, 4 << 20).unwrap();
        let flag = CancelFlag::default();
        let digests = ingest(&disk, &source, Some(&target), layout, &flag).unwrap();
        assert_eq!(
            digests,
            bytes.chunks(4 << 20).map(crc32).collect::<Vec<_>>()
        );
        assert!(fs::read(dir.path().join("target")).unwrap() == bytes);
        let blocks = |file: &File| file.metadata().unwrap().blocks();
        assert!(blocks(&target) <= blocks(&source).max(2048));
    }

    #[test]
    fn a_cancelled_pass_ends_early() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let source = file(&disk, dir.path(), "source", b"content");
        let target = disk.create(&dir.path().join("target")).unwrap();
        let flag = CancelFlag::default();
        flag.cancel();
        let layout = PieceLayout::new(7, 2).unwrap();
        let error = ingest(&disk, &source, Some(&target), layout, &flag).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        let parameters = Parameters::default();
        let error = id_of(
            &disk,
            &source,
            TaskIdScheme::Sha256,
            layout,
            None,
            parameters,
            &flag,
        );
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_source_that_shrank_is_an_early_end() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(false);
        let source = file(&disk, dir.path(), "source", b"content");
        let target = disk.create(&dir.path().join("target")).unwrap();
        let layout = PieceLayout::new(9, 2).unwrap();
        let flag = CancelFlag::default();
        // Many times: which worker fails first is up to the machine.
        for _ in 0..300 {
            let error = ingest(&disk, &source, Some(&target), layout, &flag).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
