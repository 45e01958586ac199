//! The `dfcache` program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dfcache::run(std::env::args_os())
}
