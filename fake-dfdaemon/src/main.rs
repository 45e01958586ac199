//! The fake-dfdaemon program, see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    fake_dfdaemon::program::main()
}
