//! What takes a process and a call: a stat, and exports that are hard links.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::bench::{Bench, NO_OPTIONS};
use crate::client::Dfcache;
use crate::daemon::Daemon;
use crate::figures::Spread;
use crate::files;
use crate::process::Usage;
use crate::rounds::{Run, Runs, in_turn};
use crate::table::{Row, sized};
use crate::target::Target;

const STAT: &str = "dfcache stat (whole process)";
const STAT_AT_GIVEN: &str = "dfcache stat (whole process; given daemon)";
const SMALL: &str = "export by path (small file)";
const SPARSE: &str = "export by path (sparse file)";

pub(super) const JOBS: [&str; 4] = [STAT, STAT_AT_GIVEN, SMALL, SPARSE];

const SMALL_LENGTH: u64 = 1 << 10;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    // The exports' target is the time of a stat in the same turns.
    if [STAT, SMALL, SPARSE]
        .iter()
        .any(|job| bench.settings.wants(job))
    {
        rows = measure_here(bench)?;
    }
    if let Some(endpoint) = bench.given_daemon(STAT_AT_GIVEN) {
        let small = bench.path("small-given");
        files::fill(&small, SMALL_LENGTH, 3)?;
        let id = &bench.import(endpoint, &bench.unique_options(), &small)?;
        let stat = |client| -> Run<'_> { Box::new(move || stat(bench, client, endpoint, id)) };
        let [nothing, ours, peer] = in_turn(
            rounds(bench),
            [
                Some(nothing(bench)),
                Some(stat(&bench.dfcache)),
                bench.peer.as_ref().map(stat),
            ],
        );
        let peer = bench.peer.as_ref().map(|_| &peer);
        rows.push(stat_row(STAT_AT_GIVEN, &ours, &nothing, peer));
    }
    Ok(rows)
}

/// Processes of milliseconds: more of them.
fn rounds(bench: &Bench) -> usize {
    bench.settings.rounds * bench.settings.sizes.repeats
}

fn measure_here(bench: &Bench) -> Result<Vec<Row>> {
    let sizes = &bench.settings.sizes;
    let small = &bench.path("small");
    files::fill(small, SMALL_LENGTH, 2)?;
    let daemon = &bench.daemon("state", &[])?;
    let small_id = &bench.import(&daemon.endpoint, NO_OPTIONS, small)?;
    // Release 1.5 imports by hard link, so that the hole stays one.
    let sparse = &bench.path("sparse");
    files::hole(sparse, sizes.sparse)?;
    let linking = &bench.daemon("linking", &["--dfdaemon-version", "1.5"])?;
    let options = ["--content-for-calculating-task-id", "bench"];
    let sparse_id = bench.import(&linking.endpoint, &options, sparse);
    let sparse_id = &sparse_id.map_err(|error| error.to_string());

    let stat =
        |client| -> Run<'_> { Box::new(move || stat(bench, client, &daemon.endpoint, small_id)) };
    let small_export =
        |client| -> Run<'_> { Box::new(move || export(bench, client, daemon, small_id, small)) };
    let sparse_export = |client| -> Option<Run<'_>> {
        let id = sparse_id.as_ref().ok()?;
        Some(Box::new(move || export(bench, client, linking, id, sparse)))
    };
    let (ours, peer) = (&bench.dfcache, bench.peer.as_ref());
    let runs = in_turn(
        rounds(bench),
        [
            Some(nothing(bench)),
            Some(link(bench, small)),
            Some(stat(ours)),
            Some(small_export(ours)),
            sparse_export(ours),
            peer.map(stat),
            peer.map(small_export),
            peer.and_then(sparse_export),
        ],
    );
    let [
        nothing,
        link,
        stat,
        small,
        sparse,
        peer_stat,
        peer_small,
        peer_sparse,
    ] = &runs;
    let of_peer = |runs| peer.map(|_| runs);
    let times = stat.good.iter().map(|run| run.wall);
    let stat_time = Spread::of(times).map(|spread| spread.median);
    let export_row = |job: String, runs: &Runs, peer| {
        let more = Duration::from_millis(2);
        let target = stat_time.map(|stat| Target::StatPlus(stat, more));
        let limit = Some(("a process that makes a hard link", link));
        Row::timed(job, runs, limit, peer, target.as_slice())
    };
    let mut rows = Vec::new();
    if bench.settings.wants(STAT) {
        rows.push(stat_row(STAT, stat, nothing, of_peer(peer_stat)));
    }
    if bench.settings.wants(SMALL) {
        rows.push(export_row(
            sized(SMALL, SMALL_LENGTH),
            small,
            of_peer(peer_small),
        ));
    }
    if bench.settings.wants(SPARSE) {
        let job = sized(SPARSE, sizes.sparse);
        rows.push(match sparse_id {
            Ok(_) => export_row(job, sparse, of_peer(peer_sparse)),
            Err(why) => Row::not_measured(job, why),
        });
    }
    Ok(rows)
}

fn stat_row(job: &str, ours: &Runs, nothing: &Runs, peer: Option<&Runs>) -> Row {
    let targets = [
        Target::OfLimit(1.5),
        Target::OfPeer(0.4),
        Target::OfPeerCpu(0.3),
        Target::Peak(8 << 20),
    ];
    Row::timed(
        job,
        ours,
        Some(("an empty process", nothing)),
        peer,
        &targets,
    )
}

fn nothing(bench: &Bench) -> Run<'_> {
    Box::new(|| bench.measure(&bench.limit("nothing")))
}

fn link<'a>(bench: &'a Bench, from: &'a Path) -> Run<'a> {
    let to = bench.path("link");
    Box::new(move || {
        let usage = bench.measure(bench.limit("link").arg(from).arg(&to));
        bench.checked(from, &to, usage)
    })
}

fn stat(bench: &Bench, client: &Dfcache, endpoint: &Path, id: &str) -> Result<Usage> {
    bench.measure(&client.stat(endpoint, id))
}

/// The whole file where there is a copy; a hard link of the right file where it is one.
fn export(
    bench: &Bench,
    client: &Dfcache,
    daemon: &Daemon,
    id: &str,
    original: &Path,
) -> Result<Usage> {
    let output = &bench.path("output");
    let usage = bench.measure(&client.export(&daemon.endpoint, id, output));
    let linked = usage.and_then(|usage| {
        let cached = fs::metadata(daemon.content(id))?;
        match files::is_same_file(&cached, &fs::metadata(output)?) {
            true => Ok(usage),
            false => Err(format!("{} is no hard link", output.display()).into()),
        }
    });
    bench.checked(original, output, linked)
}
