//! From the fake's start until it can be asked, beside a server that is known to start quickly.

use std::fs;

use crate::Result;
use crate::bench::Bench;
use crate::daemon;
use crate::process::Usage;
use crate::rounds::{Run, in_turn};
use crate::table::Row;
use crate::target::Target;

const START: &str = "fake: exec to ready";

pub(super) const JOBS: [&str; 1] = [START];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let fake: Run<'_> = Box::new(|| {
        let daemon = bench.daemon("start", &[])?;
        let usage = Usage::of_wall(daemon.start);
        daemon.discard()?;
        Ok(usage)
    });
    let program = &bench.settings.redis_server;
    let directory = bench.path("redis");
    fs::create_dir(&directory)?;
    let redis: Run<'_> = Box::new(|| {
        let (mut command, socket) = daemon::redis(program.as_os_str(), &directory);
        let taken = daemon::time_to_accept(&mut command, &socket);
        let _ = fs::remove_file(socket);
        taken.map(Usage::of_wall)
    });
    let there = std::process::Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let rounds = bench.settings.rounds * bench.settings.sizes.repeats;
    let [redis, ours] = in_turn(rounds, [there.then_some(redis), Some(fake)]);
    let job = format!("{START}, three hosts");
    let targets = [Target::OfLimit(1.0)];
    let limit = there.then_some(("redis-server accepts", &redis));
    let mut row = Row::timed(job, &ours, limit, None, &targets);
    if !there {
        row.limit = format!("no {} here: REDIS_SERVER names one", program.display());
    }
    Ok(vec![row])
}
