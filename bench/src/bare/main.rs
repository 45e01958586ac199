//! The least that a machine has to do for a job, each as a whole process: what `make bench` puts
//! beside our programs. And the runner, which has to be small to measure small processes.
//!
//! A binary of its own, of next to nothing: an empty process is to be as empty as it gets.

mod imports;
mod run;
mod socket_copy;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: dfcache-bench-bare nothing
       dfcache-bench-bare link FROM TO
       dfcache-bench-bare socket-copy FROM TO
       dfcache-bench-bare imports SOURCES STORE THREADS
       dfcache-bench-bare run COMMAND...";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.as_slice() {
        [job] if job == "nothing" => Ok(()),
        [job, from, to] if job == "link" => std::fs::hard_link(from, to).map_err(Into::into),
        [job, from, to] if job == "socket-copy" => {
            socket_copy::socket_copy(Path::new(from), Path::new(to))
        }
        [job, sources, store, threads] if job == "imports" => {
            imports::imports(Path::new(sources), Path::new(store), threads)
        }
        [job, program, arguments @ ..] if job == "run" => run::run(program, arguments),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
