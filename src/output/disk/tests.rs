//! A disk that fails when a test wants it to.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard};

use super::*;

/// What a disk does at one of its steps, and which steps were asked of it.
#[derive(Debug)]
pub(crate) struct Failure {
    fails: Box<dyn Fails>,
    steps: Mutex<Vec<&'static str>>,
}

/// Decides by the number of a step, from 0, and its name.
trait Fails: Fn(usize, &'static str) -> Option<Errno> + Send + Sync {}

impl<F: Fn(usize, &'static str) -> Option<Errno> + Send + Sync> Fails for F {}

impl std::fmt::Debug for dyn Fails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fails")
    }
}

impl Failure {
    pub(super) fn step(&self, name: &'static str) -> rustix::io::Result<()> {
        let mut steps = self.steps();
        let errno = (self.fails)(steps.len(), name);
        steps.push(name);
        errno.map_or(Ok(()), Err)
    }

    /// The steps that were asked for, the failed ones too.
    pub(crate) fn steps(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.steps.lock().unwrap()
    }
}

impl Disk {
    /// A disk whose steps fail as `fails` says of their number, from 0, and their name.
    pub(crate) fn failing(
        fails: impl Fn(usize, &'static str) -> Option<Errno> + Send + Sync + 'static,
    ) -> (Self, Arc<Failure>) {
        let failure = Arc::new(Failure {
            fails: Box::new(fails),
            steps: Mutex::default(),
        });
        let disk = Self {
            failure: Some(Arc::clone(&failure)),
        };
        (disk, failure)
    }
}

/// Some file systems know no rename that does not replace.
#[test]
fn without_an_atomic_rename_a_file_takes_its_name_all_the_same_and_never_replaces() {
    let cannot = |_, name| (name == "rename").then_some(Errno::INVAL);
    takes_a_name_once(&Disk::failing(cannot).0);
}

/// And some know no hard links either.
#[test]
fn without_hard_links_a_file_takes_its_name_all_the_same_and_never_replaces() {
    for no_links in [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS] {
        let cannot = move |_, name| match name {
            "rename" => Some(Errno::INVAL),
            "link" => Some(no_links),
            _ => None,
        };
        takes_a_name_once(&Disk::failing(cannot).0);
    }
}

fn takes_a_name_once(disk: &Disk) {
    let directory = tempfile::tempdir().unwrap();
    let held = File::open(directory.path()).unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::write(&from, "new").unwrap();
    disk.rename_without_replacing(&held, "from", &to).unwrap();
    assert!(!from.exists());
    fs::write(&from, "newer").unwrap();
    let error = disk.rename_without_replacing(&held, "from", &to);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&to).unwrap(), b"new");
    assert!(from.exists());
}

#[test]
fn a_claimed_name_is_given_up_when_the_file_cannot_take_it() {
    let cannot = |_, name| match name {
        "rename" => Some(Errno::INVAL),
        "link" => Some(Errno::PERM),
        "rename over" => Some(Errno::IO),
        _ => None,
    };
    let (disk, _) = Disk::failing(cannot);
    let directory = tempfile::tempdir().unwrap();
    let held = File::open(directory.path()).unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::write(&from, "new").unwrap();
    disk.rename_without_replacing(&held, "from", &to)
        .unwrap_err();
    assert!(from.exists() && !to.exists());
}

#[test]
fn zeros_of_a_new_file_take_no_space() {
    let file = tempfile::tempfile().unwrap();
    let disk = Disk::default();
    assert!(disk.set_length(&file, 1 << 30).unwrap());
    let mut bytes = vec![0; 1 << 20];
    disk.write_data_at(&file, &bytes, 0).unwrap();
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    bytes[5000] = 1;
    disk.write_data_at(&file, &bytes, 1 << 29).unwrap();
    assert!(file.metadata().unwrap().blocks() * 512 <= 64 << 10);
    let mut written = vec![7; bytes.len()];
    file.read_exact_at(&mut written, 1 << 29).unwrap();
    assert!(written == bytes);
    assert_eq!(file.metadata().unwrap().len(), 1 << 30);
}
