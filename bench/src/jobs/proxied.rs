//! An export and stat calls through a proxy, beside the same without it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::{Bench, NO_OPTIONS};
use crate::daemon::Daemon;
use crate::files;
use crate::load;
use crate::process::Usage;
use crate::rounds::{Run, in_turn};
use crate::table::{Row, sized};
use crate::target::Target;

const EXPORT: &str = "export in transfer mode through a proxy";
const STAT: &str = "a stat call through a proxy";

pub(super) const JOBS: [&str; 2] = [EXPORT, STAT];

/// What both are held against.
const WITHOUT: &str = "the same without it";

/// What a proxy may cost.
const TRANSFER: f64 = 1.05;
const CALL: Duration = Duration::from_micros(100);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let daemon = &bench.daemon("state", &[])?;
    let plain = &proxy(bench, daemon, "plain", &[])?;
    let journal = bench.path("journal.jsonl").display().to_string();
    let journaling = &proxy(bench, daemon, "journaling", &["--journal", &journal])?;
    let mut rows = Vec::new();
    if bench.settings.wants(EXPORT) {
        rows.extend(export(bench, daemon, plain, journaling)?);
    }
    if bench.settings.wants(STAT) {
        rows.extend(stat(bench, daemon, plain, journaling)?);
    }
    Ok(rows)
}

/// A proxy in front of a daemon.
fn proxy(bench: &Bench, daemon: &Daemon, name: &str, options: &[&str]) -> Result<Daemon> {
    let state = bench.path(name);
    std::fs::create_dir(&state)?;
    let socket = state.join("socket");
    let mut command = Command::new(bench.settings.programs.join("fake-dfdaemon"));
    command.args(["proxy", "--upstream"]).arg(&daemon.endpoint);
    command.arg("--socket").arg(&socket).args(options);
    Daemon::spawn(&mut command, &state, socket)
}

fn export(bench: &Bench, daemon: &Daemon, plain: &Daemon, journaling: &Daemon) -> Result<Vec<Row>> {
    let large = &bench.large_file()?;
    let id = &bench.import(&daemon.endpoint, NO_OPTIONS, large)?;
    let output = &bench.path("output");
    let exported = |proxy| -> Option<Run<'_>> {
        Some(Box::new(move || {
            bench.checked(large, output, transfer(bench, daemon, proxy, id, output))
        }))
    };
    let [without, plain, journaling] = in_turn(
        bench.settings.rounds,
        [
            exported(None),
            exported(Some(plain)),
            exported(Some(journaling)),
        ],
    );
    let size = bench.settings.sizes.large;
    let row = |job: &str, runs, targets: &[Target]| {
        Row::timed(
            sized(job, size),
            runs,
            Some((WITHOUT, &without)),
            None,
            targets,
        )
    };
    Ok(vec![
        row(EXPORT, &plain, &[Target::OfLimit(TRANSFER)]),
        row(&format!("{EXPORT} with a journal"), &journaling, &[]),
    ])
}

/// One export, with what the daemon and the proxy spent on it.
fn transfer(
    bench: &Bench,
    daemon: &Daemon,
    proxy: Option<&Daemon>,
    id: &str,
    output: &Path,
) -> Result<Usage> {
    let endpoint = &proxy.unwrap_or(daemon).endpoint;
    let spent = || proxy.map_or(Ok(Duration::ZERO), Daemon::cpu);
    let before = spent()?;
    let usage = bench.measure_with(daemon, &bench.dfcache.transfer(endpoint, id, output))?;
    let spent = spent()?.saturating_sub(before);
    Ok(Usage {
        daemon_cpu: usage.daemon_cpu.map(|daemon| daemon + spent),
        ..usage
    })
}

fn stat(bench: &Bench, daemon: &Daemon, plain: &Daemon, journaling: &Daemon) -> Result<Vec<Row>> {
    let small = bench.path("small");
    files::fill(&small, 1 << 10, 2)?;
    let id = bench
        .import(&daemon.endpoint, NO_OPTIONS, &small)?
        .parse()?;
    let calls = bench.settings.sizes.stat_calls.div_ceil(5);
    let asked = |daemon: &Daemon| -> Option<Run<'_>> {
        let (endpoint, id) = (daemon.endpoint.clone(), &id);
        Some(Box::new(move || {
            let wall = load::runtime()?.block_on(async {
                let client = load::connect(&endpoint).await?;
                let start = Instant::now();
                // One after the other: each waits for the proxy.
                load::stats(&client, id, calls, 1).await?;
                Result::Ok(start.elapsed())
            })?;
            Ok(Usage::of_wall(wall / u32::try_from(calls)?))
        }))
    };
    let [without, plain, journaling] = in_turn(
        bench.settings.rounds,
        [asked(daemon), asked(plain), asked(journaling)],
    );
    let row = |job: &str, runs, targets: &[Target]| {
        Row::timed(job, runs, Some((WITHOUT, &without)), None, targets)
    };
    Ok(vec![
        row(STAT, &plain, &[Target::LimitPlus(CALL)]),
        row(&format!("{STAT} with a journal"), &journaling, &[]),
    ])
}
