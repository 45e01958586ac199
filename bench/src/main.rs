//! `make bench`: each job's time, the limit on this machine and the ratio of the two, taken in
//! turn in one run. docs/benchmarks.md says what can be set.
//!
//! Here is what is started; [`jobs`] has what is measured, the binary `dfcache-bench-bare` what it
//! is measured against.

mod bench;
mod client;
mod daemon;
mod echo;
mod figures;
mod files;
mod interrupt;
mod jobs;
mod load;
mod process;
mod rounds;
mod settings;
mod table;
mod target;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// What the suite does with anything that fails.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// An argument that makes this program a gRPC server that does nothing.
const ECHO: &str = "echo";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.as_slice() {
        [job, socket] if job == ECHO => echo::serve(Path::new(socket)).map(|()| true),
        [programs] => jobs::measure(programs.into()),
        _ => Err("usage: dfcache-bench <DIRECTORY OF THE PROGRAMS>".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // Every run that failed has been reported.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
