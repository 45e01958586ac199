//! What an export of a file that is much larger than memory should be takes of it.
//!
//! The peaks of all three exports are the kernel's own. Two of the exports would take minutes and
//! are the same from beginning to end: they are watched for a while and then broken off.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figures::{Bytes, Time};
use crate::files;
use crate::interrupt::Process;
use crate::process::{self, forget_peak};
use crate::table::{Row, memory};

const SMALL_PIECES: &str = "memory of an export (pieces of 4 MiB)";
const LARGE_PIECES: &str = "memory of an export (pieces of 64 MiB)";

pub(super) const JOBS: [&str; 2] = [SMALL_PIECES, LARGE_PIECES];

const AT_ONCE: usize = 16;

/// What the slow reader takes in a tenth of a second, in bytes.
const SIP: usize = 1 << 20;

/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The most that the client and the fake had resident, in bytes.
struct Peaks {
    client: u64,
    fake: u64,
}

/// What is allowed, in bytes.
struct Allowed {
    client: u64,
    fake: Option<u64>,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let small = Allowed {
        client: 24 << 20,
        fake: Some(64 << 20),
    };
    let large = Allowed {
        client: 100 << 20,
        fake: None,
    };
    let mut rows = Vec::new();
    for (job, length, allowed) in [
        (SMALL_PIECES, "4mib", small),
        (LARGE_PIECES, "64mib", large),
    ] {
        if bench.settings.wants(job) {
            rows.extend(with_pieces(bench, job, length, &allowed)?);
        }
    }
    Ok(rows)
}

fn with_pieces(
    bench: &Bench,
    job: &str,
    piece_length: &str,
    allowed: &Allowed,
) -> Result<Vec<Row>> {
    let length = bench.settings.sizes.memory;
    // The file and the daemon's copy, then the daemon's copy and the output; and room to breathe.
    let needed = 2 * length + (length >> 3);
    let free = files::free_memory()?.min(files::free_space(bench.directory())?);
    if free < needed {
        let why = format!("takes {}, {} are free", memory(needed), memory(free));
        return Ok(vec![Row::not_measured(job, why)]);
    }
    let source = &bench.path("source");
    files::fill(source, length, 5)?;
    let daemon = bench.daemon("state", &[])?;
    let id = &bench.import(&daemon.endpoint, &["--piece-length", piece_length], source)?;
    files::check(source, &daemon.content(id))?;
    fs::remove_file(source)?;

    let watch = bench.settings.sizes.watch;
    let watched = format!(", watched for {}", Time(watch));
    let row = |how: String, peaks: Result<Peaks>| {
        let job = format!("{job}, {}{how}", Bytes(length));
        peaks.map_or_else(
            |error| Row::failed(&job, error.to_string()),
            |peaks| row(&job, &peaks, allowed),
        )
    };
    let rows = vec![
        row(String::new(), to_a_file(bench, &daemon, id)),
        row(
            format!(", a reader of 10 MiB/s{watched}"),
            to_a_slow_reader(bench, &daemon, id),
        ),
        row(
            format!(", {AT_ONCE} at once{watched}"),
            many_at_once(bench, &daemon, id),
        ),
    ];
    daemon.discard()?;
    Ok(rows)
}

fn row(job: &str, peaks: &Peaks, allowed: &Allowed) -> Row {
    let mut row = Row {
        job: job.to_owned(),
        ours: format!(
            "client {}, fake {}",
            memory(peaks.client),
            memory(peaks.fake)
        ),
        targets: vec![format!("client < {}", Bytes(allowed.client))],
        reached: vec![Some(peaks.client < allowed.client)],
        ..Row::default()
    };
    if let Some(fake) = allowed.fake {
        row.targets.push(format!("fake < {}", Bytes(fake)));
        row.reached.push(Some(peaks.fake < fake));
    }
    row
}

fn to_a_file(bench: &Bench, daemon: &Daemon, id: &str) -> Result<Peaks> {
    let output = &bench.path("output");
    forget_peak(daemon.id())?;
    let usage = bench.measure(&bench.dfcache.transfer(&daemon.endpoint, id, output));
    let fake = process::peak(daemon.id())?;
    let usage = bench.checked(&daemon.content(id), output, usage)?;
    Ok(Peaks {
        client: usage.peak.ok_or("the runner reported no peak")?,
        fake,
    })
}

fn to_a_slow_reader(bench: &Bench, daemon: &Daemon, id: &str) -> Result<Peaks> {
    forget_peak(daemon.id())?;
    let mut client = export_to_stdout(bench, daemon, id, Stdio::piped())?;
    let mut content = client.child.stdout.take().ok_or("no standard output")?;
    let mut sip = vec![0; SIP];
    let mut most = 0;
    let start = Instant::now();
    while start.elapsed() < bench.settings.sizes.watch {
        content.read_exact(&mut sip)?;
        most = most.max(process::peak(client.id())?);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(Peaks {
        client: most,
        fake: process::peak(daemon.id())?,
    })
}

/// The most that any one of the clients took.
fn many_at_once(bench: &Bench, daemon: &Daemon, id: &str) -> Result<Peaks> {
    forget_peak(daemon.id())?;
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        clients.push(export_to_stdout(bench, daemon, id, Stdio::null())?);
    }
    let mut most = 0;
    let start = Instant::now();
    while start.elapsed() < bench.settings.sizes.watch && !clients.is_empty() {
        let mut running = Vec::new();
        for mut client in clients {
            // One that has just ended has no memory to tell of.
            most = most.max(process::peak(client.id()).unwrap_or(0));
            if client.is_running()? {
                running.push(client);
            } else if !client.wait()?.success() {
                return Err("an export failed".into());
            }
        }
        clients = running;
        std::thread::sleep(LOOK);
    }
    match most {
        0 => Err("the exports ended before they could be looked at".into()),
        client => Ok(Peaks {
            client,
            fake: process::peak(daemon.id())?,
        }),
    }
}

fn export_to_stdout(bench: &Bench, daemon: &Daemon, id: &str, to: Stdio) -> Result<Process> {
    let mut command: Command = bench.dfcache.export(&daemon.endpoint, id, Path::new("-"));
    Process::start(command.stdin(Stdio::null()).stdout(to))
}
