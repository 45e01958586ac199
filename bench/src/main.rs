//! `make bench`: each job's time, the limit on this machine and the ratio of the two, taken in
//! turn in one run.
//!
//! A run that fails, or whose bytes differ, ends the whole. `BENCH_ROUNDS` and `BENCH_MIB` (the
//! length of the large file) are there to change; files lie in `BENCH_DIR`, by default a tmpfs.

mod jobs;
mod world;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use jobs::Job;
use world::World;

/// What the suite does with anything that fails.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An argument that makes this program the process that does nothing.
const NOTHING: &str = "nothing";

fn main() -> ExitCode {
    let directory = std::env::args_os().nth(1);
    if directory.as_deref().is_some_and(|word| word == NOTHING) {
        return ExitCode::SUCCESS;
    }
    let Some(directory) = directory else {
        let _ = writeln!(
            std::io::stderr(),
            "usage: dfcache-bench <DIRECTORY OF THE PROGRAMS>"
        );
        return ExitCode::from(2);
    };
    match measure(directory.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(programs: std::path::PathBuf) -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 7)?.max(1);
    let length = number("BENCH_MIB", 1024)? << 20;
    let world = World::create(programs, length)?;
    let jobs = jobs::all();
    let mut times = vec![(Vec::new(), Vec::new()); jobs.len()];
    // In turn, so that what else the machine does falls on all alike.
    for _ in 0..rounds {
        for (job, (ours, limits)) in jobs.iter().zip(&mut times) {
            limits.push((job.limit)(&world)?);
            ours.push((job.ours)(&world)?);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{rounds} rounds, {} MiB, in {}; medians, and from least to most\n",
        length >> 20,
        world.directory().display()
    )?;
    writeln!(out, "| job | ours | limit | | ratio |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for (Job { name, against, .. }, (ours, limits)) in jobs.iter().zip(times) {
        let (ours, limits) = (Spread::of(ours), Spread::of(limits));
        let ratio = ours.median.as_secs_f64() / limits.median.as_secs_f64();
        writeln!(
            out,
            "| {name} | {ours} | {limits} | {against} | {ratio:.2} |"
        )?;
    }
    Ok(())
}

fn number(variable: &str, default: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(value) => Ok(value
            .parse()
            .map_err(|error| format!("{variable}: {error}"))?),
        Err(_) => Ok(default),
    }
}

struct Spread {
    least: Duration,
    median: Duration,
    most: Duration,
}

impl Spread {
    /// Of at least one time.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        Self {
            least: at(0),
            median: at(times.len() / 2),
            most: at(times.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{:.1} ms ({:.1}–{:.1})",
            milliseconds(self.median),
            milliseconds(self.least),
            milliseconds(self.most)
        )
    }
}
