//! The index of a host's records, each of which tells of content.

use super::*;

/// Content has no copy: it is looked at each time.
#[test]
fn content_that_was_lost_or_cut_takes_its_record_along() {
    let dir = tempfile::tempdir().unwrap();
    let store = || HostStore::open(later(Disk::new(false)), dir.path()).unwrap();
    let record = |number: usize| ReplicaRecord {
        task_id: TaskId::of(&format!("123{number:04}")),
        task_created_at: Timestamp::UNIX_EPOCH,
        persistent: true,
        ttl: Duration::from_secs(60),
        piece_length: 4 << 20,
        content_length: 7,
        piece_crc32: Some([1, 2].into()),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        finished_at: Some(Timestamp::UNIX_EPOCH),
        failed_at: None,
    };
    for number in 0..TASKS {
        let store = store();
        let mut content = store.new_content().unwrap();
        content.file.write_all_at(b"content", 0).unwrap();
        store.place(&mut content, &record(number)).unwrap();
    }
    let load = || {
        let mut found = Vec::new();
        let take = |record: ReplicaRecord| {
            found.push(record);
            true
        };
        store().load(take).unwrap();
        found.sort_by(|one, other| one.task_id.cmp(&other.task_id));
        found
    };
    let all: Vec<_> = (0..TASKS).map(record).collect();
    assert_eq!(load(), all);
    assert!(dir.path().join("index/123").exists());
    assert_eq!(load(), all);
    let content = |number| store().content_path(&record(number).task_id);
    // In place: the directory has not changed.
    fs::write(content(1), "cut").unwrap();
    assert_eq!(load(), [&all[..1], &all[2..]].concat());
    assert!(!content(1).exists());
    fs::remove_file(content(0)).unwrap();
    assert_eq!(load(), all[2..]);
    fs::write(content(1), "of no record").unwrap();
    assert_eq!(load(), all[2..]);
    assert!(!content(1).exists());
}
