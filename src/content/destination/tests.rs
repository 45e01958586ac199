use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_of(content: &[u8]) -> ContentCheck {
    let digest = dfdaemon_api::digest::piece_digest(dfdaemon_api::digest::crc32(content));
    ContentCheck::new(Some(digest.parse().unwrap()), None).unwrap()
}

/// Content cut into pieces, in any order.
fn shuffled() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, Vec<u8>)>)> {
    (prop::collection::vec(any::<u8>(), 1..200), 1usize..40).prop_flat_map(|(content, length)| {
        let pieces: Vec<_> = content
            .chunks(length)
            .enumerate()
            .map(|(number, piece)| (number * length, piece.to_vec()))
            .collect();
        (Just(content), Just(pieces).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn a_stream_gets_the_content_in_order_however_little_memory_there_is(
        (content, pieces) in shuffled(),
        max_waiting in 0usize..2000,
    ) {
        let collected = Collected::default();
        let mut stream = OrderedWriter::new(collected.clone(), Some(check_of(&content)));
        stream.max_waiting = max_waiting;
        for (offset, piece) in pieces {
            stream.write(offset as u64, piece.into()).unwrap();
            stream.verified().unwrap();
            prop_assert!(stream.waiting_bytes <= max_waiting);
        }
        stream.finish().unwrap();
        prop_assert_eq!(&*collected.0.lock().unwrap(), &content);
    }

    #[test]
    fn a_file_is_hashed_in_order_however_it_is_written((content, pieces) in shuffled()) {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let check = Some(check_of(&content));
        let mut destination = PositionedWriter::new(Arc::clone(&file), Disk::default(), "out".into())
            .of_length(content.len() as u64)
            .checked(check);
        for (offset, piece) in pieces {
            destination.write(offset as u64, piece.into()).unwrap();
        }
        prop_assert_eq!(destination.hashed, content.len() as u64);
        destination.finish().unwrap();
        let mut written = vec![0; content.len()];
        file.read_exact_at(&mut written, 0).unwrap();
        prop_assert_eq!(written, content);
    }
}

#[test]
fn a_wrong_digest_is_found_at_the_end() {
    let mut stream = OrderedWriter::new(Collected::default(), Some(check_of(b"other")));
    stream.write(0, Bytes::from_static(b"content")).unwrap();
    stream.verified().unwrap();
    let error = stream.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
}

/// Pieces that come early are put aside on a disk, which may be full too.
#[test]
fn a_disk_that_fails_while_pieces_are_put_aside_fails_the_export_and_damages_nothing() {
    let pieces = [(8, "89"), (4, "4567"), (0, "0123")];
    for broken in 0..3 {
        let fails = move |step, _| (step == broken).then_some(rustix::io::Errno::NOSPC);
        let (disk, failure) = Disk::failing(fails);
        let collected = Collected::default();
        let mut stream = OrderedWriter::new(collected.clone(), None);
        stream.max_waiting = 0;
        stream.disk = disk;
        let failed = pieces.iter().find_map(|(offset, piece)| {
            stream
                .write(*offset, Bytes::from_static(piece.as_bytes()))
                .unwrap();
            stream.verified().err()
        });
        let steps = ["create unnamed", "write", "write"];
        assert_eq!(*failure.steps(), steps[..=broken]);
        let error = failed.unwrap();
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert_eq!(
            error.remedy().map(ToString::to_string).as_deref(),
            Some("TMPDIR names another directory for temporary files")
        );
        assert_eq!(*collected.0.lock().unwrap(), b"");
    }
}

/// A server may send a byte a frame: what waits must not cost more than its bytes.
#[test]
fn tiny_parts_of_a_piece_are_joined() {
    let collected = Collected::default();
    let mut stream = OrderedWriter::new(collected.clone(), None);
    let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for (offset, byte) in (0..).zip(&content) {
        stream
            .write(offset, Bytes::copy_from_slice(&[*byte]))
            .unwrap();
    }
    assert_eq!(stream.unverified.len(), 0);
    assert_eq!(stream.tiny.1.len(), content.len());
    stream.verified().unwrap();
    stream.finish().unwrap();
    assert_eq!(&*collected.0.lock().unwrap(), &content);
}

/// An importer may ask for pieces of any length, and none of a piece is written before it is verified.
#[test]
fn a_long_piece_waits_on_disk_and_the_next_one_takes_its_place_there() {
    const PART: usize = 4 << 10;
    let content: Vec<u8> = (0..=250).cycle().take(16 * PART).collect();
    let collected = Collected::default();
    let mut stream = OrderedWriter::new(collected.clone(), Some(check_of(&content)));
    stream.max_unverified = 2 * (PART + ENTRY);
    // Two pieces; the second has an end of a few bytes.
    for piece in [0..8 * PART - 7, 8 * PART - 7..16 * PART] {
        for start in piece.clone().step_by(PART) {
            let part = &content[start..piece.end.min(start + PART)];
            stream
                .write(start as u64, Bytes::copy_from_slice(part))
                .unwrap();
            assert!(stream.unverified_bytes <= stream.max_unverified);
            assert!(stream.spill_end <= 7 * PART as u64);
        }
        assert_eq!(collected.0.lock().unwrap().len(), piece.start);
        stream.verified().unwrap();
        assert_eq!(collected.0.lock().unwrap().len(), piece.end);
        assert_eq!((stream.spilled, stream.spill_end), (0, 0));
    }
    stream.finish().unwrap();
    assert_eq!(&*collected.0.lock().unwrap(), &content);
}

/// dfdaemon chooses pieces of up to 64 MiB by itself. An importer may choose longer ones, which must not
/// fill the memory.
#[test]
fn a_piece_waits_in_memory_up_to_the_longest_that_dfdaemon_chooses_and_on_disk_from_there() {
    const PART: usize = 1 << 20;
    let part = Bytes::from(vec![0; PART]);
    let mut stream = OrderedWriter::new(io::sink(), None);
    for number in 0..128 {
        stream.write((number * PART) as u64, part.clone()).unwrap();
        if number < 64 {
            assert_eq!(stream.spilled, 0, "at part {number}");
        }
    }
    assert!(stream.unverified_bytes <= 72 << 20);
    assert!(stream.spilled >= 128 - 72);
}

#[test]
fn what_may_not_fit_leaves_room_to_others() {
    assert_eq!(left_to_others(None, 100), 0);
    assert_eq!(left_to_others(Some(100), 100), 0);
    assert_eq!(left_to_others(Some(160), 161), 10);
    assert_eq!(left_to_others(Some(0), 1), 1);
    assert!(fits(Some(30), 20, 10) && !fits(Some(29), 20, 10));
    assert!(fits(Some(0), 0, 10) && fits(None, 20, 10));
}
