mod contents;
mod directories;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Drain;

use jiff::Timestamp;
use rustix::io::Errno;

use super::super::{DiskFailure, DiskOp, FailureInjector, HostStore, TaskState, TaskStore};
use super::super::{ReplicaRecord, TaskRecord};
use super::*;
use crate::dfdaemon::task_id::TaskId;

const TASKS: usize = 2 * WORTH_A_BLOCK;

/// Counts the steps of a disk, and lets one fail.
#[derive(Debug, Default)]
struct Steps {
    taken: std::sync::Mutex<Vec<DiskOp>>,
    fails: Option<(usize, DiskFailure)>,
}

impl FailureInjector for Steps {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        let mut taken = self.taken.lock().unwrap();
        taken.push(step);
        let (number, failure) = self.fails?;
        (taken.len() - 1 == number).then_some(failure)
    }

    fn skip_syncs(&self) -> bool {
        true
    }
}

impl Steps {
    fn count(&self, wanted: DiskOp) -> usize {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|step| **step == wanted).count()
    }
}

/// The scheduler's files, whose tasks all lie in one directory.
struct World(tempfile::TempDir);

type Loaded = BTreeMap<String, TaskRecord>;

fn task(number: usize) -> TaskRecord {
    TaskRecord {
        task_id: TaskId::of(&format!("123{number:04}")),
        state: TaskState::Succeeded,
        persistent_replica_count: 1,
        tag: None,
        application: None,
        piece_length: 4 << 20,
        content_length: 7,
        ttl: Duration::from_secs(60),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        (0..TASKS).for_each(|number| world.write(&task(number)));
        world.await_tick();
        world
    }

    /// From now on each change has another time than what was written. A tick takes some milliseconds.
    fn await_tick(&self) {
        let time = || Disk::new(false).file_time(&self.0.path().join("tmp/time"));
        let began = time().unwrap();
        while time().unwrap() == began {}
    }

    /// With an index of all its records.
    fn indexed() -> Self {
        let world = Self::new();
        world.load();
        assert!(world.block().exists());
        world
    }

    fn store(&self, disk: Disk) -> TaskStore {
        TaskStore::open(disk, self.0.path()).unwrap()
    }

    fn write(&self, task: &TaskRecord) {
        self.store(Disk::new(false)).write(task).unwrap();
    }

    fn record(&self, number: usize) -> PathBuf {
        let name = format!("tasks/123/123{number:04}.json");
        self.0.path().join(name)
    }

    fn block(&self) -> PathBuf {
        self.0.path().join("index/123")
    }

    /// What the directory of the records is.
    fn directory(&self) -> Identity {
        let path = self.0.path().join("tasks/123");
        let directory = Disk::new(false).directory(&path).unwrap();
        directory.identity.unwrap()
    }

    /// What the block has.
    fn known(&self) -> Block {
        let mut known = Block::default();
        known.bytes = fs::read(self.block()).unwrap();
        known.parse();
        assert_eq!(known.len(), TASKS);
        known
    }

    fn try_load(&self, disk: Disk) -> io::Result<Loaded> {
        let mut loaded = Loaded::new();
        let take = |tasks: Drain<'_, TaskRecord>, _| {
            for task in tasks {
                let before = loaded.insert(task.task_id.to_string(), task);
                assert!(before.is_none());
            }
        };
        self.store(disk).load(take)?;
        Ok(loaded)
    }

    /// What is loaded long after all was written.
    fn load(&self) -> Loaded {
        self.try_load(later(Disk::new(false))).unwrap()
    }

    /// The same, and the steps that it took.
    fn counted(&self) -> (Loaded, Arc<Steps>) {
        let steps = Arc::new(Steps::default());
        let disk = Disk::new(false).with_failures(Some(steps.clone()));
        (self.try_load(later(disk)).unwrap(), steps)
    }

    /// What the records say, without an index.
    fn truth(&self) -> Loaded {
        let read = |number| serde_json::from_slice(&fs::read(self.record(number)).ok()?).ok();
        let records = (0..2 * TASKS).filter_map(read);
        let records = records.map(|task: TaskRecord| (task.task_id.to_string(), task));
        records.collect()
    }
}

fn later(disk: Disk) -> Disk {
    disk.with_clock_ahead(10)
}

