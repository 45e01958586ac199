//! Removal of temporary state directories: one's own at the end, and those of fakes that were killed.
//!
//! A name proves nothing, since other programs may choose the same one. A directory is only swept if it has
//! the mark, only while it is locked, and only through its open descriptor.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, statat, unlinkat};
use rustix::io::Errno;

use super::lock::lock_open;
use super::removal::{DIRECTORY, empty};
use crate::store::layout::{KEPT, MARK};

/// How temporary state directories are named.
pub(super) const TEMPORARY_PREFIX: &str = "fake-dfdaemon-";

/// How long the end of a daemon waits for its sweep: for a few small directories, and not for many
/// files or a file system that hangs.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// A sweep on a thread of its own, beside a daemon that serves. Dropped, it ends soon; a later start
/// goes on with what is left.
#[derive(Debug)]
pub(super) struct Sweep {
    is_ending: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Sweep {
    /// `None` where there is no thread for it.
    pub(super) fn start(base: PathBuf) -> Option<Self> {
        let is_ending = Arc::new(AtomicBool::new(false));
        let (ends, ended) = sync_channel(1);
        let goes_on = Arc::clone(&is_ending);
        let sweeping = move || {
            sweep(&base, &|| !goes_on.load(Ordering::Relaxed));
            let _ = ends.send(());
        };
        let thread = thread::Builder::new().name("fake-dfdaemon-sweep".to_owned());
        thread.spawn(sweeping).ok()?;
        Some(Self { is_ending, ended })
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        let _ = self.ended.recv_timeout(ENDS_WITHIN);
        self.is_ending.store(true, Ordering::Relaxed);
    }
}

/// Removes temporary state directories of ours that no process holds, as long as it is to go on.
fn sweep(base: &Path, goes_on: &(dyn Fn() -> bool + Sync)) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        if !goes_on() {
            return;
        }
        let name = entry.file_name();
        if name.as_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
            // What cannot be removed now can be by a later start.
            let _ = sweep_one(&entry.path(), goes_on);
        }
    }
}

fn sweep_one(path: &Path, goes_on: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
    let dir = File::from(rustix::fs::open(path, DIRECTORY, Mode::empty())?);
    // Before the lock: one that is starting has no mark yet, and needs the lock itself.
    if !is_marked(&dir)? {
        return Ok(());
    }
    let Some(lock) = lock_open(dir)? else {
        return Ok(());
    };
    // It may have been kept, or opened by its name, before it was locked.
    if is_marked(lock.dir())? {
        remove_while(goes_on, lock.dir(), path)?;
    }
    Ok(())
}

/// Whether the directory and its mark are ours, and nobody wants to keep it.
fn is_marked(dir: &File) -> io::Result<bool> {
    let own = rustix::process::geteuid().as_raw();
    if dir.metadata()?.uid() != own {
        return Ok(false);
    }
    let mark = match statat(dir, MARK, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        mark => mark?,
    };
    let kept = match statat(dir, KEPT, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => false,
        kept => kept.map(|_| true)?,
    };
    let is_file = FileType::from_raw_mode(mark.st_mode) == FileType::RegularFile;
    Ok(is_file && mark.st_uid == own && !kept)
}

/// Removes what is in the open directory, its mark last, and its name if that is still its own.
pub(super) fn remove(dir: &File, path: &Path) -> io::Result<()> {
    remove_while(&|| true, dir, path)
}

fn remove_while(goes_on: &(dyn Fn() -> bool + Sync), dir: &File, path: &Path) -> io::Result<()> {
    empty(dir, MARK, goes_on)?;
    match unlinkat(dir, MARK, AtFlags::empty()) {
        Err(Errno::NOENT) => {}
        removed => removed?,
    }
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let above = rustix::fs::open(above, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (held, named) = (
        fstat(dir)?,
        statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)?,
    );
    if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino) {
        // Empties nothing: another directory that comes by this name now stays if anything is in it.
        unlinkat(&above, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn make(base: &Path, name: &str, files: &[&str]) -> PathBuf {
        let path = base.join(name);
        fs::create_dir_all(path.join("hosts/host-0")).unwrap();
        fs::write(path.join("hosts/host-0/content"), "content").unwrap();
        for file in files {
            fs::write(path.join(file), "").unwrap();
        }
        path
    }

    #[test]
    fn only_marked_directories_that_nobody_holds_are_swept() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let killed = make(base, "fake-dfdaemon-killed", &[MARK, "state.json"]);
        let kept = make(base, "fake-dfdaemon-kept", &[MARK, KEPT]);
        let state = make(base, "fake-dfdaemon-state", &["state.json"]);
        let logs = make(base, "fake-dfdaemon-logs", &["today.log"]);
        let alive = make(base, "fake-dfdaemon-alive", &[MARK, "state.json"]);
        let stranger = make(base, "stranger", &[MARK]);
        let link = base.join("fake-dfdaemon-link");
        std::os::unix::fs::symlink(&stranger, &link).unwrap();
        std::os::unix::fs::symlink(&stranger, killed.join("link")).unwrap();
        let _held = lock_open(File::open(&alive).unwrap()).unwrap().unwrap();
        sweep(base, &|| true);
        assert!(!killed.exists());
        for stays in [kept, state, logs, alive, stranger, link] {
            assert!(stays.join("hosts/host-0/content").exists(), "{stays:?}");
        }
    }

    #[test]
    fn a_sweep_that_is_broken_off_is_finished_by_the_next() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let killed = make(base, "fake-dfdaemon-killed", &[MARK]);
        for number in 0..10 {
            fs::write(killed.join(format!("hosts/{number}")), "").unwrap();
        }
        // Once for the directory, then for each file in it.
        let asked = AtomicUsize::new(0);
        let goes_on = || asked.fetch_add(1, Ordering::Relaxed) < 6;
        sweep(base, &goes_on);
        assert!(killed.join(MARK).exists(), "nobody would sweep it any more");
        let left = fs::read_dir(killed.join("hosts")).unwrap().count();
        assert!((1..11).contains(&left), "{left}");
        sweep(base, &|| true);
        assert!(!killed.exists());
    }

    #[test]
    fn two_sweeps_at_once_do_not_meet() {
        let base = tempfile::tempdir().unwrap();
        let killed = make(base.path(), "fake-dfdaemon-killed", &[MARK]);
        let asked = AtomicUsize::new(0);
        let goes_on = || {
            // The first question comes before the lock, the second before anything is removed.
            if asked.fetch_add(1, Ordering::Relaxed) == 1 {
                sweep(base.path(), &|| true);
                assert!(killed.join("hosts/host-0/content").exists());
            }
            true
        };
        sweep(base.path(), &goes_on);
        assert!(!killed.exists());
    }

    #[test]
    fn a_sweep_goes_on_beside_and_ends_by_itself() {
        let base = tempfile::tempdir().unwrap();
        let killed = make(base.path(), "fake-dfdaemon-killed", &[MARK]);
        let sweep = Sweep::start(base.path().to_owned()).unwrap();
        sweep.ended.recv().unwrap();
        assert!(!killed.exists());
    }

    #[test]
    fn another_directory_by_the_same_name_stays() {
        let base = tempfile::tempdir().unwrap();
        let path = make(base.path(), "fake-dfdaemon-a", &[MARK]);
        let held = File::open(&path).unwrap();
        fs::rename(&path, base.path().join("moved")).unwrap();
        let theirs = make(base.path(), "fake-dfdaemon-a", &[]);
        remove(&held, &path).unwrap();
        assert!(theirs.join("hosts/host-0/content").exists());
    }
}
