//! An import until its answer, beside `cp`.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::bench::Bench;
use crate::client::Dfcache;
use crate::files;
use crate::process::{self, Usage};
use crate::rounds::{Run, in_turn};
use crate::table::{Row, sized};
use crate::target::Target;

const BY_CRC32: &str = "import (id by CRC-32)";
const BY_CONTENT: &str = "import (id by content given)";
const AT_GIVEN: &str = "import (id by content given; given daemon)";

pub(super) const JOBS: [&str; 3] = [BY_CRC32, BY_CONTENT, AT_GIVEN];

/// A given daemon keeps what it imports until the TTL ends, so it gets no more than this.
const ROUNDS_AT_GIVEN: usize = 3;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let large = &bench.large_file()?;
    let rounds = bench.settings.rounds;
    let mut rows = Vec::new();
    for (job, content, times) in [(BY_CRC32, None, 1.15), (BY_CONTENT, Some("bench"), 1.1)] {
        if !bench.settings.wants(job) {
            continue;
        }
        let options: &[&str] = match content {
            Some(content) => &["--content-for-calculating-task-id", content],
            None => &[],
        };
        let id = process::output(bench.dfcache.id(large).args(options))?;
        let import = |client: &Dfcache| import(bench, client, options, large, id.trim());
        rows.push(row(
            bench,
            rounds,
            large,
            job,
            &import,
            &[Target::OfLimit(times)],
        ));
    }
    if let Some(endpoint) = bench.given_daemon(AT_GIVEN) {
        let import = |client: &Dfcache| import_at_given(bench, client, endpoint, large);
        let rounds = rounds.min(ROUNDS_AT_GIVEN);
        rows.push(row(bench, rounds, large, AT_GIVEN, &import, &[]));
    }
    Ok(rows)
}

fn row(
    bench: &Bench,
    rounds: usize,
    large: &Path,
    job: &str,
    import: &dyn Fn(&Dfcache) -> Result<Usage>,
    targets: &[Target],
) -> Row {
    let output = &bench.path("output");
    let copy: Run<'_> = Box::new(|| {
        let copied = bench.measure(Command::new("cp").arg(large).arg(output));
        bench.checked(large, output, copied)
    });
    let imported = |client| -> Run<'_> { Box::new(move || import(client)) };
    let [copy, ours, peer] = in_turn(
        rounds,
        [
            Some(copy),
            Some(imported(&bench.dfcache)),
            bench.peer.as_ref().map(imported),
        ],
    );
    let peer = bench.peer.as_ref().map(|_| &peer);
    let job = sized(job, bench.settings.sizes.large);
    Row::timed(job, &ours, Some(("cp", &copy)), peer, targets)
}

/// Into a daemon that holds nothing yet, and goes afterwards.
fn import(
    bench: &Bench,
    client: &Dfcache,
    options: &[&str],
    large: &Path,
    id: &str,
) -> Result<Usage> {
    let daemon = bench.daemon("import", &[])?;
    let usage = bench.measure_with(&daemon, &client.import(&daemon.endpoint, options, large));
    let checked = usage.and_then(|usage| files::check(large, &daemon.content(id)).map(|()| usage));
    daemon.discard()?;
    checked
}

/// What the daemon then has is exported, for only that can be asked of it.
fn import_at_given(
    bench: &Bench,
    client: &Dfcache,
    endpoint: &Path,
    large: &Path,
) -> Result<Usage> {
    let mut options = bench.unique_options();
    let usage = bench.measure(&client.import(endpoint, &options, large))?;
    // The reference client does not print the id.
    options.push("--skip-existing".to_owned());
    let id = bench.import(endpoint, &options, large)?;
    let output = &bench.path("output");
    let exported = bench.measure(&bench.dfcache.export(endpoint, &id, output));
    bench.checked(large, output, exported)?;
    Ok(usage)
}
