//! The contract: what a dfdaemon does with persistent cache tasks, row by row, as gRPC shows it.
//!
//! Run by itself, every row runs against fakes of both releases, each with a state of its own. With
//! `CONTRACT_ENDPOINT` and `CONTRACT_VERSION` in the environment (`make contract`) the rows run
//! against that endpoint, which has to see the files of this machine, and a table tells which held.

// Clippy takes a test binary without a harness for a program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "../support/mod.rs"]
mod support;

mod endpoint;
mod expiry;
mod export;
mod import;
mod pieces;
mod quirks;
mod release;
mod replicas;
mod row;
mod scheduler;
mod space;
mod stat;
mod tested_daemon;
mod timeouts;
mod upload;
mod wire;
mod writer;

use std::process::ExitCode;

use fake_dfdaemon::Release;
use libtest_mimic::{Arguments, Trial};

use self::row::Row;
use self::tested_daemon::TestedDaemon;

/// Every row, with the table that it stands in.
fn contract() -> Vec<(&'static str, Row)> {
    let tables = [
        ("import", import::rows()),
        ("export", export::rows()),
        ("stat", stat::rows()),
        ("replicas", replicas::rows()),
        ("expiry", expiry::rows()),
        ("space", space::rows()),
        ("scheduler", scheduler::rows()),
        ("release", release::rows()),
        ("wire", wire::rows()),
        ("timeouts", timeouts::rows()),
        ("upload", upload::rows()),
        ("pieces", pieces::rows()),
        ("quirks", quirks::rows()),
    ];
    let rows = tables.into_iter();
    rows.flat_map(|(table, rows)| rows.into_iter().map(move |row| (table, row)))
        .collect()
}

fn main() -> ExitCode {
    if let Some(endpoint) = endpoint::asked_for() {
        return endpoint.run(contract());
    }
    let arguments = Arguments::from_args();
    let mut trials = endpoint::trials();
    for (table, row) in contract() {
        for release in [Release::V0_2, Release::V1_5] {
            if !row.is_of(release) {
                continue;
            }
            let row = row.clone();
            let name = format!("{table}::{} [{release}]", row.claim);
            let impossible = row.impossible().is_some();
            let trial = Trial::test(name, move || {
                row.run(|| TestedDaemon::of_fake(release, &row));
                Ok(())
            });
            trials.push(trial.with_ignored_flag(impossible));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