#[test]
fn records_that_have_not_changed_are_looked_at_and_not_read() {
    let world = World::new();
    let (first, steps) = world.counted();
    assert_eq!((first, steps.count(DiskOp::Read)), (world.truth(), TASKS));
    let (second, steps) = world.counted();
    assert_eq!(second, world.truth());
    // The block alone is read. The directory is opened; those above it and that of blocks are listed, too.
    let taken = (steps.count(DiskOp::Read), steps.count(DiskOp::Look));
    assert_eq!((taken, steps.count(DiskOp::List)), ((1, TASKS), 5));
    // Nor is it written again, or the time asked for.
    assert_eq!(steps.count(DiskOp::Create), 0);
}

#[test]
fn what_was_written_edited_added_and_removed_since_is_found_as_it_is() {
    let world = World::indexed();
    let tagged = |number: usize, tag: &str| TaskRecord {
        tag: Some(tag.into()),
        ..task(number)
    };
    world.write(&tagged(0, "written"));
    // In place and of the same length, with the time of modification set back.
    let text = fs::read_to_string(world.record(1)).unwrap();
    let edited = fs::File::options()
        .write(true)
        .open(world.record(1))
        .unwrap();
    let modified = edited.metadata().unwrap().modified().unwrap();
    let failed = text.replace(r#""Succeeded","p"#, r#""Failed"   ,"p"#);
    assert_eq!(failed.len(), text.len());
    edited.write_all_at(failed.as_bytes(), 0).unwrap();
    edited.set_modified(modified).unwrap();
    fs::remove_file(world.record(2)).unwrap();
    world.write(&tagged(TASKS, "added"));
    fs::write(world.record(3), "{").unwrap();
    fs::rename(world.record(4), world.record(5)).unwrap();
    let loaded = world.load();
    let expected = {
        let mut expected: Loaded = world.truth();
        // It lies by the name of another task.
        expected.remove("1230004");
        expected
    };
    assert_eq!(loaded, expected);
    assert_eq!(loaded["1230001"].state, TaskState::Failed);
    assert_eq!(loaded.len(), TASKS + 1 - 4);
    assert_eq!(world.load(), expected);
}

#[test]
fn a_record_that_has_just_changed_is_not_copied() {
    let world = World::new();
    world.try_load(Disk::new(false)).unwrap();
    assert!(!world.block().exists());
    world.load();
    assert!(world.block().exists());
}

#[test]
fn a_torn_or_damaged_block_changes_nothing() {
    let world = World::indexed();
    let (truth, block) = (world.truth(), fs::read(world.block()).unwrap());
    let load = |bytes: &[u8]| {
        fs::write(world.block(), bytes).unwrap();
        assert_eq!(world.load(), truth);
    };
    for at in (0..block.len()).step_by(23) {
        load(&block[..at]);
        let mut flipped = block.clone();
        flipped[at] ^= 1;
        load(&flipped);
    }
    load(&[&block[..], b"x"].concat());
    load(&vec![0; 1 << 20]);
}

/// Copies of other records with the right sum: each is of another file, or of one that was another then.
#[test]
fn a_block_of_other_files_changes_nothing() {
    let world = World::indexed();
    let truth = world.truth();
    let known = world.known();
    let with = |change: fn(&mut Identity)| {
        let mut new = NewBlock::default();
        for number in 0..known.len() {
            let copy = known.copy(number).unwrap();
            let mut identity = copy.identity;
            change(&mut identity);
            let id = layout::recorded(copy.name).unwrap();
            let mut lie = TaskRecord::unpack(id, copy.bytes).unwrap();
            lie.tag = Some("no".into());
            new.push(copy.name, identity, |to| lie.pack(to));
        }
        assert_eq!(new.len(), TASKS);
        // Also where the directory has not changed.
        for directory in [None, Some(world.directory())] {
            fs::write(world.block(), new.bytes(directory)).unwrap();
            assert_eq!(world.load(), truth);
        }
    };
    with(|identity| identity.inode += 1);
    with(|identity| identity.changed.1 ^= 1);
    with(|identity| identity.changed.0 -= 1);
    with(|identity| identity.length -= 1);
}

/// Also where it tells of the right file.
#[test]
fn a_copy_of_no_record_is_none() {
    let world = World::indexed();
    let known = world.known();
    let mut new = NewBlock::default();
    for number in 0..TASKS {
        let copy = known.copy(number).unwrap();
        let damaged = match number % 2 {
            0 => [copy.bytes, b"x"].concat(),
            _ => copy.bytes.split_at(number).0.to_vec(),
        };
        new.push(copy.name, copy.identity, |to| to.extend(damaged));
    }
    assert_eq!(new.len(), TASKS);
    fs::write(world.block(), new.bytes(None)).unwrap();
    assert_eq!(world.load(), world.truth());
}

#[test]
fn a_step_that_fails_or_tears_changes_nothing_and_only_a_record_that_cannot_be_read_is_an_error() {
    for indexed in [false, true] {
        let make = || {
            let world = if indexed {
                World::indexed()
            } else {
                World::new()
            };
            // A block that is written anew.
            (0..TASKS / 4).for_each(|number| world.write(&task(number)));
            world
        };
        let (_, steps) = make().counted();
        let steps = steps.taken.lock().unwrap().clone();
        assert!(steps.contains(&DiskOp::Rename));
        for (number, step) in steps.iter().enumerate() {
            let tears = (*step == DiskOp::Write).then_some(DiskFailure::Torn(Errno::IO));
            for failure in [DiskFailure::Fails(Errno::IO)].into_iter().chain(tears) {
                let world = make();
                let steps = Arc::new(Steps {
                    fails: Some((number, failure)),
                    ..Steps::default()
                });
                let disk = Disk::new(true).with_failures(Some(steps.clone()));
                let store = TaskStore::open(later(disk), world.0.path());
                let mut loaded = Loaded::new();
                let take = |tasks: Drain<'_, TaskRecord>, _| {
                    loaded.extend(tasks.map(|task| (task.task_id.to_string(), task)));
                };
                let opened = store.and_then(|store| store.load(take));
                let step = steps.taken.lock().unwrap()[number];
                let name = format!("step {number}, {step:?}, {failure:?}");
                if opened.is_ok() {
                    assert_eq!(loaded, world.truth(), "{name}");
                } else {
                    assert!(matches!(step, DiskOp::Read | DiskOp::List), "{name}");
                }
                assert_eq!(world.load(), world.truth(), "{name}");
            }
        }
    }
}

