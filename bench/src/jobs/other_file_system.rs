//! An export by path to another file system, beside `cp`. Neither syncs.

use std::process::Command;

use crate::Result;
use crate::bench::{Bench, NO_OPTIONS};
use crate::client::Dfcache;
use crate::files;
use crate::interrupt::Directory;
use crate::rounds::{Run, in_turn};
use crate::table::{Row, sized};
use crate::target::Target;

const EXPORT: &str = "export by path (other file system)";

pub(super) const JOBS: [&str; 1] = [EXPORT];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let (here, there) = (bench.directory(), &bench.settings.other_directory);
    let length = bench.settings.sizes.large;
    let job = format!("{}, to {}", sized(EXPORT, length), there.display());
    if files::same_file_system(here, there)? {
        let why = format!(
            "{} is on the file system of {}: BENCH_OTHER_DIR names another",
            there.display(),
            here.display()
        );
        return Ok(vec![Row::not_measured(job, why)]);
    }
    let there = Directory::create(there)?;
    let large = &bench.large_file()?;
    let output = &there.path().join("output");
    let daemon = &bench.daemon("state", &[])?;
    let id = &bench.import(&daemon.endpoint, NO_OPTIONS, large)?;
    let copy: Run<'_> = Box::new(|| {
        let copied = bench.measure(Command::new("cp").arg(large).arg(output));
        bench.checked(large, output, copied)
    });
    let export = |client: &Dfcache| {
        let usage = bench.measure_with(daemon, &client.export(&daemon.endpoint, id, output));
        bench.checked(large, output, usage)
    };
    let export = &export;
    let exported = |client| -> Run<'_> { Box::new(move || export(client)) };
    let [copy, ours, peer] = in_turn(
        bench.settings.rounds,
        [
            Some(copy),
            Some(exported(&bench.dfcache)),
            bench.peer.as_ref().map(exported),
        ],
    );
    let peer = bench.peer.as_ref().map(|_| &peer);
    let targets = [Target::OfLimit(1.1)];
    Ok(vec![Row::timed(
        job,
        &ours,
        Some(("cp", &copy)),
        peer,
        &targets,
    )])
}
