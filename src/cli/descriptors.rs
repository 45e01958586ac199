//! How many files a command may have open.

use std::io;
use std::os::fd::AsFd as _;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More descriptors than a command ever has open for one file.
const DESCRIPTORS: usize = 24;

/// More descriptors than each further file takes that is on its way at a time.
const DESCRIPTORS_PER_JOB: usize = 8;

/// Looks for room before anything is begun: without descriptors, nothing can be taken back either. Where
/// only the soft limit is in the way, it is raised.
///
/// # Errors
///
/// That of the system, and what its user can do about it.
pub(super) fn take_room(jobs: usize) -> Result<(), (io::Error, String)> {
    let stdin = io::stdin();
    let needed = DESCRIPTORS.saturating_add(DESCRIPTORS_PER_JOB.saturating_mul(jobs - 1));
    let mut taken = Vec::new();
    while taken.len() < needed {
        let one = stdin.as_fd().try_clone_to_owned();
        match one.or_else(|error| {
            raise_the_limit().ok_or(error)?;
            stdin.as_fd().try_clone_to_owned()
        }) {
            Ok(one) => taken.push(one),
            Err(error) => return Err((error, few(needed, jobs))),
        }
    }
    Ok(())
}

/// As far as this process may. None if it is as high as that.
fn raise_the_limit() -> Option<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return None;
    }
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).ok()
}

fn few(needed: usize, jobs: usize) -> String {
    let hint =
        format!("a command needs {needed} more open files than it is started with: see ulimit -n");
    match jobs {
        1 => hint,
        _ => format!("{hint}, or ask for fewer than {jobs} --jobs"),
    }
}
