//! An export over the socket, beside a bare copy through a socket.

use std::path::Path;

use crate::Result;
use crate::bench::{Bench, NO_OPTIONS};
use crate::client::Dfcache;
use crate::process::Usage;
use crate::rounds::{Run, in_turn};
use crate::table::{Row, sized};
use crate::target::Target;

const EXPORT: &str = "export in transfer mode";
const AT_GIVEN: &str = "export in transfer mode (given daemon)";

pub(super) const JOBS: [&str; 2] = [EXPORT, AT_GIVEN];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let large = &bench.large_file()?;
    let mut rows = Vec::new();
    if bench.settings.wants(EXPORT) {
        let daemon = &bench.daemon("state", &[])?;
        let id = &bench.import(&daemon.endpoint, NO_OPTIONS, large)?;
        let export = |client: &Dfcache, output: &Path| {
            bench.measure_with(daemon, &client.transfer(&daemon.endpoint, id, output))
        };
        let targets = [Target::OfLimit(1.05), Target::OfLimitCpu(1.0)];
        rows.push(row(bench, large, EXPORT, &export, &targets));
    }
    if let Some(endpoint) = bench.given_daemon(AT_GIVEN) {
        let id = &bench.import(endpoint, &bench.unique_options(), large)?;
        let export =
            |client: &Dfcache, output: &Path| bench.measure(&client.transfer(endpoint, id, output));
        let targets = [Target::OfPeer(0.6), Target::OfPeerCpu(0.35)];
        rows.push(row(bench, large, AT_GIVEN, &export, &targets));
    }
    Ok(rows)
}

fn row(
    bench: &Bench,
    large: &Path,
    job: &str,
    export: &dyn Fn(&Dfcache, &Path) -> Result<Usage>,
    targets: &[Target],
) -> Row {
    let output = &bench.path("output");
    let exported = |client| -> Run<'_> {
        Box::new(move || bench.checked(large, output, export(client, output)))
    };
    let copy: Run<'_> = Box::new(|| {
        let copied = bench.measure(bench.limit("socket-copy").arg(large).arg(output));
        bench.checked(large, output, copied)
    });
    let [copy, ours, peer] = in_turn(
        bench.settings.rounds,
        [
            Some(copy),
            Some(exported(&bench.dfcache)),
            bench.peer.as_ref().map(exported),
        ],
    );
    let limit = ("file → socket → file", &copy);
    let peer = bench.peer.as_ref().map(|_| &peer);
    let job = sized(job, bench.settings.sizes.large);
    Row::timed(job, &ours, Some(limit), peer, targets)
}
