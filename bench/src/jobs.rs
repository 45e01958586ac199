//! The jobs, a family a file: what ours do beside the least that the machine has to do for it.

mod at_once;
mod by_path;
mod calls;
mod import;
mod many_tasks;
mod memory;
mod other_file_system;
mod proxied;
mod small_imports;
mod start;
mod transfer;
mod trees;

use std::io::Write as _;
use std::path::PathBuf;

use crate::Result;
use crate::bench::Bench;
use crate::settings::Settings;
use crate::table::{Row, table};

/// Jobs that are set up together.
struct Family {
    /// What each is called, and chosen by.
    jobs: &'static [&'static str],
    measure: fn(&Bench) -> Result<Vec<Row>>,
}

const FAMILIES: [Family; 12] = [
    Family {
        jobs: &transfer::JOBS,
        measure: transfer::measure,
    },
    Family {
        jobs: &at_once::JOBS,
        measure: at_once::measure,
    },
    Family {
        jobs: &trees::JOBS,
        measure: trees::measure,
    },
    Family {
        jobs: &import::JOBS,
        measure: import::measure,
    },
    Family {
        jobs: &by_path::JOBS,
        measure: by_path::measure,
    },
    Family {
        jobs: &other_file_system::JOBS,
        measure: other_file_system::measure,
    },
    Family {
        jobs: &calls::JOBS,
        measure: calls::measure,
    },
    Family {
        jobs: &proxied::JOBS,
        measure: proxied::measure,
    },
    Family {
        jobs: &small_imports::JOBS,
        measure: small_imports::measure,
    },
    Family {
        jobs: &start::JOBS,
        measure: start::measure,
    },
    Family {
        jobs: &many_tasks::JOBS,
        measure: many_tasks::measure,
    },
    Family {
        jobs: &memory::JOBS,
        measure: memory::measure,
    },
];

/// Measures what the environment asks for, and prints the table. Whether every
/// run counts.
pub(crate) fn measure(programs: PathBuf) -> Result<bool> {
    let settings = Settings::from_environment(programs)?;
    let families: Vec<_> = FAMILIES
        .iter()
        .filter(|family| family.jobs.iter().any(|job| settings.wants(job)))
        .collect();
    if families.is_empty() {
        let known: Vec<_> = FAMILIES.iter().flat_map(|family| family.jobs).collect();
        return Err(format!("BENCH_JOBS names none of {known:?}").into());
    }
    crate::interrupt::clean_up_on_signals()?;
    let bench = Bench::new(settings)?;
    let mut rows = Vec::new();
    for family in families {
        let wanted = family.jobs.iter().copied();
        let wanted: Vec<_> = wanted.filter(|job| bench.does(job)).collect();
        if wanted.is_empty() {
            continue;
        }
        let _ = writeln!(std::io::stderr(), "measuring: {}", wanted.join(", "));
        match (family.measure)(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                rows.extend(
                    wanted
                        .iter()
                        .map(|job| Row::failed(*job, error.to_string())),
                );
            }
        }
        bench.empty()?;
    }
    let whole = rows.iter().all(|row| row.failed == 0);
    let peer = bench.settings.peer.dfcache.is_some();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\n{} rounds in {}; medians, and from least to most; ratios of the medians (of the least)\n",
        bench.settings.rounds,
        bench.settings.directory.display()
    )?;
    write!(out, "{}", table(&rows, peer))?;
    Ok(whole)
}
