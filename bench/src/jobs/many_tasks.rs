//! A state directory with very many tasks, beside one with ten.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::files;
use crate::load::{self, Import};
use crate::process::{self, Usage};
use crate::rounds::{Run, in_turn};
use crate::table::{Row, memory};
use crate::target::Target;

const MANY: &str = "state directory with many tasks";

pub(super) const JOBS: [&str; 1] = [MANY];

const FEW: usize = 10;

/// What a task may take of the time of a start, and of memory, in bytes.
const OPEN: Duration = Duration::from_micros(5);
const MEMORY: u64 = 600;

/// "As quick as with ten", in a world where no two figures are the same.
const AS_QUICK: f64 = 1.05;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.settings.sizes.tasks;
    let (few, few_id) = &make(bench, "few", FEW)?;
    let (many, many_id) = &make(bench, "many", count)?;
    let rounds = bench.settings.rounds;
    // One after the other, so many make one figure.
    let calls = bench.settings.sizes.stat_calls.div_ceil(5);
    let open =
        |state| -> Run<'_> { Box::new(move || Ok(Usage::of_wall(start(bench, state)?.start))) };
    let [open_few, open_many] = in_turn(rounds, [Some(open(few)), Some(open(many))]);

    let (few, many) = (&start(bench, few)?, &start(bench, many)?);
    let asked = |daemon, id| -> Run<'_> { Box::new(move || stats(daemon, id, calls)) };
    let stats = [Some(asked(few, few_id)), Some(asked(many, many_id))];
    let [stat_few, stat_many] = in_turn(rounds, stats);
    let resident = process::resident(many.id())?;
    let resident_few = process::resident(few.id())?;
    let each = resident.saturating_sub(resident_few) / u64::try_from(count)?;

    let with = |what: &str| format!("{what}, {count} tasks");
    let open_row = Row::timed(
        with("fake opens a state directory"),
        &open_many,
        Some(("ten tasks", &open_few)),
        None,
        &[Target::Time(OPEN * u32::try_from(count)?)],
    );
    let stat_row = Row::timed(
        with("a stat call"),
        &stat_many,
        Some(("ten tasks", &stat_few)),
        None,
        &[Target::OfLimit(AS_QUICK)],
    );
    let memory_row = Row {
        job: with("fake's memory"),
        ours: format!("{}, {each} B a task", memory(resident)),
        limit: format!("ten tasks: {}", memory(resident_few)),
        targets: vec![format!("≤ {MEMORY} B a task")],
        reached: vec![Some(each <= MEMORY)],
        peak: memory(process::peak(many.id())?),
        ..Row::default()
    };
    Ok(vec![open_row, stat_row, memory_row])
}

/// A state directory with so many tasks, and the id of one of them.
fn make(bench: &Bench, name: &str, count: usize) -> Result<(PathBuf, String)> {
    let source = bench.path(&format!("{name}-source"));
    files::fill(&source, 1 << 10, 4)?;
    let imports = (0..count).map(|number| Import {
        path: source.clone(),
        content_for_id: Some(format!("task {number}")),
    });
    let state = bench.path(name);
    let daemon = start(bench, &state)?;
    let ids = load::runtime()?.block_on(async {
        let client = load::connect(&daemon.endpoint).await?;
        load::imports(&client, Arc::new(imports.collect()), 16).await
    })?;
    let id = ids.get(count / 2).ok_or("no task was made")?;
    Ok((state, id.clone()))
}

fn start(bench: &Bench, state: &Path) -> Result<Daemon> {
    Daemon::start(&bench.settings.programs, state, &[])
}

/// The time of one call.
fn stats(daemon: &Daemon, id: &str, calls: usize) -> Result<Usage> {
    let id = id.parse()?;
    let wall = load::runtime()?.block_on(async {
        let client = load::connect(&daemon.endpoint).await?;
        let start = Instant::now();
        load::stats(&client, &id, calls, 1).await?;
        Result::Ok(start.elapsed())
    })?;
    Ok(Usage::of_wall(wall / u32::try_from(calls)?))
}
