//! The directories below a root that records lie in, by the prefix of a task's id: read side by side
//! on the machine's cores.
//!
//! What was read of a directory is taken over at once, by one core at a time. Collected first, it would
//! fragment the memory of what stays.

use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::disk::{Disk, with_path};
use crate::dfdaemon::mutex::Mutex;

/// Directories that are worth another thread.
const WORTH_A_THREAD: usize = 32;

/// Threads that read at a time, at most.
const MAX_WORKERS: usize = 8;

/// Reads each directory in `root`. `take` gets what was read in one, in any order, and the number of directories.
/// A core reads one directory after the other into the same memory: to give much of it back each time makes
/// malloc tidy up the small pieces that stay.
///
/// # Errors
///
/// Those of `root`, else of the first directory that has one, in the order in which they are read.
pub(super) fn read_each<T: Default>(
    disk: &Disk,
    root: &Path,
    read: impl Fn(&Path, &mut T) -> io::Result<()> + Sync,
    take: impl FnMut(&mut T, usize) + Send,
) -> io::Result<()> {
    let mut dirs = disk.list(root).map_err(with_path(root))?;
    dirs.retain(|(_, kind)| kind.is_dir());
    let dirs = spread(dirs);
    let next = AtomicUsize::new(0);
    let take = Mutex::new(take);
    // The number of a directory that cannot be read, and why.
    let work = || {
        let mut found = T::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (dir, _) = dirs.get(number)?;
            match read(dir, &mut found) {
                Ok(()) => take.lock()(&mut found, dirs.len()),
                // Those before it are done, or under way.
                Err(error) => return Some((number, error)),
            }
        }
    };
    let failed = thread::scope(|scope| {
        // Where there is no thread, those that there are do its part.
        let others = (1..workers(dirs.len())).map_while(|_| {
            let thread = thread::Builder::new();
            thread.spawn_scoped(scope, work).ok()
        });
        let others: Vec<_> = others.collect();
        let mut failed = Vec::from_iter(work());
        for other in others {
            failed.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        failed
    });
    let first = failed.into_iter().min_by_key(|(number, _)| *number);
    first.map_or(Ok(()), |(_, error)| Err(error))
}

/// Puts what was listed side by side far apart: ids that are decimal numbers fill directories that are neighbours
/// alike and others ten times as much, and the first ones tell how much there is in all.
fn spread<T>(listed: Vec<T>) -> Vec<T> {
    const STEP: usize = 32;
    let mut columns: Vec<Vec<T>> = std::iter::repeat_with(Vec::new).take(STEP).collect();
    let mut column = 0;
    for one in listed {
        if let Some(column) = columns.get_mut(column) {
            column.push(one);
        }
        column = (column + 1) % STEP;
    }
    columns.into_iter().flatten().collect()
}

/// How many threads to use for this many directories.
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
    fn each_directory_is_read_and_taken_once() {
        let (root, disk) = (root(), Disk::new(false));
        let mut taken = Vec::new();
        let read = |dir: &Path, found: &mut Vec<_>| {
            found.push(dir.to_owned());
            Ok(())
        };
        let take = |found: &mut Vec<_>, dirs| {
            assert_eq!(dirs, DIRS);
            taken.append(found);
        };
        read_each(&disk, root.path(), read, take).unwrap();
        taken.sort();
        let mut dirs: Vec<_> = (0..DIRS)
            .map(|number| root.path().join(number.to_string()))
            .collect();
        dirs.sort();
        assert_eq!(taken, dirs);
    }

    #[test]
    fn what_is_read_first_comes_from_everywhere() {
        let spread = spread((0..1000).collect());
        let mean = |some: &[i32]| some.iter().sum::<i32>() / i32::try_from(some.len()).unwrap();
        for read in [30, 60, 100, 500] {
            let mean = mean(&spread[..read]);
            assert!((400..600).contains(&mean), "{mean} of {read}");
        }
        let mut sorted = spread;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_is_told() {
        let (root, disk) = (root(), Disk::new(false));
        let listed = disk.list(root.path()).unwrap();
        let fails = |dir: &Path| dir.to_str().unwrap().ends_with('7');
        let listed = spread(
            listed
                .into_iter()
                .filter(|(_, kind)| kind.is_dir())
                .collect(),
        );
        let first = listed.iter().find(|(path, _)| fails(path)).unwrap();
        // Many times: which thread fails first is up to the machine.
        for _ in 0..50 {
            let read = |dir: &Path, _: &mut ()| match fails(dir) {
                true => Err(io::Error::other(dir.display().to_string())),
                false => Ok(()),
            };
            let read = read_each(&disk, root.path(), read, |(), _| {});
            assert_eq!(read.unwrap_err().to_string(), first.0.display().to_string());
        }
    }
}
