use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::store::layout::FORMAT as FORMAT_FILE;
use crate::store::{DiskFailure, DiskOp, FailureInjector};

fn open(path: &Path, hosts: usize) -> Result<StateDir, StateDirError> {
    StateDir::open(&Disk::new(false), path, Release::V0_2, hosts)
}

#[test]
fn a_directory_is_held_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let held = open(&path, 1).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert!(matches!(open(&path, 1), Err(StateDirError::InUse { .. })));
    drop(held);
    open(&path, 1).unwrap();
}

#[test]
fn another_release_and_fewer_hosts_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(open(&path, 2).unwrap());
    drop(open(&path, 3).unwrap());
    let error = open(&path, 2).unwrap_err().to_string();
    assert!(
        error.contains("3 hosts") && error.contains("--hosts 3"),
        "{error}"
    );
    let error = StateDir::open(&Disk::new(false), &path, Release::V1_5, 3)
        .unwrap_err()
        .to_string();
    assert!(error.contains("--dfdaemon-version 0.2"), "{error}");
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter"), "dear").unwrap();
    assert!(matches!(
        open(dir.path(), 1),
        Err(StateDirError::UnknownFormat { .. })
    ));
    fs::write(dir.path().join(FORMAT_FILE), "{\"format\":99}").unwrap();
    assert!(matches!(
        open(dir.path(), 1),
        Err(StateDirError::UnknownFormat { .. })
    ));
}

#[test]
fn a_first_start_that_was_killed_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    Disk::new(false).create_dir_all(&path).unwrap();
    fs::write(path.join("state.new"), "{\"for").unwrap();
    drop(open(&path, 1).unwrap());
    open(&path, 1).unwrap();
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(open(&path, 1), Err(StateDirError::NotOurs { .. })));
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    assert!(matches!(open(&link, 1), Err(StateDirError::NotOurs { .. })));
}

/// As a forked process does, until it runs its program.
#[test]
fn a_directory_is_free_at_once_also_while_its_open_file_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path()).unwrap().unwrap();
    let _shared = held.dir().try_clone().unwrap();
    assert!(lock(dir.path()).unwrap().is_none());
    drop(held);
    assert!(lock(dir.path()).unwrap().is_some());
}

#[test]
fn a_temporary_directory_that_is_opened_by_name_is_temporary_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    Disk::new(false).create_dir_all(&path).unwrap();
    private_files::write(&path.join(MARK), b"").unwrap();
    drop(open(&path, 1).unwrap());
    assert!(path.join(FORMAT_FILE).exists() && !path.join(MARK).exists());
}

/// The steps that were taken.
#[derive(Debug, Default)]
struct Steps(std::sync::Mutex<Vec<DiskOp>>);

impl FailureInjector for Steps {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        self.0.lock().unwrap().push(step);
        None
    }

    fn skip_syncs(&self) -> bool {
        false
    }
}

#[test]
fn a_new_directory_survives_the_machine_if_it_is_to() {
    let dir = tempfile::tempdir().unwrap();
    let steps = std::sync::Arc::new(Steps::default());
    let disk = Disk::new(true).with_failures(Some(steps.clone()));
    let path = dir.path().join("above/state");
    StateDir::open(&disk, &path, Release::V0_2, 1).unwrap();
    let taken = steps.0.lock().unwrap();
    let made = [
        DiskOp::CreateDir,
        DiskOp::SyncDir,
        DiskOp::CreateDir,
        DiskOp::SyncDir,
    ];
    assert_eq!(taken[..4], made);
}
