//! Several exports over the socket at the same time, beside as many bare copies.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::{Bench, NO_OPTIONS};
use crate::files;
use crate::process::{self, Usage};
use crate::rounds::{Run, in_turn};
use crate::table::{Row, sized};
use crate::target::Target;

const EXPORTS: &str = "exports in transfer mode, ten at once";

pub(super) const JOBS: [&str; 1] = [EXPORTS];

const AT_ONCE: usize = 10;

/// Ten copies of the whole large file would take all of the memory.
const PART_OF_LARGE: u64 = 4;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let length = bench.settings.sizes.large / PART_OF_LARGE;
    let file = &bench.path("file");
    files::fill(file, length, 1)?;
    let daemon = &bench.daemon("state", &[])?;
    let id = &bench.import(&daemon.endpoint, NO_OPTIONS, file)?;
    let outputs = (0..AT_ONCE).map(|number| bench.path(&format!("output-{number}")));
    let outputs: &Vec<PathBuf> = &outputs.collect();
    let checked = move |usage: Result<Usage>| {
        outputs.iter().fold(usage, |usage, output| {
            let checked = bench.checked(file, output, Ok(Usage::default()));
            usage.and_then(|usage| checked.map(|_| usage))
        })
    };
    let exports: Run<'_> = Box::new(move || {
        let commands = outputs.iter();
        let commands = commands.map(|to| bench.dfcache.transfer(&daemon.endpoint, id, to));
        let before = daemon.cpu()?;
        let usage = checked(at_once(bench, commands.collect()))?;
        let daemon_cpu = Some(daemon.cpu()?.saturating_sub(before));
        Ok(Usage {
            daemon_cpu,
            ..usage
        })
    });
    let copies: Run<'_> = Box::new(move || {
        let copy = |output| {
            let mut command = bench.limit("socket-copy");
            command.arg(file).arg(output);
            command
        };
        checked(at_once(bench, outputs.iter().map(copy).collect()))
    });
    let [copies, ours] = in_turn(bench.settings.rounds, [Some(copies), Some(exports)]);
    Ok(vec![Row::timed(
        sized(EXPORTS, length),
        &ours,
        Some(("ten bare copies at once", &copies)),
        None,
        &[Target::OfLimit(1.1)],
    )])
}

/// The time until the last one has ended, and the CPU time of all.
fn at_once(bench: &Bench, commands: Vec<Command>) -> Result<Usage> {
    let programs = &bench.settings.programs;
    let start = Instant::now();
    let usages = thread::scope(|scope| {
        let running = commands.into_iter().map(|command| {
            scope.spawn(move || {
                let usage = process::measure(programs, &command);
                usage.map_err(|error| error.to_string())
            })
        });
        let running: Vec<_> = running.collect();
        let ended = running.into_iter().map(|command| match command.join() {
            Ok(usage) => usage,
            Err(_) => Err("a thread of the suite panicked".to_owned()),
        });
        ended.collect::<std::result::Result<Vec<_>, _>>()
    });
    let (wall, usages) = (start.elapsed(), usages?);
    let cpu: Duration = usages.iter().filter_map(|usage| usage.cpu).sum();
    Ok(Usage {
        cpu: Some(cpu),
        peak: usages.iter().filter_map(|usage| usage.peak).max(),
        ..Usage::of_wall(wall)
    })
}
