use std::fs;

use super::*;
use crate::store::DiskFault;

#[test]
fn a_copied_range_lands_at_its_own_place() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(false);
    let source = disk.create(&dir.path().join("source")).unwrap();
    source.write_all_at(b"0123456789", 0).unwrap();
    let (mut buffer, found) = (Buffer::new(2), FoundData::default());
    for name in ["kernel", "hand", "shown"] {
        let target = disk.create(&dir.path().join(name)).unwrap();
        match name {
            "kernel" => disk
                .copy_range((&source, &found), &target, 4, 3, &|| true)
                .unwrap(),
            "hand" => {
                let mut method = CopyMethod::ReadWrite(Buffer::new(3));
                assert_eq!(method.copy(&source, &target, 4, 3).unwrap(), 3);
            }
            _ => {
                let mut shown = Vec::new();
                let show = |bytes: &[u8]| shown.push(bytes.to_vec());
                disk.copy_showing(
                    (&source, &found),
                    &target,
                    4..7,
                    &|| true,
                    &mut buffer,
                    show,
                )
                .unwrap();
                assert_eq!(shown, [&b"45"[..], b"6"]);
            }
        }
        let copied = fs::read(dir.path().join(name)).unwrap();
        assert_eq!(copied, b"\0\0\0\x00456", "{name}");
    }
}

#[test]
fn a_copy_has_the_holes_of_its_source_and_what_was_there_is_overwritten() {
    use std::os::unix::fs::MetadataExt as _;

    const LENGTH: u64 = 32 << 20;
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(false);
    let source = disk.create(&dir.path().join("source")).unwrap();
    source.set_len(LENGTH).unwrap();
    source.write_all_at(b"data", LENGTH / 2).unwrap();
    let is_sparse = |file: &File| file.metadata().unwrap().blocks() * 512 <= 1 << 20;
    if !is_sparse(&source) {
        return;
    }
    let expected = fs::read(dir.path().join("source")).unwrap();
    for name in ["copied", "shown", "again"] {
        let target = disk.create(&dir.path().join(name)).unwrap();
        if name == "again" {
            // Damaged content of another host came first.
            target
                .write_all_at(&[7; 1 << 20], LENGTH - (2 << 20))
                .unwrap();
        }
        if name == "shown" {
            let mut shown = 0;
            let (mut buffer, all) = (Buffer::new(LENGTH), 0..LENGTH);
            let found = FoundData::default();
            let show = |bytes: &[u8]| shown += bytes.len() as u64;
            disk.copy_showing((&source, &found), &target, all, &|| true, &mut buffer, show)
                .unwrap();
            assert_eq!(shown, LENGTH);
            target.set_len(LENGTH).unwrap();
        } else {
            disk.copy_first(&source, &target, LENGTH, &|| true).unwrap();
        }
        assert!(
            fs::read(dir.path().join(name)).unwrap() == expected,
            "{name}"
        );
        assert!(is_sparse(&target) || name == "again", "{name}");
    }
}

#[test]
fn a_fault_fails_what_writes_content() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(false);
    let source = disk.create(&dir.path().join("source")).unwrap();
    source.write_all_at(b"0123456789", 0).unwrap();
    for (fault, code, written) in [
        (DiskFault::NoSpace, 28, 0),
        (DiskFault::Error, 5, 0),
        (DiskFault::TornWrite, 5, 5),
    ] {
        let target = disk.create(&dir.path().join(format!("{fault:?}"))).unwrap();
        let faulty = disk.with_fault(Some(fault));
        let error = faulty
            .copy_first(&source, &target, 10, &|| true)
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(code));
        assert_eq!(target.metadata().unwrap().len(), written);
    }
}

#[test]
fn a_source_that_ends_early_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(false);
    let source = disk.create(&dir.path().join("source")).unwrap();
    let target = disk.create(&dir.path().join("target")).unwrap();
    let error = disk.copy_first(&source, &target, 1, &|| true).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let error = disk.copy_first(&source, &target, 1, &|| false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
}

/// What this thread has read so far, in bytes, if the system counts it.
fn read_so_far() -> Option<u64> {
    let io = fs::read_to_string("/proc/thread-self/io").ok()?;
    let count = io.lines().find_map(|line| line.strip_prefix("rchar: "))?;
    count.parse().ok()
}

#[test]
fn holes_are_not_read() {
    const LENGTH: u64 = 64 << 20;
    let (file, disk) = (tempfile::tempfile().unwrap(), Disk::new(false));
    file.set_len(LENGTH).unwrap();
    file.write_all_at(b"data", LENGTH - 4).unwrap();
    if disk.hole_length(&file, 0, LENGTH) == 0 {
        // The file system does not tell.
        return;
    }
    let before = read_so_far();
    let (mut buffer, found) = (Buffer::new(LENGTH), FoundData::default());
    let mut position = 0;
    let mut last = Vec::new();
    while position < LENGTH {
        let left = LENGTH - position;
        let next = disk.read_next((&file, &found), position, left, &mut buffer);
        last = next.unwrap().to_vec();
        position += last.len() as u64;
        assert!(position == LENGTH || last.iter().all(|byte| *byte == 0));
    }
    assert!(last.ends_with(b"\0data"));
    let hole = disk.read_range(&file, 0..LENGTH / 2, b"of another".to_vec());
    assert!(hole.unwrap() == vec![0; 32 << 20]);
    let data = disk.read_range(&file, LENGTH - 5..LENGTH, Vec::new());
    assert_eq!(data.unwrap(), b"\0data");
    if let (Some(before), Some(after)) = (before, read_so_far()) {
        assert!(after - before < 1 << 20, "{} bytes", after - before);
    }
}
