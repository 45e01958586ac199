//! A disk that fails when a test wants it to.

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
    let (disk, _) = Disk::failing(cannot);
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::write(&from, "new").unwrap();
    disk.rename_without_replacing(&from, &to).unwrap();
    assert!(!from.exists());
    fs::write(&from, "newer").unwrap();
    let error = disk.rename_without_replacing(&from, &to).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&to).unwrap(), b"new");
    assert!(from.exists());
}