#[test]
fn a_block_of_tasks_that_are_gone_is_removed() {
    let world = World::indexed();
    fs::write(world.0.path().join("index/456"), block::MAGIC).unwrap();
    (0..TASKS - 1).for_each(|number| fs::remove_file(world.record(number)).unwrap());
    assert_eq!(world.load().len(), 1);
    assert_eq!(
        fs::read_dir(world.0.path().join("index")).unwrap().count(),
        0
    );
}

#[test]
fn a_block_that_is_no_file_changes_nothing() {
    let world = World::new();
    let index = world.0.path().join("index");
    fs::create_dir(&index).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.block(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(world.load(), world.truth());
    // A block has its place by now.
    assert!(world.block().is_file());
    fs::remove_dir_all(&index).unwrap();
    fs::write(&index, "a file").unwrap();
    assert_eq!(world.load(), world.truth());
}

/// Also through a link, nothing is written or removed that is not ours.
#[test]
fn what_others_put_in_an_index_or_in_its_place_stays() {
    let world = World::indexed();
    let (index, others) = (world.0.path().join("index"), world.0.path().join("others"));
    fs::write(index.join("precious"), "precious").unwrap();
    world.load();
    fs::rename(&index, &others).unwrap();
    std::os::unix::fs::symlink(&others, &index).unwrap();
    fs::remove_file(others.join("123")).unwrap();
    fs::write(others.join("empty"), "").unwrap();
    assert_eq!(world.load(), world.truth());
    let mut names: Vec<_> = fs::read_dir(&others).unwrap().flatten().collect();
    names.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = names.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, ["empty", "precious"]);
}

/// As where the file system lists a directory in another order than before.
#[test]
fn a_copy_is_found_in_any_order() {
    let mut known = World::indexed().known();
    let names: Vec<_> = (0..TASKS)
        .map(|number| known.copy(number).unwrap().name.to_owned())
        .collect();
    assert_eq!(known.find("1239999.json".as_ref()), None);
    for number in (0..TASKS).rev().chain(0..TASKS).chain([7, 3, 4]) {
        assert_eq!(known.find(&names[number]), Some(number));
    }
    known.clear();
    assert_eq!(known.find(&names[0]), None);
}

#[test]
fn a_block_is_its_owners_alone() {
    let world = World::indexed();
    assert_eq!(fs::metadata(world.block()).unwrap().mode() & 0o777, 0o600);
}
