//! The way of a file's bytes into the store: one pass that copies and hashes, pieces in parallel.
//!
//! Digests are taken of what was stored, not of the source: a source that changes meanwhile gives
//! content that still is what its digests and its id say.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use dfdaemon_api::digest::combined_crc32;
use dfdaemon_api::piece::PieceLayout;
use dfdaemon_api::task_id::{Parameters, Scheme, TaskIdHasher};

use super::disk::Disk;

/// How much is hashed at once, in bytes: small enough to stay in a core's cache.
const HASH_BUFFER: usize = 256 << 10;

/// Pieces that one import copies and hashes at a time, at most.
const MAX_WORKERS: usize = 4;

/// Tells work that nobody waits for its result any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// `Interrupted` if cancelled.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

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
    let pass = Pass {
        disk,
        source,
        target,
        layout,
        cancel,
        next: AtomicU32::new(0),
        failure: OnceLock::new(),
        crc32: (0..layout.count()).map(|_| AtomicU32::new(0)).collect(),
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(MAX_WORKERS).min(layout.count() as usize);
    // The others end with the scope, which passes a panic of theirs on.
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|| pass.work());
        }
        pass.work();
    });
    let crc32 = pass.crc32.into_iter().map(AtomicU32::into_inner);
    pass.failure
        .into_inner()
        .map_or_else(|| Ok(crc32.collect()), Err)
}

/// One import's pass over its file, shared by the workers.
struct Pass<'a> {
    disk: &'a Disk,
    source: &'a File,
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
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = self.layout.range(number) else {
                return;
            };
            match (self.piece(range), self.crc32.get(number as usize)) {
                (Ok(crc), Some(slot)) => slot.store(crc, Ordering::Relaxed),
                (Ok(_), None) => return,
                (Err(error), _) => {
                    let _ = self.failure.set(error);
                    return;
                }
            }
        }
    }

    fn piece(&self, range: Range<u64>) -> io::Result<u32> {
        let go_on = || !self.cancel.is_cancelled() && self.failure.get().is_none();
        let Some(target) = self.target else {
            self.cancel.check()?;
            return crc32_of(self.disk, self.source, range);
        };
        let length = range.end - range.start;
        self.disk
            .copy_range(self.source, target, range.start, length, &go_on)?;
        crc32_of(self.disk, target, range)
    }
}

/// The CRC-32 of a part of a file.
pub(crate) fn crc32_of(disk: &Disk, file: &File, range: Range<u64>) -> io::Result<u32> {
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
    scheme: Scheme,
    layout: PieceLayout,
    crc32: Option<&[u32]>,
    parameters: Parameters<'_>,
    cancel: &CancelFlag,
) -> io::Result<String> {
    let hasher = match (scheme, crc32) {
        (Scheme::Crc32, Some(crc32)) => {
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
    mut with: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer =
        vec![0; HASH_BUFFER.min(usize::try_from(range.end - range.start).unwrap_or(HASH_BUFFER))];
    let mut position = range.start;
    while position < range.end {
        let length = buffer
            .len()
            .min(usize::try_from(range.end - position).unwrap_or(usize::MAX));
        let chunk = buffer.get_mut(..length).unwrap_or_default();
        disk.read_exact_at(file, chunk, position)?;
        with(chunk)?;
        position += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use dfdaemon_api::digest::crc32;
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
            for scheme in [Scheme::Crc32, Scheme::Sha256] {
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
            Scheme::Sha256,
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
