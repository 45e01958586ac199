//! A directory of many files, imported and exported as a tree, beside `cp -r`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::bench::{Bench, NO_OPTIONS};
use crate::daemon::Daemon;
use crate::files;
use crate::process::{self, Usage};
use crate::rounds::{Run, in_turn};
use crate::table::Row;

const IMPORT: &str = "import of a tree";
const BY_PATH: &str = "export of a tree by path";
const TRANSFER: &str = "export of a tree in transfer mode";

pub(super) const JOBS: [&str; 3] = [IMPORT, BY_PATH, TRANSFER];

/// Of a file, in bytes.
const LENGTH: u64 = 64 << 10;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.settings.sizes.tree;
    let tree = &bench.path("tree");
    fs::create_dir(tree)?;
    for number in 0..count {
        files::fill(&tree.join(number.to_string()), LENGTH, number as u64 + 1)?;
    }
    let daemon = &bench.daemon("state", &[])?;
    let mut import = bench.dfcache.import(&daemon.endpoint, NO_OPTIONS, tree);
    let id = process::output(import.arg("--recursive"))?;
    let output = &bench.path("output");
    let export = |transfer: bool| -> Run<'_> {
        let id = id.trim();
        Box::new(move || {
            let mut command = match transfer {
                true => bench.dfcache.transfer(&daemon.endpoint, id, output),
                false => bench.dfcache.export(&daemon.endpoint, id, output),
            };
            let usage = bench.measure_with(daemon, command.arg("--recursive"));
            checked(tree, output, count, usage)
        })
    };
    let copy: Run<'_> = Box::new(move || {
        let usage = bench.measure(Command::new("cp").arg("-r").arg(tree).arg(output));
        checked(tree, output, count, usage)
    });
    let [copy, imported, by_path, transferred] = in_turn(
        bench.settings.rounds,
        [
            Some(copy),
            Some(Box::new(|| import_anew(bench, tree))),
            Some(export(false)),
            Some(export(true)),
        ],
    );
    let rows = [
        (IMPORT, &imported),
        (BY_PATH, &by_path),
        (TRANSFER, &transferred),
    ];
    let rows = rows
        .into_iter()
        .filter(|(job, _)| bench.settings.wants(job));
    let rows = rows.map(|(job, runs)| {
        let job = format!("{job}, {count} files of 64 KiB");
        Row::timed(job, runs, Some(("cp -r", &copy)), None, &[])
    });
    Ok(rows.collect())
}

/// Into a daemon that holds nothing yet, and goes afterwards.
fn import_anew(bench: &Bench, tree: &Path) -> Result<Usage> {
    let daemon: Daemon = bench.daemon("import", &[])?;
    let mut command = bench.dfcache.import(&daemon.endpoint, NO_OPTIONS, tree);
    let usage = bench.measure_with(&daemon, command.arg("--recursive"));
    daemon.discard()?;
    usage
}

/// A run that counts only if the output has all files, whole; removes the output.
fn checked(tree: &Path, output: &Path, count: usize, usage: Result<Usage>) -> Result<Usage> {
    let checked = usage.and_then(|usage| {
        let found = fs::read_dir(output)?.count();
        if found != count {
            return Err(format!("{found} files in {}, not {count}", output.display()).into());
        }
        for number in 0..count {
            let name = number.to_string();
            files::check(&tree.join(&name), &output.join(&name))?;
        }
        Ok(usage)
    });
    // A run that failed may have made none.
    let _ = fs::remove_dir_all(output);
    checked
}
