//! The directories below a root that records lie in, by the prefix of a task's id: read side by side
//! on the machine's cores.
//!
//! What comes of it stands in the order of the listing, whichever core came first. So what is read
//! here is only read: whoever changes or tells something does that afterwards, one by one.

use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::disk::{Disk, with_path};

/// Directories that are worth another thread.
const WORTH_A_THREAD: usize = 32;

/// Threads that read at a time, at most.
const MAX_WORKERS: usize = 8;

/// Reads each directory in `root`.
///
/// # Errors
///
/// Those of `root`, else of the first directory in the listing that has one.
pub(super) fn read_each<T: Send>(
    disk: &Disk,
    root: &Path,
    read: impl Fn(&Path) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let mut dirs = disk.list(root).map_err(with_path(root))?;
    dirs.retain(|(_, kind)| kind.is_dir());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((dir, _)) = dirs.get(number) else {
                return done;
            };
            let read = read(dir);
            // Those before it are done, or under way.
            let ends = read.is_err();
            done.push((number, read));
            if ends {
                return done;
            }
        }
    };
    let mut done = thread::scope(|scope| {
        let others = (1..workers(dirs.len())).map(|_| scope.spawn(work));
        let others: Vec<_> = others.collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, read)| read).collect()
}

/// How many threads so many directories are worth.
fn workers(dirs: usize) -> usize {
    let worth = dirs / WORTH_A_THREAD;
    if worth <= 1 {
        // Asking for the machine's cores reads files, as many as a small state has.
        return 1;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    worth.min(cores).min(MAX_WORKERS)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Enough for every thread.
    const DIRS: usize = 2 * MAX_WORKERS * WORTH_A_THREAD;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for number in 0..DIRS {
            fs::create_dir(root.path().join(number.to_string())).unwrap();
        }
        fs::write(root.path().join("file"), "").unwrap();
        root
    }

    #[test]
    fn directories_come_in_the_order_of_the_listing() {
        let (root, disk) = (root(), Disk::new(false));
        let listed = disk.list(root.path()).unwrap().into_iter();
        let listed = listed.filter(|(_, kind)| kind.is_dir());
        let listed: Vec<_> = listed.map(|(path, _)| path).collect();
        assert_eq!(listed.len(), DIRS);
        let read = read_each(&disk, root.path(), |dir| Ok(dir.to_owned())).unwrap();
        assert_eq!(read, listed);
    }

    #[test]
    fn the_first_error_in_the_listing_is_told() {
        let (root, disk) = (root(), Disk::new(false));
        let listed = disk.list(root.path()).unwrap();
        let fails = |dir: &Path| dir.to_str().unwrap().ends_with('7');
        let first = listed.iter().find(|(path, _)| fails(path)).unwrap();
        // Many times: which thread fails first is up to the machine.
        for _ in 0..50 {
            let read = read_each(&disk, root.path(), |dir| match fails(dir) {
                true => Err(io::Error::other(dir.display().to_string())),
                false => Ok(()),
            });
            assert_eq!(read.unwrap_err().to_string(), first.0.display().to_string());
        }
    }
}
