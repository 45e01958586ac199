//! Stat calls on one connection, beside a gRPC server that does nothing for them.

use std::process::Command;
use std::time::{Duration, Instant};

use dfcache::TaskId;

use crate::bench::{Bench, NO_OPTIONS};
use crate::daemon::Daemon;
use crate::files;
use crate::load;
use crate::process::Usage;
use crate::rounds::{Run, in_turn};
use crate::table::Row;
use crate::target::Target;
use crate::{ECHO, Result};

const STATS: &str = "stat calls (one connection)";

pub(super) const JOBS: [&str; 1] = [STATS];

const AT_ONCE: usize = 64;

/// What is to be reached.
const A_SECOND: u32 = 20_000;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let calls = bench.settings.sizes.stat_calls;
    let small = bench.path("small");
    files::fill(&small, 1 << 10, 2)?;
    let daemon = &bench.daemon("state", &[])?;
    let id = &bench
        .import(&daemon.endpoint, NO_OPTIONS, &small)?
        .parse()?;
    let socket = bench.path("echo.sock");
    let mut echo = Command::new(std::env::current_exe()?);
    let echo = &Daemon::spawn(echo.arg(ECHO).arg(&socket), &bench.path("echo"), socket)?;
    let asked = |daemon| -> Run<'_> { Box::new(move || ask(daemon, id, calls)) };
    let runs = in_turn(
        bench.settings.rounds,
        [Some(asked(echo)), Some(asked(daemon))],
    );
    let [echo, ours] = &runs;
    let target = Duration::from_secs(1) / A_SECOND * u32::try_from(calls)?;
    let mut row = Row::timed(
        format!("{STATS}, {AT_ONCE} in flight, {calls} calls"),
        ours,
        Some(("a server that does nothing", echo)),
        None,
        &[Target::Time(target)],
    );
    row.targets = vec![format!("≥ {A_SECOND}/s")];
    for (cell, runs) in [(&mut row.ours, ours), (&mut row.limit, echo)] {
        let median = crate::figures::Spread::of(runs.good.iter().map(|run| run.wall));
        if let Some(spread) = median {
            let a_second = calls as f64 / spread.median.as_secs_f64();
            cell.push_str(&format!(" = {a_second:.0}/s"));
        }
    }
    Ok(vec![row])
}

fn ask(daemon: &Daemon, id: &TaskId, calls: usize) -> Result<Usage> {
    let before = daemon.cpu()?;
    let wall = load::runtime()?.block_on(async {
        let client = load::connect(&daemon.endpoint).await?;
        let start = Instant::now();
        load::stats(&client, id, calls, AT_ONCE).await?;
        Result::Ok(start.elapsed())
    })?;
    Ok(Usage {
        daemon_cpu: Some(daemon.cpu()?.saturating_sub(before)),
        ..Usage::of_wall(wall)
    })
}
