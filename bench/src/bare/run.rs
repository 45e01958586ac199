//! Runs a command, and prints what it took.
//!
//! Not a part of the suite itself: what a process had resident counts from the fork, when it is
//! still its parent, and the suite is larger than a `dfcache stat`.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::Result;

/// Prints nanoseconds on the clock, nanoseconds of CPU, and the peak of resident memory in KiB.
/// A command that fails is an error.
pub(crate) fn run(program: &OsStr, arguments: &[OsString]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null());
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let wall = start.elapsed();
    if !status.success() {
        return Err(format!("{}: {status}", program.display()).into());
    }
    // The only child that there was.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = duration(usage.user_time()) + duration(usage.system_time());
    let peak = usage.max_rss();
    writeln!(
        std::io::stdout(),
        "{} {} {peak}",
        wall.as_nanos(),
        cpu.as_nanos()
    )?;
    Ok(())
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let microseconds = u64::try_from(time.tv_usec()).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}
