//! Removal of all that is in a directory that is open.
//!
//! A file system may make each removal wait, so that several threads remove many files in a fraction of the
//! time that one takes. Each takes a directory, removes the files in it, and leaves the directories in it to
//! whoever is next. A directory goes when all in it has gone.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::dfdaemon::mutex::Mutex;

/// Directories in directories that removal follows. The fake makes fewer.
const DEPTH: usize = 16;

/// Directories that are worth another thread, and threads at most.
const WORTH_A_THREAD: usize = 32;
const MAX_THREADS: usize = 16;

/// How to open a directory that another process may replace by anything.
pub(super) const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory that is being emptied.
struct Emptied {
    dir: File,
    /// Where it lies, unless all began with it.
    above: Option<(Arc<Emptied>, CString)>,
    depth: usize,
    /// Directories in it that have not gone, and one more until its files have.
    left: AtomicUsize,
}

/// A directory to be emptied and removed.
struct Job {
    above: Arc<Emptied>,
    name: CString,
}

struct Removal<'a> {
    goes_on: &'a (dyn Fn() -> bool + Sync),
    /// What is not removed where all begins.
    spared: &'a [u8],
    device: u64,
    /// The last is taken first, so that few directories are open at a time.
    jobs: Mutex<Vec<Job>>,
    threads: AtomicUsize,
    failed: Mutex<Option<io::Error>>,
}

/// Removes all that is in a directory but for one name, as long as it is to go on.
///
/// # Errors
///
/// The first of those that the file system has; `Interrupted` if it is not to go on. Something is left then.
pub(super) fn empty(
    dir: &File,
    spared: &str,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> io::Result<()> {
    let removal = Removal {
        goes_on,
        spared: spared.as_bytes(),
        device: dir.metadata()?.dev(),
        jobs: Mutex::default(),
        threads: AtomicUsize::new(1),
        failed: Mutex::default(),
    };
    let first = Emptied {
        dir: dir.try_clone()?,
        above: None,
        depth: 0,
        left: AtomicUsize::new(1),
    };
    thread::scope(|scope| {
        let begun = removal.empty(scope, Arc::new(first));
        removal.note(begun);
        removal.work(scope);
    });
    removal.failed.into_inner().map_or(Ok(()), Err)
}

impl Removal<'_> {
    /// After an error nothing more is begun.
    fn note(&self, done: io::Result<()>) {
        if let Err(error) = done {
            self.failed.lock().get_or_insert(error);
        }
    }

    fn check_goes_on(&self) -> io::Result<()> {
        match (self.goes_on)() {
            true => Ok(()),
            false => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Takes one directory after another, until there is none for now.
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        while self.failed.lock().is_none() {
            let job = self.jobs.lock().pop();
            let Some(job) = job else {
                break;
            };
            let dir = self.check_goes_on().and_then(|()| self.open(job));
            self.note(dir.and_then(|dir| dir.map_or(Ok(()), |dir| self.empty(scope, dir))));
        }
        self.threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// `None` if it turns out to be no directory, and has gone.
    fn open(&self, Job { above, name }: Job) -> io::Result<Option<Arc<Emptied>>> {
        match openat(&above.dir, &name, DIRECTORY, Mode::empty()) {
            Ok(dir) => {
                let dir = File::from(dir);
                if dir.metadata()?.dev() != self.device {
                    return Err(io::Error::other("something is mounted in it"));
                }
                let depth = above.depth + 1;
                if depth >= DEPTH {
                    return Err(io::Error::other("too many directories in directories"));
                }
                Ok(Some(Arc::new(Emptied {
                    dir,
                    above: Some((above, name)),
                    depth,
                    left: AtomicUsize::new(1),
                })))
            }
            Err(Errno::NOENT) => finish(above).map(|()| None),
            // A file, or a link, which is not followed.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                unlinkat(&above.dir, &name, AtFlags::empty())?;
                finish(above).map(|()| None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the files, and leaves the directories to the next thread.
    fn empty<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        emptied: Arc<Emptied>,
    ) -> io::Result<()> {
        let mut files = Vec::new();
        let mut jobs = Vec::new();
        for entry in Dir::read_from(&emptied.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_spared = emptied.above.is_none() && name.to_bytes() == self.spared;
            if is_spared || [&b"."[..], b".."].contains(&name.to_bytes()) {
                continue;
            }
            match entry.file_type() {
                FileType::Directory | FileType::Unknown => jobs.push(Job {
                    above: Arc::clone(&emptied),
                    name: name.to_owned(),
                }),
                _ => files.push(name.to_owned()),
            }
        }
        emptied.left.fetch_add(jobs.len(), Ordering::Relaxed);
        self.push(scope, jobs);
        for name in files {
            self.check_goes_on()?;
            match unlinkat(&emptied.dir, &name, AtFlags::empty()) {
                Err(Errno::NOENT) => {}
                removed => removed?,
            }
        }
        finish(emptied)
    }

    fn push<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, more: Vec<Job>) {
        let mut jobs = self.jobs.lock();
        jobs.extend(more);
        let worth = (1 + jobs.len() / WORTH_A_THREAD).min(MAX_THREADS);
        drop(jobs);
        while self.threads.load(Ordering::Relaxed) < worth {
            self.threads.fetch_add(1, Ordering::Relaxed);
            let thread = thread::Builder::new().name("fake-dfdaemon-removal".to_owned());
            if thread.spawn_scoped(scope, || self.work(scope)).is_err() {
                self.threads.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Says that a directory's files have gone, or one of its directories. Removes it if that was the last, and
/// so those above it.
fn finish(mut emptied: Arc<Emptied>) -> io::Result<()> {
    while emptied.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        let Some((above, name)) = &emptied.above else {
            return Ok(());
        };
        match unlinkat(&above.dir, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => {}
            removed => removed?,
        }
        emptied = Arc::clone(above);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn many_directories_go_by_many_hands_and_links_are_not_followed() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("file"), "theirs").unwrap();
        for number in 0..10 * WORTH_A_THREAD {
            let dir = root.path().join(format!("{}/{number}", number % 3));
            fs::create_dir_all(dir.join("empty")).unwrap();
            fs::write(dir.join("file"), "").unwrap();
            // Only where all begins it stays.
            fs::write(dir.join("spared"), "").unwrap();
            std::os::unix::fs::symlink(other.path(), dir.join("link")).unwrap();
        }
        fs::write(root.path().join("spared"), "").unwrap();
        empty(&File::open(root.path()).unwrap(), "spared", &|| true).unwrap();
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(root.path().join("spared").exists());
        assert!(other.path().join("file").exists());
    }

    #[test]
    fn too_many_directories_in_directories_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = ["d"; DEPTH].iter().collect();
        fs::create_dir_all(root.path().join(deep)).unwrap();
        let dir = File::open(root.path()).unwrap();
        let error = empty(&dir, "", &|| true).unwrap_err();
        assert_eq!(error.to_string(), "too many directories in directories");
    }

    #[test]
    fn what_is_not_to_go_on_removes_no_more() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..10 * WORTH_A_THREAD {
            let dir = root.path().join(number.to_string());
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("file"), "").unwrap();
        }
        let asked = AtomicUsize::new(0);
        let goes_on = || asked.fetch_add(1, Ordering::Relaxed) < 20;
        let dir = File::open(root.path()).unwrap();
        let error = empty(&dir, "", &goes_on).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        let left = fs::read_dir(root.path()).unwrap().count();
        assert!(left >= 10 * WORTH_A_THREAD - 20, "{left}");
        empty(&dir, "", &|| true).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
