//! Many imports of small files, beside a program that does their file operations.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::Result;
use crate::bench::Bench;
use crate::files;
use crate::load::{self, Import};
use crate::process::Usage;
use crate::rounds::{Run, in_turn};
use crate::table::Row;
use crate::target::Target;

const IMPORTS: &str = "imports of 4 KiB";

pub(super) const JOBS: [&str; 1] = [IMPORTS];

const LENGTH: u64 = 4 << 10;
const AT_ONCE: usize = 16;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.settings.sizes.imports;
    let sources = &bench.path("sources");
    fs::create_dir(sources)?;
    let mut imports = Vec::with_capacity(count);
    for number in 0..count {
        let path = sources.join(number.to_string());
        files::fill(&path, LENGTH, number as u64 + 1)?;
        imports.push(Import {
            path,
            content_for_id: None,
        });
    }
    let imports = Arc::new(imports);
    let imported: Run<'_> = Box::new(|| import(bench, &imports));
    let bare: Run<'_> = Box::new(|| bare(bench, sources, count));
    let [bare, ours] = in_turn(bench.settings.rounds, [Some(bare), Some(imported)]);
    Ok(vec![Row::timed(
        format!("{count} {IMPORTS}, {AT_ONCE} at a time"),
        &ours,
        Some(("their file operations", &bare)),
        None,
        &[Target::OfLimit(2.0)],
    )])
}

fn import(bench: &Bench, imports: &Arc<Vec<Import>>) -> Result<Usage> {
    let daemon = bench.daemon("state", &[])?;
    let before = daemon.cpu()?;
    let (ids, wall) = load::runtime()?.block_on(async {
        let client = load::connect(&daemon.endpoint).await?;
        let start = Instant::now();
        let ids = load::imports(&client, Arc::clone(imports), AT_ONCE).await?;
        Result::Ok((ids, start.elapsed()))
    })?;
    let daemon_cpu = daemon.cpu()?.saturating_sub(before);
    for (import, id) in imports.iter().zip(ids) {
        files::check(&import.path, &daemon.content(&id))?;
    }
    daemon.discard()?;
    Ok(Usage {
        daemon_cpu: Some(daemon_cpu),
        ..Usage::of_wall(wall)
    })
}

fn bare(bench: &Bench, sources: &Path, count: usize) -> Result<Usage> {
    let store = bench.path("bare");
    let mut command = bench.limit("imports");
    let threads = AT_ONCE.to_string();
    let usage = bench.measure(command.arg(sources).arg(&store).arg(threads));
    let contents = store.join("hosts/host-0/content/persistent-cache-tasks");
    let made = usage.and_then(|usage| match count_files(&contents)? {
        // Content, and a record beside it.
        found if found == 2 * count => Ok(usage),
        found => Err(format!("{found} files in {}", contents.display()).into()),
    });
    fs::remove_dir_all(store)?;
    made
}

fn count_files(directory: &Path) -> Result<usize> {
    let mut count = 0;
    for prefix in fs::read_dir(directory)? {
        count += fs::read_dir(prefix?.path())?.count();
    }
    Ok(count)
}
